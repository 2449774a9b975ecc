"""A pretrained BERT that a format's reader has read, on its way into the model store."""

import dataclasses
import logging
import os
from typing import Any, Dict, List, Union

import mxnet as mx
import numpy as np

from ..text.tokenizer_settings import TokenizerSettings

_log = logging.getLogger("gluonnlp_snli_plugin")


@dataclasses.dataclass(frozen=True)
class PretrainedBert:
    """A BERT that was read and checked, in GluonNLP's terms.

    Attributes
    ----------
    backbone : str
        Architecture, ``bert_L_H_A``.
    hparams : dict
        All hyper-parameters of the architecture.
    parameters : dict of str to NDArray
        float32, by the names of ``Block.save_parameters``.
    parts : list of str
        Which of 'pooler', 'decoder' and 'classifier' are there besides the encoder.
    vocab_content : bytes
        The vocabulary's file.
    vocab_extension : str
        '.vocab' (GluonNLP's JSON) or '.spiece' (a SentencePiece model).
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` must be told.
    tokenizer : TokenizerSettings
    """

    backbone: str
    hparams: Dict[str, Any]
    parameters: Dict[str, mx.nd.NDArray]
    parts: List[str]
    vocab_content: bytes
    vocab_extension: str
    special_tokens: Dict[str, str]
    tokenizer: TokenizerSettings


def add_missing_pooler(
    parameters: Dict[str, mx.nd.NDArray], parts: List[str], units: int, path: Union[str, "os.PathLike[str]"]
) -> None:
    """Make a new pooler for weights from `path` that have none, the same at every import."""
    if "pooler" not in parts:
        _log.warning("%s has no pooler: a new one is made, to be trained with the head", path)
        new = np.random.default_rng(0).normal(0, 0.02, (units, units))
        parameters["pooler.weight"] = mx.nd.array(new, dtype=np.float32)
        parameters["pooler.bias"] = mx.nd.zeros(units)
        parts.insert(0, "pooler")
