"""The ``model/`` folder of a fine-tuned model: weights, vocabulary, labels and settings, movable to another machine."""

import dataclasses
import os
import shutil
from pathlib import Path
from typing import Any, Dict, Optional, Tuple, Union

import mxnet as mx
import numpy as np
from gluonnlp.vocab import BERTVocab

from ..data.encoding import PairEncoder
from ..errors import CheckpointError
from ..model.classifier import SNLIBertClassifier
from ..model.family import family_of
from ..model.heads import head_named
from ..system.files import digest, publish, replacing, write_json
from ..system.params_layout import read_layout
from ..system.reading import read_json, reading
from ..system.temporary import temporary_file
from ..text.tokenizers import bert_tokenizer
from ..text.vocabulary import read_vocabulary
from .model_settings import ModelSettings, problem_of, settings_from_json

PathLike = Union[str, "os.PathLike[str]"]

_FORMAT = 3
_FORMATS = (1, _FORMAT)  # 1 knows GluonNLP's tokenizer alone
_FORMATS_OF_8_BITS = (2, 4)
_FILES = ("weights", "vocab")
_SETTINGS = "config.json"


@dataclasses.dataclass(frozen=True)
class Model:
    """A fine-tuned model in memory.

    Attributes
    ----------
    net : SNLIBertClassifier
        For an ONNX folder, an object that is called the same way and computes with ONNX Runtime.
    vocab : gluonnlp.vocab.BERTVocab
    settings : ModelSettings
    spiece : Path or None
        The SentencePiece model of the vocabulary.
    """

    net: Any
    vocab: BERTVocab
    settings: ModelSettings
    spiece: Optional[Path] = None

    def encoder(self) -> PairEncoder:
        """The ``PairEncoder`` that makes this model's inputs."""
        tokenizer = bert_tokenizer(self.vocab, self.settings.tokenizer, self.spiece)
        settings = self.settings
        return PairEncoder(
            tokenizer, self.vocab, settings.max_len, settings.truncation, settings.labels, settings.layout
        )


def save_model(model: Model, folder: PathLike, arrays: Optional[Dict[str, mx.nd.NDArray]] = None) -> None:
    """Write a model folder; an existing one stays valid until the new one is complete.

    The weights go to a file named by their hash; ``config.json``, replaced last, says which file counts.

    Parameters
    ----------
    model : Model
    folder : Path
    arrays : dict of str to NDArray, optional
        What to write for some parameters, by their names in the file, instead of what the net holds.
    """
    folder = Path(folder)
    _require_sound(model.settings, folder)
    folder.mkdir(parents=True, exist_ok=True)
    with temporary_file(folder) as temporary:
        parameters = {name: value._reduce() for name, value in model.net._collect_params_with_prefix().items()}
        mx.nd.save(str(temporary), {**parameters, **(arrays or {})})
        fingerprint = digest(temporary)
        weights = folder / f"weights-{fingerprint[:8]}.params"
        publish(temporary, weights)
    vocab = folder / ("vocab.spiece" if model.spiece else "vocab.json")
    with replacing(vocab) as temporary:
        if model.spiece:
            shutil.copyfile(model.spiece, temporary)
        else:
            temporary.write_text(model.vocab.to_json(), encoding="utf-8")
    write_settings(folder, model.settings, {"weights": (weights, fingerprint), "vocab": (vocab, digest(vocab))})
    remove_other_weights(folder)


def remove_other_weights(folder: Path) -> None:
    """Remove from a model folder the weights that do not count: older ones, and those of a process that was killed."""
    try:
        name = read_json(folder / _SETTINGS)["files"]["weights"]["name"]
    except (OSError, ValueError, TypeError, KeyError):  # reported when the model is read
        return
    for path in folder.glob("weights-*.params"):
        if path.name != name:
            path.unlink()


def write_settings(folder: Path, settings: ModelSettings, files: Dict[str, Tuple[Path, str]]) -> None:
    """Write ``config.json``, which makes a folder a model folder.

    Parameters
    ----------
    folder : Path
    settings : ModelSettings
    files : dict of str to (Path, str)
        Files in it and their sha256, by use: 'weights' and 'vocab'.

    Raises
    ------
    CheckpointError
        If the settings are not valid.
    """
    _require_sound(settings, folder)
    content = {
        "format": _FORMAT,
        "settings": dataclasses.asdict(settings),
        "files": {use: {"name": path.name, "sha256": sha256} for use, (path, sha256) in files.items()},
    }
    write_json(folder / _SETTINGS, content)


def _require_sound(settings: ModelSettings, folder: Path) -> None:
    problem = problem_of(settings)
    if problem:
        raise CheckpointError(f"{folder}: no model can be written: {problem}")


def load_model(folder: PathLike, ctx: Any = None) -> Model:
    """Read a model folder, or the output folder that holds one.

    Parameters
    ----------
    folder : str or Path
    ctx : Context or list of Context, default CPU

    Returns
    -------
    Model

    Raises
    ------
    CheckpointError
        If there is no model, or a file of it is missing or changed.
    """
    folder = _model_folder(folder)
    while True:
        named = _read_settings(folder)
        try:
            return _load(folder, *named, ctx)
        except (CheckpointError, OSError, mx.MXNetError):
            if _read_settings(folder) == named:
                raise
            # A run has saved a better model, and removed the files of this one.


