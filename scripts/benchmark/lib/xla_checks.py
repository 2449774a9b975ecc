"""What the checks of the GPU benchmark do in processes of their own.

``python xla_checks.py equality JOB`` compares a classifier through XLA on a device with MXNet's on CPU, and prints the
largest differences as JSON. ``python xla_checks.py stop JOB`` begins a run of ``finetune`` that stops by itself after
some updates, as at Ctrl-C. ``python xla_checks.py script JOB`` does some updates of a script of GluonNLP's without
dropout, and writes its first logits and its last parameters into a file.
"""

import json
import os
import signal
import sys
import tempfile
from typing import Any, Dict, List

_SEED = 0


def equality(job: Dict[str, Any]) -> None:
    """The largest difference of logits, and of gradients, each over the largest of them, by precision."""
    import gluonnlp_snli_plugin as snli  # the project first, as in its command  # noqa: I001
    from gluonnlp_snli_plugin.formats.models import snli_bert_classifier
    from gluonnlp_snli_plugin.model.family import hparams_of
    from gluonnlp_snli_plugin.model.heads import head_named
    from gluonnlp_snli_plugin.xla.setup import configure

    import mxnet as mx
    import numpy as np

    contexts = [mx.Context(job["device"], 0)]
    configure(contexts)
    import jax

    from gluonnlp_snli_plugin.xla.bert import Bert
    from gluonnlp_snli_plugin.xla.classifier import Classifier
    from gluonnlp_snli_plugin.xla.inference import arrays_of
    from gluonnlp_snli_plugin.xla.mesh import DeviceMesh
    from gluonnlp_snli_plugin.xla.precision import PRECISIONS

    snli.activate()
    mx.random.seed(_SEED)
    random = np.random.RandomState(_SEED)
    sizes = {"num_classes": 3, "hidden_units": 64, "dropout": 0.0}
    net, vocab = snli_bert_classifier(
        job["backbone"], dataset_name=job["dataset_name"], pretrained=True, head="mlp", ctx=[mx.cpu()], **sizes
    )
    rows, length = 16, 32
    inputs = {
        "input_ids": random.randint(0, len(vocab), (rows, length)).astype(np.int32),
        "segment_ids": random.randint(0, 2, (rows, length)).astype(np.int32),
        "valid_length": random.randint(5, length + 1, rows).astype(np.int32),
        "label": random.randint(0, 3, rows).astype(np.int32),
    }
    dtypes = {"input_ids": "int32", "segment_ids": "int32", "valid_length": "float32"}  # as GluonNLP's BERT takes them
    ids = [mx.nd.array(inputs[name], dtype=dtype) for name, dtype in dtypes.items()]
    with mx.autograd.record(train_mode=False):
        logits = net(*ids)
        loss = mx.gluon.loss.SoftmaxCrossEntropyLoss()(logits, mx.nd.array(inputs["label"])).mean()
    loss.backward()
    gradients = {
        name: parameter.grad(mx.cpu()).asnumpy()
        for name, parameter in net._collect_params_with_prefix().items()
        if parameter.grad_req != "null"
    }
    mesh = DeviceMesh(contexts)
    weights = mesh.replicate(arrays_of(net))
    given = mesh.divide({**inputs, "weight": np.ones(rows, np.float32)})
    for dtype in job["dtypes"]:
        bert = Bert({**hparams_of(job["backbone"]), "dropout": 0.0}, PRECISIONS[dtype])
        classifier = Classifier(bert, head_named("mlp"), **sizes)

        def mean_loss(weights: Any, given: Any, classifier: Any = classifier) -> Any:
            return classifier.figures(weights, given)["loss"] / rows

        found = jax.jit(jax.grad(mean_loss))(weights, given)
        pairs = [(np.asarray(jax.jit(classifier.logits)(weights, given)), logits.asnumpy())]
        pairs += [(np.asarray(found[name]), gradient) for name, gradient in gradients.items() if name in found]
        assert len(pairs) > len(gradients) / 2  # by its other names, a shared parameter is not found
        differences = [np.abs(mine - other).max() for mine, other in pairs]
        largest = [np.abs(other).max() for _, other in pairs]
        relative = {
            "logits": differences[0] / largest[0],
            "gradients": max(differences[1:]) / max(largest[1:]),
        }
        print(json.dumps({"dtype": dtype, **{name: float(value) for name, value in relative.items()}}))


def stop(job: Dict[str, Any]) -> None:
    """Begin a run with ``job["settings"]`` that gets SIGINT after ``job["updates"]`` updates."""
    from gluonnlp_snli_plugin.errors import Stopped
    from gluonnlp_snli_plugin.train import finetuning, loop

    class StoppingProgress(loop.Progress):
        """Counts updates."""

        updates = 0

        def advance(self) -> None:
            super().advance()
            self.updates += 1
            if self.updates == job["updates"]:
                os.kill(os.getpid(), signal.SIGINT)

    loop.Progress = StoppingProgress  # type: ignore[misc]
    try:
        finetuning.finetune(**job["settings"])
    except Stopped:
        return
    sys.exit("the run has not stopped")


def script(job: Dict[str, Any]) -> None:
    """The first logits and the parameters after ``job["updates"]`` updates of ``gluonnlp-snli``'s ``job["arguments"]``.

    They are written into the file ``job["arrays"]``, in the format of NumPy.
    """
    from gluonnlp_snli_plugin.cli import main as run_command  # noqa: I001

    import gluonnlp as nlp
    import mxnet as mx
    import numpy as np

    net_class, trainer_class = nlp.model.BERTClassifier, mx.gluon.Trainer
    forward, update = net_class.__call__, trainer_class.update
    nets: List[Any] = []
    arrays: Dict[str, Any] = {}
    updates: List[Any] = []

    def without_dropout(net: Any, *inputs: Any) -> Any:
        if not nets:
            nets.append(net)
            net.apply(_remove_dropout)
        outputs = forward(net, *inputs)
        arrays.setdefault("logits", outputs.asnumpy())
        return outputs

    def counted(trainer: Any, *arguments: Any, **settings: Any) -> None:
        update(trainer, *arguments, **settings)
        updates.append(trainer)
        if len(updates) == job["updates"]:
            for name, parameter in nets[0]._collect_params_with_prefix().items():
                arrays[f"parameter {name}"] = parameter.list_data()[0].asnumpy()
            np.savez(job["arrays"], **arrays)
            sys.exit()  # of the script

    net_class.__call__, trainer_class.update = without_dropout, counted
    with tempfile.TemporaryDirectory() as folder:
        os.chdir(folder)  # the script writes its log and its results where it is started
        status = run_command(job["arguments"])
    if status or len(updates) < job["updates"]:
        sys.exit(status or f"the script has ended after {len(updates)} updates")


def _remove_dropout(block: Any) -> None:
    for name in ("_rate", "_dropout"):
        if isinstance(getattr(block, name, None), float):
            setattr(block, name, 0.0)


if __name__ == "__main__":
    {"equality": equality, "stop": stop, "script": script}[sys.argv[1]](json.loads(sys.argv[2]))
