"""Names of parameters here, in GluonNLP's classifiers and in Hugging Face's; shapes of single layers."""

from typing import Iterator, Mapping, NamedTuple, Tuple

#: GluonNLP's name, (Hugging Face's name, shape)
Parameters = Iterator[Tuple[str, Tuple[str, Tuple[int, ...]]]]


class LayerNames(NamedTuple):
    """What Hugging Face calls the parts of an encoder layer; ``NAME.weight`` and ``NAME.bias`` are the parameters."""

    start: str  #: of the names of all layers; the layer's number follows
    query: str
    key: str
    value: str
    proj: str
    attention_norm: str
    ffn_1: str
    ffn_2: str
    ffn_norm: str


class HuggingFaceNames(NamedTuple):
    """What Hugging Face calls a family's classes and tensors; names of tensors are those in the class without heads."""

    classifier: str  #: the class of its fine-tuned classifiers
    head: Tuple[str, str]  #: the two dense layers of that class
    prefix: str  #: before the encoder's names in a model with a head
    layer: LayerNames
    parts: Mapping[str, str]  #: start of the names of each part besides the encoder, those that GluonNLP lacks too
    tied: Mapping[str, str]  #: tensors that a file may hold twice -> the one that they are equal to
    head_dropout: str  #: in ``config.json``, the rate in the head
    dropout: str  #: the rate for hidden layers
    attention_dropout: str
    activation: str
    fits_deberta: bool = False  #: whether DeBERTa-v2 without relative positions and convolution computes the same


class HostClassifier(NamedTuple):
    """GluonNLP's class of fine-tuned classifiers around a backbone, as its ``finetune_classifier.py`` makes it."""

    name: str  #: in ``gluonnlp.model``
    backbone: str  #: what the backbone's parameters are under
    head: str  #: the head here that computes the same
    dropout: float  #: a layer of its own if it is not 0, which counts in the names of the next
    layers: Mapping[str, str]  #: our names of the dense layers besides the backbone -> its names


#: The names that BERT and RoBERTa share.
BERT_LAYER = LayerNames(
    "encoder.layer.",
    "attention.self.query",
    "attention.self.key",
    "attention.self.value",
    "attention.output.dense",
    "attention.output.LayerNorm",
    "intermediate.dense",
    "output.dense",
    "output.LayerNorm",
)


def dense(ours: str, theirs: str, shape: Tuple[int, ...]) -> Parameters:
    """The parameters of a dense layer, whose weight has the given shape."""
    yield f"{ours}.weight", (f"{theirs}.weight", shape)
    yield f"{ours}.bias", (f"{theirs}.bias", shape[:1])


def layer_norm(ours: str, theirs: str, units: int) -> Parameters:
    """The parameters of a LayerNorm."""
    yield f"{ours}.gamma", (f"{theirs}.weight", (units,))
    yield f"{ours}.beta", (f"{theirs}.bias", (units,))
