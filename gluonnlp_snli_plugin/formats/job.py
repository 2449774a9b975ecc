"""What is exported: a fine-tuned model, where it came from, and pairs with the logits it gives for them."""

import dataclasses
from pathlib import Path
from typing import Any, Callable, Dict, Iterable, List, Optional, Sequence

import mxnet as mx
import numpy as np

from ..data.batches import Batch, LengthBucketBatches
from ..data.encoding import EncodedPairs
from ..data.reader import PairReader
from ..errors import CheckpointError, DataError, UsageError
from ..model.family import family_of
from ..native.layers import restore
from ..tasks.sample import sample_pairs
from ..tasks.task import schema_of
from .format import PathLike, content_of
from .model_folder import Model
from .reading import load_finetuned

_BATCH_SIZE = 32


@dataclasses.dataclass(frozen=True)
class Job:
    """A model to export.

    Attributes
    ----------
    model : Model
        Float32 and on CPU, of MXNet's own operators alone.
    source : Path
        What it was read from.
    rows : list of [premise, hypothesis, label or None]
    pairs_name : str
        What a message calls these pairs.
    encoded : EncodedPairs
        The rows as the model's inputs, without labels.
    logits : ndarray of float32, shape (pairs, classes)
        Of the model for these pairs.
    """

    model: Model
    source: Path
    rows: List[List[Any]]
    pairs_name: str
    encoded: EncodedPairs
    logits: np.ndarray

    @classmethod
    def of(
        cls,
        path: PathLike,
        file: Optional[PathLike] = None,
        dataset_name: Optional[str] = None,
        backbone: Optional[str] = None,
    ) -> "Job":
        """Read a fine-tuned model and compute its logits.

        Parameters
        ----------
        path : str or Path
            As :func:`.load_finetuned` takes it.
        file : str, Path or None
            Pairs in SNLI's format, with labels or without; default: the dev pairs of the embedded sample.
        dataset_name, backbone : str or None
            Of a ``.params`` file.

        Returns
        -------
        Job
        """
        model = load_finetuned(path, None, dataset_name, backbone)
        if not isinstance(model.net, mx.gluon.Block):
            raise UsageError(f"{path} is an export already: export the model that it was made from")
        restore(model.net)
        model.net.hybridize(static_alloc=True)
        name = "the embedded sample's dev pairs" if file is None else str(file)
        schema = schema_of(model.settings.labels, model.settings.task)
        pairs: Iterable[Sequence[Any]] = (
            sample_pairs("dev") if file is None else PairReader(file, labelled=False, schema=schema)
        )
        rows = [list(row) for row in pairs]
        if not rows:
            raise DataError(f"{file} has no pairs")
        encoded = encode_rows(model, rows)
        logits = logits_of(model.net, encoded)
        if not np.isfinite(logits).all():
            raise CheckpointError(f"{path}: its answers are not finite numbers: its weights are damaged")
        return cls(model, Path(path), rows, name, encoded, logits)

    def parameters(self) -> Dict[str, np.ndarray]:
        """The model's parameters by the names in its file, as float32."""
        named = self.model.net._collect_params_with_prefix().items()
        return {name: parameter.data(mx.cpu()).asnumpy() for name, parameter in named}

    def record(self, name: str) -> Dict[str, Any]:
        """``config.json`` or ``summary.json`` of the run that trained the model; empty where there is none."""
        return content_of(self.source / name)

    def settings(self) -> Dict[str, Any]:
        """What it takes besides a graph to get from text to a label, ready for JSON."""
        settings, vocab = self.model.settings, self.model.vocab
        before, _, after = family_of(settings.backbone).layout.ids(vocab)
        return {
            "labels": list(settings.labels),
            "max_len": settings.max_len,
            "truncation": settings.truncation,
            "lower_case": settings.tokenizer.lower,
            "cls_id": before[0],
            "sep_id": after[-1],
            "pad_id": vocab[vocab.padding_token],
        }


def encode_rows(model: Model, rows: List[List[Any]]) -> EncodedPairs:
    """Rows that begin with premise and hypothesis, as a model's inputs."""
    return model.encoder().encode([row[0] for row in rows], [row[1] for row in rows])


def logits_of(net: Callable[..., mx.nd.NDArray], encoded: EncodedPairs) -> np.ndarray:
    """The logits that a net gives for encoded pairs; ndarray of float32, shape (pairs, classes).

    Parameters
    ----------
    net : callable
        Takes input ids, segment ids and lengths as NDArrays.
    encoded : EncodedPairs
        At least one.
    """

    def logits(batch: Batch) -> np.ndarray:
        return net(*(mx.nd.array(array, dtype=array.dtype) for array in batch[:3])).asnumpy()

    batches = LengthBucketBatches(encoded, _BATCH_SIZE, shuffle=False)
    found = [(batch.index, logits(batch)) for batch in batches]
    values = np.zeros((len(encoded), found[0][1].shape[1]), np.float32)
    for index, rows in found:
        values[index] = rows
    return values
