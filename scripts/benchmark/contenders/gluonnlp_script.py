"""What GluonNLP v0.10.0's ``scripts/bert/finetune_classifier.py`` does with its default options, reimplemented.

Each call that costs time is the script's: a tokenizer a row, four workers that make batches, ten buckets of lengths,
gradients clipped in one sum, and a look at the loss after every step.
"""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.data.bert.glue import concat_sequences, truncate_seqs_equal
from mxnet.gluon.data import DataLoader, SimpleDataset
from worker import LABELS, Worker, read_pairs

import gluonnlp_snli_plugin  # noqa: F401  the weights by name

NUM_WORKERS = 4


def main():
    worker = Worker()
    job = worker.job
    mx.random.seed(job.seed)
    np.random.seed(job.seed)
    ctx = mx.gpu() if mx.context.num_gpus() else mx.cpu()
    bert, vocab = nlp.model.get_model(
        job.backbone, dataset_name=job.dataset_name, ctx=ctx, use_decoder=False, use_classifier=False
    )
    net = nlp.model.BERTClassifier(bert, num_classes=len(LABELS), dropout=job.dropout)
    net.classifier.initialize(mx.init.Normal(0.02), ctx=ctx)
    net.hybridize(static_alloc=True)
    cross_entropy = mx.gluon.loss.SoftmaxCELoss()
    cross_entropy.hybridize(static_alloc=True)

    def encode(premises, hypotheses, labels):
        tokenizer = nlp.data.BERTTokenizer(vocab, lower=job.lower)
        return [to_features(row, tokenizer, vocab, job.max_len) for row in zip(premises, hypotheses, labels)]

    train, dev = (SimpleDataset(encode(*read_pairs(path))) for path in (job.train_file, job.dev_file))
    batchify = nlp.data.batchify.Tuple(
        nlp.data.batchify.Pad(axis=0, pad_val=vocab[vocab.padding_token]),
        nlp.data.batchify.Pad(axis=0, pad_val=0),
        nlp.data.batchify.Stack(),
        nlp.data.batchify.Stack("int32"),
    )
    lengths = train.transform(lambda input_ids, segment_ids, valid_length, label: valid_length, lazy=False)
    sampler = nlp.data.FixedBucketSampler(lengths, job.batch_size, num_buckets=10, ratio=0, shuffle=True)
    batches = DataLoader(train, batch_sampler=sampler, batchify_fn=batchify, num_workers=NUM_WORKERS)
    dev_batches = DataLoader(dev, job.eval_batch_size, batchify_fn=batchify, num_workers=NUM_WORKERS)

    def outputs(input_ids, segment_ids, valid_length):
        valid_length = valid_length.as_in_context(ctx).astype("float32")
        return net(input_ids.as_in_context(ctx), segment_ids.as_in_context(ctx), valid_length)

    def evaluate():
        metric, total_loss = mx.metric.Accuracy(), 0
        for *inputs, label in dev_batches:
            label = label.as_in_context(ctx)
            out = outputs(*inputs)
            total_loss += cross_entropy(out, label).mean().asscalar()
            metric.update([label.reshape(-1)], [out])
        return len(dev), metric.get()[1]

    parameters = net.collect_params()
    for parameter in net.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0
    settings = {"learning_rate": job.lr, "epsilon": 1e-6, "wd": 0.01}
    trainer = mx.gluon.Trainer(parameters, "bertadam", settings, update_on_kvstore=False)
    trained = [parameter for parameter in parameters.values() if parameter.grad_req != "null"]
    num_steps = int(len(train) / job.batch_size * job.epochs)
    warm = int(num_steps * job.warmup_ratio)

    worker.begin(
        evaluate,
        lambda *columns: sum(features[2] for features in encode(*columns)),
        mx.nd.waitall,
        ("mxnet", "gluonnlp", "numpy"),
        str(ctx),
    )
    step = 0
    metric = mx.metric.Accuracy()
    for _ in range(job.epochs):
        for *inputs, label in batches:
            falling = max(num_steps - step, 0) / max(num_steps - warm, 1)
            trainer.set_learning_rate(job.lr * (step / warm if step < warm else falling))
            label = label.as_in_context(ctx)
            with mx.autograd.record():
                out = outputs(*inputs)
                loss = cross_entropy(out, label).mean()
            loss.backward()
            trainer.allreduce_grads()
            nlp.utils.clip_grad_global_norm(trained, 1)
            trainer.update(1)
            step += 1
            loss.asscalar()
            metric.update([label.reshape(-1)], [out])
            worker.step(len(label), inputs[2].sum().asscalar(), inputs[0].size)
    worker.end()


def to_features(row, tokenizer, vocab, max_len):
    """One row as the script makes it: input_ids, segment_ids, valid_length, label."""
    *texts, label = row
    first, second = truncate_seqs_equal([tokenizer(text) for text in texts], max_len - 3)
    tokens, segment_ids, _ = concat_sequences([[vocab.cls_token] + first, second], [[vocab.sep_token]] * 2)
    input_ids = vocab[tokens]
    return input_ids, segment_ids, len(input_ids), np.array([LABELS.index(label)], dtype="int32")


if __name__ == "__main__":
    main()
