"""What the writer and the reader of an ONNX folder must agree on: the names of its files and of the graph's inputs."""

from typing import List

GRAPH, SETTINGS = "model.onnx", "settings.json"


def inputs_of(has_segments: bool) -> List[str]:
    """The names of the graph's inputs."""
    return ["input_ids", "attention_mask", *(["token_type_ids"] if has_segments else [])]
