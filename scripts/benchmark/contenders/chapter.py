"""The MXNet edition of *Dive into Deep Learning*, "Natural Language Inference: Fine-Tuning BERT", reimplemented.

Its data path (a pool of four processes for the texts, every pair padded to `max_len`, four workers that make batches)
and its loop (imperative, Adam at a constant rate, a look at loss and accuracy after every step) on an encoder of its
kind in the checkpoint's shape. Such an encoder has no weights to start from here: it is random.
"""

import multiprocessing
from pathlib import Path

import mxnet as mx
from mxnet import autograd, gluon, np, npx
from mxnet.gluon import nn
from worker import LABELS, Worker, read_pairs

npx.set_np()
NUM_WORKERS = 4
LEARNING_RATE = 1e-4


class PaddedPairs(gluon.data.Dataset):
    """All pairs as arrays of `max_len` columns, made of lower-case words between spaces."""

    def __init__(self, columns, vocab, max_len):
        premises, hypotheses, labels = columns
        self.vocab, self.max_len = vocab, max_len
        words = [[text.lower().split() for text in pair] for pair in zip(premises, hypotheses)]
        with multiprocessing.Pool(NUM_WORKERS) as pool:
            rows = pool.map(self.row, words)
        ids, segments, lengths = zip(*rows)
        self.num_tokens = sum(lengths)
        self.ids, self.segments = np.array(ids, dtype="int32"), np.array(segments, dtype="int32")
        self.lengths, self.labels = np.array(lengths), np.array([LABELS.index(label) for label in labels])

    def row(self, words):
        first, second = words
        while len(first) + len(second) > self.max_len - 3:
            (first if len(first) > len(second) else second).pop()
        tokens = ["[CLS]", *first, "[SEP]", *second, "[SEP]"]
        unknown = self.vocab["[UNK]"]
        padding = self.max_len - len(tokens)
        ids = [self.vocab.get(token, unknown) for token in tokens] + [self.vocab["[PAD]"]] * padding
        segments = [0] * (len(first) + 2) + [1] * (len(second) + 1) + [0] * padding
        return ids, segments, len(tokens)

    def __getitem__(self, i):
        return (self.ids[i], self.segments[i], self.lengths[i]), self.labels[i]

    def __len__(self):
        return len(self.ids)


class Attention(nn.Block):
    """Multi-head attention of a sequence to itself."""

    def __init__(self, units, heads, dropout):
        super().__init__()
        self.heads = heads
        self.query, self.key, self.value, self.out = (nn.Dense(units, flatten=False) for _ in range(4))
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, lengths):
        query, key, value = (self.split(dense(x)) for dense in (self.query, self.key, self.value))
        scores = npx.batch_dot(query, key, transpose_b=True) / query.shape[-1] ** 0.5
        flat = scores.reshape(-1, scores.shape[-1])
        flat = npx.sequence_mask(flat, lengths.repeat(len(flat) // len(lengths)), True, value=-1e6, axis=1)
        mixed = npx.batch_dot(self.dropout(npx.softmax(flat).reshape(scores.shape)), value)
        mixed = mixed.reshape(-1, self.heads, *mixed.shape[1:]).transpose(0, 2, 1, 3)
        return self.out(mixed.reshape(*mixed.shape[:2], -1))

    def split(self, x):
        x = x.reshape(*x.shape[:2], self.heads, -1).transpose(0, 2, 1, 3)
        return x.reshape(-1, *x.shape[2:])


class Layer(nn.Block):
    """Attention and a feed-forward net, each followed by its residual sum and layer normalization."""

    def __init__(self, units, hidden, heads, dropout):
        super().__init__()
        self.attention = Attention(units, heads, dropout)
        self.inner, self.outer = nn.Dense(hidden, activation="relu", flatten=False), nn.Dense(units, flatten=False)
        self.norms = nn.Sequential()
        self.norms.add(nn.LayerNorm(), nn.LayerNorm())
        self.dropout = nn.Dropout(dropout)

    def forward(self, x, lengths):
        x = self.norms[0](self.dropout(self.attention(x, lengths)) + x)
        return self.norms[1](self.dropout(self.outer(self.inner(x))) + x)


class Classifier(nn.Block):
    """The encoder, its tanh layer on the first token, and three outputs."""

    def __init__(self, shape, dropout):
        super().__init__()
        units = shape["units"]
        self.tokens, self.segments = nn.Embedding(shape["vocab_size"], units), nn.Embedding(2, units)
        self.positions = self.params.get("positions", shape=(1, shape["max_length"], units))
        self.layers = nn.Sequential()
        for _ in range(shape["layers"]):
            self.layers.add(Layer(units, shape["hidden"], shape["heads"], dropout))
        self.hidden, self.out = nn.Dense(units, activation="tanh"), nn.Dense(len(LABELS))

    def forward(self, inputs):
        ids, segments, lengths = inputs
        x = self.tokens(ids) + self.segments(segments)
        x = x + self.positions.data(ctx=x.ctx)[:, : x.shape[1], :]
        for layer in self.layers:
            x = layer(x, lengths)
        return self.out(self.hidden(x[:, 0, :]))


def main():
    worker = Worker()
    job = worker.job
    mx.random.seed(job.seed)
    ctx = npx.gpu() if npx.num_gpus() else npx.cpu()
    vocab = {token: i for i, token in enumerate(Path(job.checkpoint, "vocab.txt").read_text("utf-8").splitlines())}
    train, dev = (PaddedPairs(read_pairs(path), vocab, job.max_len) for path in (job.train_file, job.dev_file))
    batches = gluon.data.DataLoader(train, job.batch_size, shuffle=True, num_workers=NUM_WORKERS)
    dev_batches = gluon.data.DataLoader(dev, job.batch_size, num_workers=NUM_WORKERS)
    net = Classifier(job.shape, job.dropout)
    net.initialize(mx.init.Xavier(), ctx=ctx)
    trainer = gluon.Trainer(net.collect_params(), "adam", {"learning_rate": LEARNING_RATE})
    cross_entropy = gluon.loss.SoftmaxCrossEntropyLoss()

    def hits(out, labels):
        return float((out.argmax(axis=1).astype(labels.dtype) == labels).astype("int32").sum())

    def evaluate():
        right = 0.0
        for inputs, labels in dev_batches:
            right += hits(net([array.as_in_ctx(ctx) for array in inputs]), labels.as_in_ctx(ctx))
        return len(dev), right / len(dev)

    def encode(*columns):
        return PaddedPairs(columns, vocab, job.max_len).num_tokens

    worker.begin(evaluate, encode, npx.waitall, ("mxnet", "numpy"), str(ctx))
    total_loss = num_right = 0.0
    for _ in range(job.epochs):
        for inputs, labels in batches:
            inputs, labels = [array.as_in_ctx(ctx) for array in inputs], labels.as_in_ctx(ctx)
            with autograd.record():
                out = net(inputs)
                loss = cross_entropy(out, labels)
            loss.backward()
            trainer.step(len(labels), ignore_stale_grad=True)
            total_loss += float(loss.sum())
            num_right += hits(out, labels)
            worker.step(len(labels), inputs[2].sum(), inputs[0].size)
    worker.end()


if __name__ == "__main__":
    main()
