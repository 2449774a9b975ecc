"""What the checks of the GPU benchmark do in processes of their own.

``python xla_checks.py equality JOB`` compares a classifier through XLA on a device with MXNet's on CPU, and prints the
largest differences as JSON. ``python xla_checks.py stop JOB`` begins a run of ``finetune`` that stops by itself after
some updates, as at Ctrl-C.
"""

import json
import os
import signal
import sys
from typing import Any, Dict

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


if __name__ == "__main__":
    {"equality": equality, "stop": stop}[sys.argv[1]](json.loads(sys.argv[2]))
