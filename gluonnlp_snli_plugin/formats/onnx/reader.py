"""Reads an ONNX folder: a model whose net computes with ONNX Runtime."""

from pathlib import Path
from typing import Any, Dict, List

import mxnet as mx
import numpy as np
import onnxruntime

from ...errors import CheckpointError, UsageError
from ...model.family import family_of
from ...system.files import digest
from ...text.vocabulary import (
    SPECIAL_TOKENS,
    is_sentencepiece,
    read_vocabulary,
    vocab_of_index,
    wordpiece_index,
)
from ..format import content_of
from ..huggingface.export_tokenizer import BYTE_PAIRS
from ..model_folder import Model
from ..model_settings import settings_from_json
from .layout import GRAPH, SETTINGS, inputs_of

_WORD_PIECES = "vocab.txt"


class OnnxNet:
    """A graph that is called as an ``SNLIBertClassifier`` is, and computed on CPU by ONNX Runtime.

    Parameters
    ----------
    path : Path
    num_classes : int
    has_segments : bool
        Whether the graph reads the segments.

    Raises
    ------
    CheckpointError
        If it is not the graph of such a model.
    """

    def __init__(self, path: Path, num_classes: int, has_segments: bool = True) -> None:
        self.num_classes, self._has_segments = num_classes, has_segments
        try:
            self._session = onnxruntime.InferenceSession(str(path), providers=["CPUExecutionProvider"])
        except Exception as error:  # ONNX Runtime raises many kinds of its own
            raise CheckpointError(f"{path}: ONNX Runtime cannot read it ({_first_line(error)})") from None
        outputs = {output.name: output.shape for output in self._session.get_outputs()}
        inputs = sorted(entry.name for entry in self._session.get_inputs())
        if inputs != sorted(inputs_of(has_segments)) or outputs.get("logits", [None])[-1] != num_classes:
            raise CheckpointError(f"{path} is not the graph of a classifier of pairs into {num_classes} classes")

    def __call__(
        self, input_ids: mx.nd.NDArray, segment_ids: mx.nd.NDArray, valid_length: mx.nd.NDArray
    ) -> mx.nd.NDArray:
        """Logits of pairs; shapes and types are those of :meth:`.SNLIBertClassifier.hybrid_forward`."""
        length = valid_length.asnumpy()[:, None]
        inputs = {
            "input_ids": input_ids.asnumpy().astype(np.int64),
            "attention_mask": (np.arange(input_ids.shape[1]) < length).astype(np.int64),
        }
        if self._has_segments:
            inputs["token_type_ids"] = segment_ids.asnumpy().astype(np.int64)
        try:
            (logits,) = self._session.run(["logits"], inputs)
        except Exception as error:  # such as an index beyond the end of a table
            raise CheckpointError(f"ONNX Runtime cannot compute the model: {_first_line(error)}") from None
        return mx.nd.array(logits, dtype="float32")


def read(path: Path, ctx: Any = None) -> Model:
    """The model in an ONNX folder.

    Raises
    ------
    UsageError
        If it is to be on another device than the CPU.
    CheckpointError
        If the folder is damaged, or lacks what the model's inputs are made with.
    """
    contexts: List[Any] = list(ctx) if isinstance(ctx, (list, tuple)) else [ctx or mx.cpu()]
    if any(context.device_type != "cpu" for context in contexts):
        raise UsageError(f"{path} holds an ONNX model, which is computed on CPU")
    content = content_of(path / SETTINGS)
    if not content:
        raise CheckpointError(f"{path / SETTINGS} is missing or damaged")
    if "model" not in content:
        raise CheckpointError(f"{path} was exported by an older version, without all settings: export the model again")
    settings = settings_from_json(content["model"], path / SETTINGS)
    _check_files(path, content)
    layout = family_of(settings.backbone).layout
    net = OnnxNet(path / GRAPH, len(settings.labels), layout.has_segments)
    file = path / content["vocabulary"]
    if file.name == _WORD_PIECES:
        vocab = vocab_of_index(file, wordpiece_index(file), None, content["special_tokens"])
    else:
        vocab, _ = read_vocabulary(file)
    return Model(net, vocab, settings, file if is_sentencepiece(file) else None)


def _check_files(path: Path, content: Dict[str, Any]) -> None:
    """Make sure that the settings name the files and tokens, and that the files are those that were written."""
    names, vocabulary, sha256 = (content.get(key) for key in ("special_tokens", "vocabulary", "sha256"))
    if (
        vocabulary not in (_WORD_PIECES, "spiece.model", BYTE_PAIRS)
        or not isinstance(sha256, dict)
        or not isinstance(names, dict)
        or (vocabulary == _WORD_PIECES and sorted(names) != sorted(SPECIAL_TOKENS))
        or not all(isinstance(token, str) for token in names.values())
    ):
        raise CheckpointError(f"{path / SETTINGS} is damaged")
    for name in (GRAPH, vocabulary):
        try:
            is_whole = digest(path / name) == sha256.get(name)
        except OSError as error:
            raise CheckpointError(f"{path / name}: {error.strerror}") from None
        if not is_whole:
            raise CheckpointError(f"{path / name} is damaged: its content is not what {path / SETTINGS} says")


def _first_line(error: Exception) -> str:
    return (str(error).strip().splitlines() or [type(error).__name__])[0]
