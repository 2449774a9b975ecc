"""RoBERTa: any ``roberta_L_H_A`` (layers, units, attention heads)."""

from typing import Any, Callable, Dict, Mapping, Sequence, Tuple

import numpy as np

from ..data.layout import PairLayout
from ..errors import CheckpointError
from .encoder_family import EncoderFamily, register, size_in
from .parameter_names import BERT_LAYER, HostClassifier, HuggingFaceNames, Parameters, dense, layer_norm

_SEGMENTS_BY_DEFAULT = 2  # what Hugging Face takes where config.json does not say it
_POSITIONS, _SEGMENTS = "embeddings.position_embeddings.weight", "embeddings.token_type_embeddings.weight"


class RobertaFamily(EncoderFamily):
    """RoBERTa (Liu et al., 2019) as ``gluonnlp.model.RoBERTaModel`` computes it; a :class:`.family.Family`.

    Hugging Face counts positions from ``pad_token_id + 1``, and adds the one row of a table of segments to every token.
    GluonNLP counts them from 0 and has no segments: that row is added to every row of the table of positions.
    """

    name = "roberta"
    example = "roberta_12_768_12"
    model_type = "roberta"
    #: ``<s> premise </s></s> hypothesis </s>``
    layout = PairLayout(("bos_token",), ("eos_token", "eos_token"), ("eos_token",), has_segments=False)
    parts = ("decoder",)
    own_head = "roberta"
    default_head = "roberta"
    host_classifier = HostClassifier(
        "RoBERTaClassifier",
        "roberta",
        "roberta",
        0.0,
        {"classifier.0": "classifier.0", "classifier.2": "classifier.1"},
    )
    builder = ("gluonnlp.model.bert", "get_roberta_model")
    huggingface = HuggingFaceNames(
        classifier="RobertaForSequenceClassification",
        head=("classifier.dense", "classifier.out_proj"),
        prefix="roberta.",
        layer=BERT_LAYER,
        parts={"pooler": "pooler.", "decoder": "lm_head."},
        tied={"lm_head.decoder.weight": "embeddings.word_embeddings.weight", "lm_head.decoder.bias": "lm_head.bias"},
        head_dropout="classifier_dropout",
        dropout="hidden_dropout_prob",
        attention_dropout="attention_probs_dropout_prob",
        activation="hidden_act",
    )
    sizes = {
        "num_hidden_layers": "num_layers",
        "hidden_size": "units",
        "num_attention_heads": "num_heads",
        "intermediate_size": "hidden_size",
        "max_position_embeddings": "max_length",
    }
    layer_norm_eps = 1e-5

    def part(self, part: str, hparams: Dict[str, Any], vocab_size: int) -> Parameters:
        units = hparams["units"]
        if part == "decoder":
            yield from dense("decoder.0", "lm_head.dense", (units, units))
            yield from layer_norm("decoder.2", "lm_head.layer_norm", units)
            yield "decoder.3.bias", ("lm_head.bias", (vocab_size,))
        else:
            yield from super().part(part, hparams, vocab_size)

    def eps_in(self, config: Dict[str, Any]) -> Any:
        return config.get("layer_norm_eps", 1e-12)  # what Hugging Face takes where config.json does not say it

    def sizes_in(self, config: Dict[str, Any], sizes: Dict[str, int], path: Any) -> Dict[str, int]:
        unused = self._first_position(config)
        if not 0 < unused < sizes["max_length"]:
            raise CheckpointError(
                f"{path}: pad_token_id is {self.padding_in(config)!r} and max_position_embeddings is "
                f"{sizes['max_length']}: the first token has the position pad_token_id + 1"
            )
        size_in({"type_vocab_size": _SEGMENTS_BY_DEFAULT, **config}, "type_vocab_size", path)
        return {**sizes, "max_length": sizes["max_length"] - unused}

    def padding_in(self, config: Dict[str, Any]) -> Any:
        return config.get("pad_token_id", 1)

    def write_config(self, hparams: Dict[str, Any], pad_id: int) -> Dict[str, Any]:
        return {
            **super().write_config(hparams, pad_id),
            "max_position_embeddings": hparams["max_length"] + pad_id + 1,
            "type_vocab_size": 1,
            "pad_token_id": pad_id,
        }

    def tensors(
        self, config: Dict[str, Any], hparams: Dict[str, Any], vocab_size: int, parts: Sequence[str] = ()
    ) -> Dict[str, Tuple[int, ...]]:
        found = super().tensors(config, hparams, vocab_size, parts)
        found[_POSITIONS] = (hparams["max_length"] + self._first_position(config), hparams["units"])
        found[_SEGMENTS] = (config.get("type_vocab_size", _SEGMENTS_BY_DEFAULT), hparams["units"])
        return found

    def from_huggingface(
        self, name: str, theirs: str, tensor_of: Callable[[str], np.ndarray], config: Dict[str, Any]
    ) -> np.ndarray:
        if theirs == _POSITIONS:
            return tensor_of(_POSITIONS)[self._first_position(config) :] + tensor_of(_SEGMENTS)[0]
        return tensor_of(theirs)

    def to_huggingface(
        self, parameters: Mapping[str, np.ndarray], hparams: Dict[str, Any], pad_id: int
    ) -> Dict[str, np.ndarray]:
        found = super().to_huggingface(parameters, hparams, pad_id)
        found[_POSITIONS] = np.pad(found[_POSITIONS], ((pad_id + 1, 0), (0, 0)))
        found[_SEGMENTS] = np.zeros((1, hparams["units"]), np.float32)
        return found

    def _first_position(self, config: Dict[str, Any]) -> int:
        """The row of the table of positions that the first token has; 0 if ``config.json`` is wrong."""
        padding = self.padding_in(config)
        return padding + 1 if type(padding) is int and padding >= 0 else 0


ROBERTA = register(RobertaFamily())
