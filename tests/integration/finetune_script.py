"""A fine-tuning script of the kind GluonNLP's are: one process, one device, the toolkit through its own calls.

It knows nothing of the plugin, of ranks or of SNLI. With $FINGERPRINTS it leaves there, by a way of its own, what each
process has ended with.
"""

import argparse
import hashlib
import json
import logging
import os
import random

import gluonnlp as nlp
import mxnet as mx
import numpy as np
from gluonnlp.data import BERTTokenizer
from gluonnlp.data.bert.glue import concat_sequences, truncate_seqs_equal
from gluonnlp.data.classification import get_task
from gluonnlp.model import BERTClassifier
from mxnet import gluon
from mxnet.contrib.amp import amp

parser = argparse.ArgumentParser(formatter_class=argparse.ArgumentDefaultsHelpFormatter)
parser.add_argument("--task_name", choices=["MRPC", "RTE", "MNLI"])
parser.add_argument("--bert_model", default="bert_12_768_12", choices=["bert_12_768_12", "bert_24_1024_16"])
parser.add_argument(
    "--bert_dataset",
    default="book_corpus_wiki_en_uncased",
    choices=["book_corpus_wiki_en_uncased", "book_corpus_wiki_en_cased", "wiki_cn_cased"],
)
parser.add_argument("--gpu", type=int, default=None)
parser.add_argument("--epochs", type=int, default=1)
parser.add_argument("--batch_size", type=int, default=8)
parser.add_argument("--accumulate", type=int, default=1)
parser.add_argument("--lr", type=float, default=1e-3)
parser.add_argument("--dropout", type=float, default=0.0)
parser.add_argument("--dtype", default="float32", choices=["float32", "float16"])
parser.add_argument("--num_buckets", type=int, default=1)
parser.add_argument("--num_workers", type=int, default=0)
parser.add_argument("--shuffle", action="store_true")
parser.add_argument("--early_stop", type=int, default=None)
parser.add_argument("--max_len", type=int, default=32)
parser.add_argument("--seed", type=int, default=2)
parser.add_argument("--output_dir", default="output")
args = parser.parse_args()

log = logging.getLogger()
log.setLevel(logging.INFO)
for handler in (logging.FileHandler("log.txt"), logging.StreamHandler()):
    log.addHandler(handler)
logging.info(args)

np.random.seed(args.seed)
random.seed(args.seed)
mx.random.seed(args.seed)
ctx = mx.cpu() if args.gpu is None else mx.gpu(args.gpu)

task = get_task(args.task_name)
if args.dtype == "float16":
    amp.init()
bert, vocabulary = nlp.model.get_model(
    name=args.bert_model,
    dataset_name=args.bert_dataset,
    pretrained=True,
    ctx=ctx,
    use_pooler=True,
    use_decoder=False,
    use_classifier=False,
    dropout=args.dropout,
)
model = BERTClassifier(bert, dropout=args.dropout, num_classes=len(task.class_labels))
model.classifier.initialize(init=mx.init.Normal(0.02), ctx=ctx)
loss_function = gluon.loss.SoftmaxCELoss()
model.hybridize(static_alloc=True)
loss_function.hybridize(static_alloc=True)
tokenizer = BERTTokenizer(vocabulary, lower="uncased" in args.bert_dataset)


def encode(row):
    label = np.array([task.class_labels.index(row[-1])], dtype="int32")
    sentences = truncate_seqs_equal([tokenizer(text) for text in row[:-1]], args.max_len - 3)
    sentences[0] = [vocabulary.cls_token] + sentences[0]
    tokens, segment_ids, _ = concat_sequences(sentences, [[vocabulary.sep_token]] * len(sentences))
    return vocabulary[tokens], segment_ids, len(tokens), label


