"""The parameters of single layers: GluonNLP's names, Hugging Face's, and shapes."""

from typing import Iterator, Tuple

#: GluonNLP's name, (Hugging Face's name, shape)
Parameters = Iterator[Tuple[str, Tuple[str, Tuple[int, ...]]]]


def dense(ours: str, theirs: str, shape: Tuple[int, ...]) -> Parameters:
    """The parameters of a dense layer, whose weight has the given shape."""
    yield f"{ours}.weight", (f"{theirs}.weight", shape)
    yield f"{ours}.bias", (f"{theirs}.bias", shape[:1])


def layer_norm(ours: str, theirs: str, units: int) -> Parameters:
    """The parameters of a LayerNorm."""
    yield f"{ours}.gamma", (f"{theirs}.weight", (units,))
    yield f"{ours}.beta", (f"{theirs}.bias", (units,))
