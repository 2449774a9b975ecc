"""The tensors of a checkpoint in Hugging Face's layout: ``model.safetensors``, or the parts that its index names."""

import json
import re
from pathlib import Path
from typing import Dict, List, Tuple

import numpy as np
import safetensors

from ...errors import CheckpointError
from ...system.filetypes import what_is
from ...system.reading import reading, require_regular
from .files import read_config

WEIGHTS, INDEX = "model.safetensors", "model.safetensors.index.json"
WEIGHT_FILES = (WEIGHTS, INDEX, "model-*.safetensors")  #: what to fetch
_EMBEDDING = "embeddings.word_embeddings.weight"


class Tensors:
    """The tensors of a checkpoint as float32 arrays, by the names that they have in the class without heads.

    Their prefix ('bert.', 'roberta.', 'module.', 'model.bert.' or none) is that of the word embedding.

    Parameters
    ----------
    folder : Path

    Attributes
    ----------
    path : Path
        The file, or the index of several.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged, or two tensors are the same parameter.
    """

    def __init__(self, folder: Path) -> None:
        self.path = folder / WEIGHTS
        if not self.path.is_file() and (folder / INDEX).is_file():
            self.path = folder / INDEX
            found = _in_parts(self.path)
        else:
            found = dict.fromkeys(_names(_existing(self.path)), self.path)
        prefix = self._prefix(list(found))
        self._there: Dict[str, Tuple[Path, str]] = {}  # file and name in it
        for name, file in found.items():
            _, other = self._there.setdefault(_common(name, prefix), (file, name))
            if other != name:
                raise CheckpointError(f"{self.path}: {other} and {name} are the same parameter")

    def _prefix(self, names: List[str]) -> str:
        """What comes before the names in the class without heads."""
        found = [name[: -len(_EMBEDDING)] for name in names if ("." + name).endswith("." + _EMBEDDING)]
        if len(found) > 1:
            raise CheckpointError(f"{self.path} holds several models: {', '.join(map(repr, sorted(found)))}")
        return found[0] if found else ""

    def __contains__(self, name: str) -> bool:
        return name in self._there

    def names(self) -> List[str]:
        """The names of all tensors, sorted."""
        return sorted(self._there)

    def shape(self, name: str) -> Tuple[int, ...]:
        """The shape of a tensor; nothing of it is read."""
        file, there = self._there[name]
        with safetensors.safe_open(str(file), framework="np") as content:
            return tuple(content.get_slice(there).get_shape())

    def require(self, name: str, shape: Tuple[int, ...] = ()) -> None:
        """Raise a CheckpointError if a tensor is missing, or its shape is not that of config.json."""
        if name not in self:
            raise CheckpointError(f"{self.path} has no tensor {name}: the checkpoint is not complete")
        if shape and self.shape(name) != shape:
            raise CheckpointError(f"{self.path}: {name} is of shape {self.shape(name)}, config.json says {shape}")

    def finite(self, name: str) -> np.ndarray:
        """A tensor, all of whose numbers must be finite."""
        tensor = self[name]
        if not np.isfinite(tensor).all():
            raise CheckpointError(f"{self._there[name][0]}: {name} holds numbers that are not finite")
        return tensor

    def __getitem__(self, name: str) -> np.ndarray:
        self.require(name)
        path, there = self._there[name]
        with safetensors.safe_open(str(path), framework="np") as file:
            kind = file.get_slice(there).get_dtype()
            if kind == "BF16":  # no numpy type: widen the bits
                return _bfloat16(path, there)
            if kind not in ("F16", "F32", "F64"):
                raise CheckpointError(f"{path}: {name} is of type {kind}, which is not floating point")
            with np.errstate(over="ignore"):  # finite() raises for what overflows
                return file.get_tensor(there).astype(np.float32)


def _existing(path: Path) -> Path:
    """The file itself, or a CheckpointError that says what to do."""
    if path.exists():
        return path
    pickled = next(iter(sorted(path.parent.glob("pytorch_model*.bin"))), None)
    if pickled is not None:
        raise CheckpointError(
            f"{pickled} is a pickle, and loading one can run any program; convert it where it comes from: "
            "AutoModel.from_pretrained(DIR).save_pretrained(DIR, safe_serialization=True)"
        )
    raise CheckpointError(f"{path} is missing")


def _names(path: Path) -> List[str]:
    """The names of the tensors in a file."""
    with reading(path, CheckpointError):
        require_regular(path)
    try:
        with safetensors.safe_open(str(path), framework="np") as file:
            return list(file.keys())
    except (safetensors.SafetensorError, OSError) as error:
        what = what_is(path)
        if what and "safetensors" not in what:
            raise CheckpointError(f"{path} is {what}; a safetensors file is expected") from None
        raise CheckpointError(f"{path} is not a complete safetensors file ({error})") from None


def _in_parts(index: Path) -> Dict[str, Path]:
    """The file of each tensor, from an index that is checked against the files."""
    parts = read_config(index).get("weight_map")
    if not isinstance(parts, dict) or not parts:
        raise CheckpointError(f"{index} has no weight_map: it does not say which files hold the tensors")
    for file in parts.values():
        is_plain = isinstance(file, str) and file.endswith(".safetensors") and not re.search(r"[/\\\0]", file)
        if not is_plain:
            raise CheckpointError(f"{index} names the file {str(file)[:60]!r}, not a .safetensors file beside it")
        if not (index.parent / file).is_file():
            raise CheckpointError(f"{index.parent / file} is missing: it is one of the parts that {index.name} names")
    found: Dict[str, Path] = {}
    for path in sorted({index.parent / file for file in parts.values()}):
        for name in _names(path):
            if name in found:
                raise CheckpointError(f"{name} is in two parts: {found[name]} and {path}")
            found[name] = path
    for name, file in parts.items():
        if found.get(name) != index.parent / file:
            raise CheckpointError(f"{index.parent / file} has no tensor {name}, which {index.name} says it has")
    return found


def _common(name: str, prefix: str) -> str:
    """A tensor's name in the class without heads, with the LayerNorm names of today."""
    while not name.startswith(prefix):  # a head is beside the model: less comes before it
        prefix = prefix[: prefix.rstrip(".").rfind(".") + 1]
    name = name[len(prefix) :]
    name = re.sub(r"(\.attention\.self\.(query|key|value))_proj\.", r"\1.", name)  # DeBERTa's
    return re.sub(r"LayerNorm\.gamma$", "LayerNorm.weight", re.sub(r"LayerNorm\.beta$", "LayerNorm.bias", name))


def _bfloat16(path: Path, name: str) -> np.ndarray:
    with open(path, "rb") as file:  # safe_open has checked the sizes
        header_size = int.from_bytes(file.read(8), "little")
        tensor = json.loads(file.read(header_size))[name]
        begin, end = tensor["data_offsets"]
        file.seek(8 + header_size + begin)
        bits = np.frombuffer(file.read(end - begin), "<u2").astype(np.uint32) << 16
    return bits.view(np.float32).reshape(tensor["shape"])