def _load(folder: Path, settings: ModelSettings, hashes: Dict[str, Tuple[Path, Any]], ctx: Any) -> Model:
    files = _verified_files(folder, hashes)
    vocab, _ = read_vocabulary(files["vocab"])
    spiece = files["vocab"] if files["vocab"].suffix in (".spiece", ".model") else None
    ctx = mx.cpu() if ctx is None else ctx
    _check_weights(settings, len(vocab), files["weights"])
    net = build_net(settings, vocab)
    net.load_parameters(str(files["weights"]), ctx=ctx)
    for name, parameter in net._collect_params_with_prefix().items():
        if not np.isfinite(parameter.list_data()[0].asnumpy()).all():  # a ReLU makes an answer like any other of it
            raise CheckpointError(f"{files['weights']}: {name} holds numbers that are not finite")
    return Model(net, vocab, settings, spiece)


def load_settings(folder: PathLike) -> ModelSettings:
    """The settings of the model in a model folder, or in an output folder; its weights are not read.

    Raises
    ------
    CheckpointError
        If there is no model.
    """
    return _read_settings(_model_folder(folder))[0]


def weights_sha256(folder: PathLike) -> Optional[str]:
    """Which weights the model in an output or model folder has, as its settings say; None if there is no valid model.

    Parameters
    ----------
    folder : str or Path

    Returns
    -------
    str or None
    """
    try:
        return str(read_json(_model_folder(folder) / _SETTINGS)["files"]["weights"]["sha256"])
    except (OSError, ValueError, TypeError, KeyError):
        return None


def build_net(settings: ModelSettings, vocab: BERTVocab) -> SNLIBertClassifier:
    """The net that settings describe, without weights."""
    needs_pooler = head_named(settings.head).needs_pooler
    backbone = family_of(settings.backbone).build(settings.backbone, vocab, settings.hparams, needs_pooler)
    return SNLIBertClassifier(backbone, len(settings.labels), settings.head, settings.hidden_units, settings.dropout)


def _model_folder(folder: PathLike) -> Path:
    """The model folder in an output folder; any other folder is returned as it is."""
    folder = Path(folder)
    return folder / "model" if os.path.isdir(folder / "model") else folder


def _read_settings(folder: Path) -> Tuple[ModelSettings, Dict[str, Tuple[Path, Any]]]:
    """The settings of a model folder, and its files with their sha256, by use."""
    path = folder / _SETTINGS
    no_model = f"{folder} holds no model: give the output folder of gluonnlp-snli finetune"
    with reading(path, CheckpointError, missing=no_model):
        content = read_json(path)
        if "format" not in content and "versions" in content:  # the settings of a run, not of a model
            raise CheckpointError(f"{folder} holds no model yet: its run ended before the first evaluation")
        if "format" not in content and "model_type" in content:
            raise CheckpointError(f"{folder} is in Hugging Face's layout: import it with gluonnlp-snli import-bert")
        if content["format"] in _FORMATS_OF_8_BITS:
            raise CheckpointError(
                f"{folder} is an 8-bit export of an older version, which this one cannot read: use the model that it "
                "was exported from, with --dtype int8"
            )
        if content["format"] not in _FORMATS:
            readable = ", ".join(map(str, _FORMATS))
            raise CheckpointError(f"{path} is of format {content['format']}, this version reads format {readable}")
        settings = settings_from_json(content["settings"], path)
        # Files of this folder, whatever the settings say.
        named = {use: content["files"][use] for use in _FILES}
        return settings, {use: (folder / Path(file["name"]).name, file["sha256"]) for use, file in named.items()}


def _verified_files(folder: Path, files: Dict[str, Tuple[Path, Any]]) -> Dict[str, Path]:
    """The files of a model folder, by use; a CheckpointError if one is missing or not the one that was written."""
    for file, sha256 in files.values():
        if not os.path.isfile(file):
            raise CheckpointError(f"{file} is missing")
        with reading(file, CheckpointError):
            if digest(file) != sha256:
                raise CheckpointError(f"{file} is damaged: its content is not what {folder / _SETTINGS} says")
    return {use: file for use, (file, _) in files.items()}


def _check_weights(settings: ModelSettings, vocab_size: int, path: Path) -> None:
    """Make sure that the weights are those of the net that the settings describe, before it is built."""
    found = {name: entry.shape for name, entry in read_layout(path).items()}
    head = head_named(settings.head)
    expected = head.parameter_shapes(settings.hparams["units"], len(settings.labels), settings.hidden_units)
    if settings.hparams["num_layers"] <= len(found):  # else there is no need to name them all
        family = family_of(settings.backbone)
        mapping = family.parameters(settings.hparams, vocab_size, ["pooler"] if head.needs_pooler else [])
        expected.update((f"bert.{name}", shape) for name, (_, shape) in mapping.items())
    for name in sorted({**expected, **found}):
        if expected.get(name) != found.get(name):
            raise CheckpointError(
                f"{path}: {name} is {found.get(name, 'missing')}, the settings and the vocabulary beside it say "
                f"{expected.get(name, 'that there is none')}"
            )
