"""GluonNLP's own ``scripts/bert/finetune_classifier.py``, unchanged, run by the plugin and held after each update.

``job.script`` is its path. It runs with its default options but those that all contenders share; on MXNet's own
operators unless ``job.native``.
"""

import os
import sys
import tempfile

import gluonnlp as nlp
import mxnet as mx
from gluonnlp_script import to_features
from worker import Worker

from gluonnlp_snli_plugin.host import run_script


def main():
    worker = Worker()
    job = worker.job
    sizes: list = []
    forward, make_trainer, update = (
        nlp.model.BERTClassifier.__call__,
        mx.gluon.Trainer.__init__,
        mx.gluon.Trainer.update,
    )

    def counted(net, input_ids, segment_ids, valid_length):
        sizes[:] = len(input_ids), valid_length.sum().asscalar(), input_ids.size
        return forward(net, input_ids, segment_ids, valid_length)

    def begin(trainer, *arguments, **settings):
        make_trainer(trainer, *arguments, **settings)
        script = sys.modules["__main__"]

        def evaluate():
            dev = script.dev_data_list[0][1]
            return len(dev._dataset), script.evaluate(dev, mx.metric.Accuracy(), "dev")[1][0]

        def encode(*columns):
            rows = zip(*columns)
            return sum(to_features(row, script.bert_tokenizer, script.vocabulary, job.max_len)[2] for row in rows)

        worker.begin(evaluate, encode, mx.nd.waitall, ("mxnet", "gluonnlp", "numpy"), str(script.ctx))

    def held(trainer, *arguments, **settings):
        update(trainer, *arguments, **settings)
        worker.step(*sizes)

    nlp.model.BERTClassifier.__call__ = counted
    mx.gluon.Trainer.__init__, mx.gluon.Trainer.update = begin, held
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # it writes its log and its results where it is started
        options = {
            "task_name": "SNLI",
            "bert_model": job.backbone,
            "bert_dataset": job.dataset_name,
            "batch_size": job.batch_size,
            "max_len": job.max_len,
            "lr": job.lr,
            "epochs": job.epochs,
            "warmup_ratio": job.warmup_ratio,
            "seed": job.seed,
        }
        if mx.context.num_gpus():
            options["gpu"] = 0
        arguments = [str(word) for name, value in options.items() for word in (f"--{name}", value)]
        files = {"train": job.train_file, "dev": job.dev_file}
        status = run_script(job.script, arguments, files, native=job.native)
        if status:
            sys.exit(status)
        worker.end()


if __name__ == "__main__":
    main()
