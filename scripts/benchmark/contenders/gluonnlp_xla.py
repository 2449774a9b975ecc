"""A fine-tuning script of GluonNLP's under ``gluonnlp-snli run``, its net through XLA; held after each update.

``job.arguments`` are those of the command, in which ``{name}`` stands for ``job.name``. It also tells how long each
part of an update takes.
"""

# This project first, as in its command.
from gluonnlp_snli_plugin.cli import main as run_command  # noqa: I001
from gluonnlp_snli_plugin.xla.programs import Programs

import os
import sys
import tempfile

import gluonnlp as nlp
import jax
import mxnet as mx
from stopwatch import Stopwatch
from worker import Worker


def main():
    worker, stopwatch = Worker(), Stopwatch()
    job = worker.job
    programs: list = []
    sizes: list = []
    make_programs, make_trainer = Programs.__init__, mx.gluon.Trainer.__init__

    def remembered(instance, *arguments, **settings):
        make_programs(instance, *arguments, **settings)
        programs.append(instance)

    def begin(trainer, *arguments, **settings):
        """The script has set up all that its loop needs: the parts of it can be timed as they are by now."""
        make_trainer(trainer, *arguments, **settings)
        time_parts(stopwatch)
        forward, update = nlp.model.BERTClassifier.__call__, mx.gluon.Trainer.update

        def measured(net, input_ids, segment_ids, valid_length):
            sizes[:] = len(input_ids), valid_length.asnumpy().sum(), input_ids.size
            return forward(net, input_ids, segment_ids, valid_length)

        def held(trainer, *arguments, **settings):
            update(trainer, *arguments, **settings)
            worker.step(*sizes, **stopwatch.take())

        def wait():
            for instance in programs:  # those for lengths to come: compiling would slow down who is measured next
                instance.wait()
            jax.block_until_ready([parameter.list_data()[0].values for parameter in trainer._params])

        nlp.model.BERTClassifier.__call__, mx.gluon.Trainer.update = measured, held
        worker.begin(None, None, wait, ("mxnet", "gluonnlp", "numpy", "jax"), str(trainer._contexts[0]))

    Programs.__init__, mx.gluon.Trainer.__init__ = remembered, begin
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the script writes its log and its results where it is started
        status = run_command([word.format(**vars(job)) for word in job.arguments])
        if status:
            sys.exit(status)
        worker.end()


def time_parts(stopwatch):
    """Time the calls of a loop like that of ``finetune_classifier.py``; what it does besides is the rest."""
    stopwatch.time_iteration("loader", mx.gluon.data.DataLoader)
    stopwatch.time_calls("forward", nlp.model.BERTClassifier, "__call__")
    for owner, name in (
        (mx.gluon.loss.SoftmaxCrossEntropyLoss, "__call__"),
        (mx.nd.NDArray, "asscalar"),
        (mx.metric.Accuracy, "update"),
    ):
        stopwatch.time_calls("loss", owner, name)
    for owner in (mx.nd.NDArray, mx.autograd):
        stopwatch.time_calls("backward", owner, "backward")
    stopwatch.time_calls("clipping", nlp.utils, "clip_grad_global_norm")
    for name in ("allreduce_grads", "update"):
        stopwatch.time_calls("update", mx.gluon.Trainer, name)


if __name__ == "__main__":
    main()