batchify_fn = nlp.data.batchify.Tuple(
    nlp.data.batchify.Pad(axis=0, pad_val=vocabulary[vocabulary.padding_token]),
    nlp.data.batchify.Pad(axis=0, pad_val=0),
    nlp.data.batchify.Stack(),
    nlp.data.batchify.Stack("int32"),
)
data_train = gluon.data.SimpleDataset([encode(row) for row in task.dataset_train()[1]])
lengths = data_train.transform(lambda _, segment_ids, valid_length, label: valid_length, lazy=False)
sampler = nlp.data.sampler.FixedBucketSampler(
    lengths, batch_size=args.batch_size, num_buckets=args.num_buckets, shuffle=args.shuffle
)
train_data = gluon.data.DataLoader(
    data_train, batch_sampler=sampler, batchify_fn=batchify_fn, num_workers=args.num_workers
)
data_dev = gluon.data.SimpleDataset([encode(row) for row in task.dataset_dev()[1]])
dev_data = gluon.data.DataLoader(data_dev, batch_size=16, batchify_fn=batchify_fn)


def forward(batch):
    input_ids, segment_ids, valid_length, label = (array.as_in_context(ctx) for array in batch)
    out = model(input_ids, segment_ids, valid_length.astype("float32"))
    return out, label, loss_function(out, label).mean()


def evaluate():
    task.metrics.reset()
    for batch in dev_data:
        out, label, _ = forward(batch)
        task.metrics.update([label.reshape(-1)], [out])
    return task.metrics.get()[1]


nlp.utils.mkdir(args.output_dir)
parameters = model.collect_params()
trainer = gluon.Trainer(
    parameters, "bertadam", {"learning_rate": args.lr, "epsilon": 1e-6, "wd": 0.01}, update_on_kvstore=False
)
if args.dtype == "float16":
    amp.init_trainer(trainer)
for parameter in model.collect_params(".*beta|.*gamma|.*bias").values():
    parameter.wd_mult = 0.0
trained = [parameter for parameter in parameters.values() if parameter.grad_req != "null"]
if args.accumulate > 1:
    for parameter in trained:
        parameter.grad_req = "add"

num_steps, scores, patience = 0, [], args.early_stop
for epoch in range(args.epochs):
    parameters.zero_grad()
    task.metrics.reset()
    for number, batch in enumerate(train_data, 1):
        with mx.autograd.record():
            out, label, loss = forward(batch)
            if args.dtype == "float16":
                with amp.scale_loss(loss, trainer) as scaled_loss:
                    mx.autograd.backward(scaled_loss)
            else:
                loss.backward()
        if number % args.accumulate == 0:
            trainer.allreduce_grads()
            nlp.utils.clip_grad_global_norm(trained, 1)
            trainer.update(args.accumulate)
            num_steps += 1
            if args.accumulate > 1:
                parameters.zero_grad()
        task.metrics.update([label.reshape(-1)], [out])
    logging.info("epoch %d: training accuracy %.4f", epoch, task.metrics.get()[1])
    scores.append(evaluate())
    logging.info("epoch %d: dev accuracy %.4f", epoch, scores[-1])
    nlp.utils.save_parameters(model, os.path.join(args.output_dir, f"model_{epoch}.params"))
    if args.early_stop and len(scores) > 1 and scores[-1] <= max(scores[:-1]):
        patience -= 1
        if patience == 0:
            logging.info("stopping early")
            break

fingerprint = hashlib.sha256()
for parameter in parameters.values():
    fingerprint.update(parameter.data(ctx).asnumpy().tobytes())
best = scores.index(max(scores))
nlp.utils.load_parameters(model, os.path.join(args.output_dir, f"model_{best}.params"), ctx=ctx)
assert evaluate() == scores[best]
with open(os.path.join(args.output_dir, "scores.json"), "w") as scores_file:
    json.dump(scores, scores_file)

if "FINGERPRINTS" in os.environ:
    report = {
        "steps": num_steps,
        "pairs": len(data_train),
        "batches": len(train_data),
        "scores": scores,
        "weights": fingerprint.hexdigest(),
        "threads": os.environ.get("OMP_NUM_THREADS"),
    }
    path = os.path.join(os.environ["FINGERPRINTS"], str(os.getpid()))
    os.write(os.open(path, os.O_WRONLY | os.O_CREAT), json.dumps(report).encode())
