"""A BERT of any size with random weights in Hugging Face's layout, for what depends on its shape alone: speed."""

import json
import shutil
from pathlib import Path
from typing import Dict

import numpy as np
from safetensors.numpy import save_file

_STANDARD_DEVIATION = 0.02  # BERT's own
_MAX_LENGTH = 512
_TOKENIZER_FILES = ("vocab.txt", "tokenizer.json", "tokenizer_config.json", "special_tokens_map.json")


def write_random_bert(folder: Path, source: Path, layers: int, units: int, heads: int) -> Path:
    """Write a checkpoint with the tokenizer of another one; returns its folder.

    Parameters
    ----------
    folder : Path
        Is made.
    source : Path
        A folder with a ``vocab.txt``; further files of a tokenizer are copied too.
    layers, units, heads : int
    """
    folder.mkdir()
    for name in _TOKENIZER_FILES:
        if (source / name).is_file():
            shutil.copyfile(source / name, folder / name)
    vocab_size = len((folder / "vocab.txt").read_text(encoding="utf-8").splitlines())
    config = {
        "model_type": "bert",
        "architectures": ["BertModel"],
        "vocab_size": vocab_size,
        "hidden_size": units,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "intermediate_size": 4 * units,
        "max_position_embeddings": _MAX_LENGTH,
        "type_vocab_size": 2,
        "hidden_act": "gelu",
        "layer_norm_eps": 1e-12,
    }
    (folder / "config.json").write_text(json.dumps(config), encoding="utf-8")
    if not (folder / "tokenizer_config.json").exists():
        settings = {"do_lower_case": True, "tokenizer_class": "BertTokenizer"}
        (folder / "tokenizer_config.json").write_text(json.dumps(settings), encoding="utf-8")
    save_file(_weights(vocab_size, layers, units), str(folder / "model.safetensors"), metadata={"format": "pt"})
    return folder


def _weights(vocab_size: int, layers: int, units: int) -> Dict[str, np.ndarray]:
    random = np.random.default_rng(0)
    tensors: Dict[str, np.ndarray] = {}

    def weight(name: str, rows: int, columns: int) -> None:
        values = random.standard_normal((rows, columns), dtype=np.float32)
        tensors[f"{name}.weight"] = values * np.float32(_STANDARD_DEVIATION)

    def dense(name: str, rows: int, columns: int) -> None:
        weight(name, rows, columns)
        tensors[f"{name}.bias"] = np.zeros(rows, np.float32)

    def layer_norm(name: str) -> None:
        tensors[f"{name}.weight"] = np.ones(units, np.float32)
        tensors[f"{name}.bias"] = np.zeros(units, np.float32)

    for name, rows in (("word", vocab_size), ("position", _MAX_LENGTH), ("token_type", 2)):
        weight(f"embeddings.{name}_embeddings", rows, units)
    layer_norm("embeddings.LayerNorm")
    for number in range(layers):
        layer = f"encoder.layer.{number}"
        for name in ("attention.self.query", "attention.self.key", "attention.self.value", "attention.output.dense"):
            dense(f"{layer}.{name}", units, units)
        layer_norm(f"{layer}.attention.output.LayerNorm")
        dense(f"{layer}.intermediate.dense", 4 * units, units)
        dense(f"{layer}.output.dense", units, 4 * units)
        layer_norm(f"{layer}.output.LayerNorm")
    dense("pooler.dense", units, units)
    return tensors
