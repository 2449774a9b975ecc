"""This project: ``finetune`` as it is, held before the first update and where it shows its progress, after each one.

``job.settings`` are further settings of ``finetune``. ``job.scorer`` names what scores the dev pairs: 'float32', as
``evaluate`` does by default; 'int8', or ONNX Runtime, 'onnx' or 'onnx-int8'.
"""

# This project first, as in its command: an MXNet that is imported before it takes half the cores.
import collections  # noqa: I001
import functools
import tempfile

from gluonnlp_snli_plugin.evaluate.predictor import scorer_of
from gluonnlp_snli_plugin.model.inference import for_evaluation, logits
from gluonnlp_snli_plugin.native import is_accelerated
from gluonnlp_snli_plugin.train import finetuning, loop

import mxnet as mx
from worker import Worker


def main():
    worker = Worker()
    job = worker.job
    models: list = []
    batches: collections.deque = collections.deque()
    initial_model = finetuning.initial_model

    def remembered_model(*arguments):
        found = initial_model(*arguments)
        models.append(found.model)
        return found

    def encode(*columns):
        return len(models[0].encoder().encode(*columns).input_ids)

    class CountedBatches(finetuning.LengthBucketBatches):
        """Notes how large the batches are; they may be made ahead of their step, but in its order."""

        def epoch(self, *arguments):
            for batch in super().epoch(*arguments):
                batches.append((len(batch.label), batch.valid_length.sum(), batch.input_ids.size))
                yield batch

    class HeldBest(finetuning.Best):
        """Scores the dev pairs for the benchmark, with the net and the encoded pairs that are being trained with."""

        def __init__(self, run, engine, encoded, classes, save):
            super().__init__(run, engine, encoded, classes, save)
            places = run.devices.places
            uses_xla = run.devices.uses_xla
            net = None if uses_xla else for_evaluation(models[0].net)
            score = [net and functools.partial(logits, net, contexts=places, batch_size=job.eval_batch_size)]

            def prepare():
                if job.scorer.startswith("onnx"):
                    from onnx_net import onnx_net

                    other = onnx_net(models[0], folder, job.scorer == "onnx-int8")
                    score[:] = [functools.partial(logits, other, contexts=places, batch_size=job.eval_batch_size)]
                elif net is not None:
                    score[:] = [scorer_of(net, job.scorer, is_accelerated(net), places, job.eval_batch_size)]

            def evaluate():
                if uses_xla:
                    scores = engine.logits(encoded)
                else:
                    scores = score[0](encoded)
                return len(encoded), (scores.argmax(axis=1) == encoded.labels).mean()

            def wait():
                if uses_xla:
                    import jax

                    engine._programs.wait()  # of lengths to come: compiling would slow down whoever is measured next
                    jax.block_until_ready(engine._state)
                mx.nd.waitall()

            packages = ("mxnet", "gluonnlp", "numpy", *(["jax"] if uses_xla else []))
            worker.begin(evaluate, encode, wait, packages, str(places[0]), prepare)

    class HeldProgress(loop.Progress):
        """Waits for the benchmark after each update."""

        def advance(self):
            super().advance()
            worker.step(*batches.popleft())

    loop.Progress = HeldProgress  # type: ignore[misc]
    held = {"LengthBucketBatches": CountedBatches, "Best": HeldBest, "initial_model": remembered_model}
    for name, replacement in held.items():
        setattr(finetuning, name, replacement)
    with tempfile.TemporaryDirectory() as folder:
        finetuning.finetune(
            output_dir=folder,
            dataset_name=job.dataset_name,
            train_file=job.train_file,
            dev_file=job.dev_file,
            batch_size=job.batch_size,
            max_len=job.max_len,
            lr=job.lr,
            warmup_ratio=job.warmup_ratio,
            dropout=job.dropout,
            epochs=job.epochs,
            seed=job.seed,
            **job.settings,
        )
        worker.end()


if __name__ == "__main__":
    main()
