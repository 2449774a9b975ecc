"""The local model store: BERT weights and vocabularies under GluonNLP's own file names, in ``$MXNET_HOME/models``.

GluonNLP's download host no longer answers (dmlc/gluon-cv #1778), so weights are imported (``import-bert``) instead. An
index file beside them holds what GluonNLP's tables must know; every process that imports the plugin enters it there.
"""

import contextlib
import dataclasses
import functools
import json
import logging
import os
import re
from pathlib import Path
from typing import Any, Dict, List, Set

from gluonnlp.base import get_home_dir

from .. import registry
from ..errors import CheckpointError, UsageError
from ..files import digest, is_utf8, locked, write_json
from .backbones import are_hparams, bert_hparams
from .conversion import bert_mapping
from .params_layout import read_layout

INDEX = "gluonnlp_snli_plugin.json"
NAME = re.compile(r"[A-Za-z0-9][A-Za-z0-9._-]*_(un)?cased")  # of weights and vocabulary
_OPEN_TO_CALLERS = {"use_residual", "dropout", "word_embed"}  # hyper-parameters get_bert_model lets every caller set


@dataclasses.dataclass(frozen=True)
class Checkpoint:
    """One imported BERT: what its files are called and how to build it.

    Attributes
    ----------
    backbone : str
        Architecture, ``bert_L_H_A``.
    dataset_name : str
        Name of weights and vocabulary; ends in ``_cased`` or ``_uncased``.
    weights_sha1, vocab_sha1 : str
    vocab_extension : str
        '.vocab' (GluonNLP's JSON) or '.spiece' (a SentencePiece model).
    special_tokens : dict
        What ``BERTVocab.from_sentencepiece`` must be told.
    hparams : dict
        Where the architecture differs from what its name says.
    parts : list of str
        Which of 'pooler', 'decoder' and 'classifier' the weights have besides the encoder.
    source : str
        What it was imported from.
    """

    backbone: str
    dataset_name: str
    weights_sha1: str
    vocab_sha1: str
    vocab_extension: str = ".vocab"
    special_tokens: Dict[str, str] = dataclasses.field(default_factory=dict)
    hparams: Dict[str, Any] = dataclasses.field(default_factory=dict)
    parts: List[str] = dataclasses.field(default_factory=list)
    source: str = ""

    @property
    def key(self):
        return f"{self.backbone}_{self.dataset_name}"

    @property
    def weights_file(self):
        return f"{self.key}-{self.weights_sha1[:8]}.params"

    @property
    def vocab_file(self):
        return f"{self.dataset_name}-{self.vocab_sha1[:8]}{self.vocab_extension}"


def store_root(root=None):
    """The folder of the store, a Path: `root`, or ``$MXNET_HOME/models``."""
    # Not Path.expanduser, which raises for the home of nobody.
    path = Path(get_home_dir(), "models") if root is None else Path(os.path.expanduser(root))
    if not is_utf8(path):
        raise CheckpointError(f"{path}: MXNet opens only files whose names are UTF-8")
    return path


def checkpoints(root=None):
    """The checkpoints in a store, a dict by key.

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is no UTF-8.
    """
    path = store_root(root) / INDEX
    try:
        entries = [_checkpoint(entry) for entry in json.loads(path.read_bytes())["checkpoints"]]
        return {entry.key: entry for entry in entries}
    except (FileNotFoundError, NotADirectoryError):
        return {}
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    except (ValueError, TypeError, KeyError, RecursionError):
        raise CheckpointError(f"{path} is damaged: remove it and import the weights again") from None


def _checkpoint(entry):
    """A Checkpoint from the index; TypeError or ValueError if it is none."""
    checkpoint, sample = Checkpoint(**entry), Checkpoint("", "", "", "")
    if any(not isinstance(value, type(getattr(sample, name))) for name, value in vars(checkpoint).items()):
        raise TypeError
    is_sound = (
        are_hparams(checkpoint.backbone, {**bert_hparams(checkpoint.backbone), **checkpoint.hparams})
        and NAME.fullmatch(checkpoint.dataset_name)  # part of the names of files
        and all(re.fullmatch("[0-9a-f]{40}", sha1) for sha1 in (checkpoint.weights_sha1, checkpoint.vocab_sha1))
        and checkpoint.vocab_extension in (".vocab", ".spiece")
        and checkpoint.special_tokens in ({}, {"padding_token": "[PAD]"})
        and all(part in ("pooler", "decoder", "classifier") for part in checkpoint.parts)
    )
    if not is_sound:
        raise ValueError
    return checkpoint


def add(checkpoint, weights, vocab, root=None, overwrite=False):
    """Move a checkpoint's files into the store and enter it into the index; processes may do so at the same time.

    Parameters
    ----------
    checkpoint : Checkpoint
    weights, vocab : Path
        The files, somewhere on the file system of the store.
    root : str or None
    overwrite : bool, default False
        Whether another checkpoint of the same key may be replaced.

    Raises
    ------
    UsageError
        If the name is taken.
    """
    root = store_root(root)
    with locked(root / f".{INDEX}.lock"):
        known = checkpoints(root)
        old = known.get(checkpoint.key)
        if old and dataclasses.replace(old, source=checkpoint.source) != checkpoint and not overwrite:
            raise UsageError(f"{checkpoint.key} is already in {root}: give another --name, or --overwrite")
        for other in known.values():
            shares_name = other.dataset_name == checkpoint.dataset_name and other.key != checkpoint.key
            if shares_name and other.vocab_sha1 != checkpoint.vocab_sha1:
                raise UsageError(f"{other.key} in {root} has another vocabulary under that name: give another --name")
        os.replace(weights, root / checkpoint.weights_file)
        os.replace(vocab, root / checkpoint.vocab_file)
        known[checkpoint.key] = checkpoint
        write_json(root / INDEX, {"checkpoints": [dataclasses.asdict(entry) for entry in known.values()]})
        if old:
            for name in {old.weights_file, old.vocab_file} - {checkpoint.weights_file, checkpoint.vocab_file}:
                with contextlib.suppress(FileNotFoundError):
                    (root / name).unlink()
    register(checkpoint)


_registered: Set[str] = set()  # keys of all checkpoints that GluonNLP's tables have from here


def register(checkpoint):
    """Enter a checkpoint into GluonNLP's tables of architectures, weights and vocabularies."""
    _registered.add(checkpoint.key)
    registry.add_backbone(checkpoint.backbone, bert_hparams(checkpoint.backbone))
    registry.add_weights(checkpoint.key, checkpoint.weights_sha1)
    registry.add_vocabulary(
        checkpoint.dataset_name, checkpoint.vocab_sha1, checkpoint.vocab_extension, checkpoint.special_tokens
    )


@registry.at_activation
def _register_all():
    """A damaged index must not keep anybody from importing the plugin; what needs the index says so later."""
    try:
        for checkpoint in checkpoints().values():
            register(checkpoint)
    except CheckpointError as error:
        logging.getLogger("gluonnlp_snli_plugin").warning("%s", error)


@registry.replacement("gluonnlp.model.bert", "get_bert_model")
def _get_bert_model(original):
    """GluonNLP's own builder, told what an imported checkpoint needs beyond its architecture's name."""

    @functools.wraps(original)
    def get_bert_model(model_name=None, dataset_name=None, **kwargs):
        root, pretrained = kwargs.get("root"), kwargs.get("pretrained", True)
        key = f"{model_name}_{dataset_name}"
        checkpoint = checkpoints(root).get(key)
        if checkpoint is None:
            if pretrained and key in _registered:  # from another store, or the index has changed since
                raise CheckpointError(f"{store_root(root) / INDEX} has no {key}: import it again, or give its root")
            return original(model_name, dataset_name, **kwargs)
        check_files(checkpoint, root, with_weights=pretrained)
        if pretrained:
            _check_shapes(checkpoint, root)
        register(checkpoint)
        for part in ("decoder", "classifier"):
            wanted = pretrained and kwargs.get(f"use_{part}", True)
            if wanted and part not in checkpoint.parts and not kwargs.get("pretrained_allow_missing"):
                raise CheckpointError(f"{checkpoint.key} has no {part}: ask for it with use_{part}=False")
        fixed = set(bert_hparams(model_name)) - _OPEN_TO_CALLERS
        if checkpoint.hparams and (kwargs.get("hparam_allow_override") or not fixed & set(kwargs)):
            kwargs = {**checkpoint.hparams, **kwargs, "hparam_allow_override": True}
        return original(model_name, dataset_name, **kwargs)

    return get_bert_model


def _check_shapes(checkpoint, root):
    """Make sure that the index describes the weights as they are."""
    path, hparams = (
        store_root(root) / checkpoint.weights_file,
        {**bert_hparams(checkpoint.backbone), **checkpoint.hparams},
    )
    found = {name: entry.shape for name, entry in read_layout(path).items()}
    vocab_size = found.get("word_embed.0.weight", (0,))[0]
    is_same = hparams["num_layers"] <= len(found)  # else there is no need to name them all
    if is_same:
        expected = bert_mapping(hparams, vocab_size, checkpoint.parts)
        is_same = all(found.get(name) == shape for name, (_, shape) in expected.items())
    if not is_same:
        source = checkpoint.source or "where it came from"
        raise CheckpointError(f"{path} is not what {INDEX} beside it says: import it again from {source}")


def check_files(checkpoint, root=None, with_weights=True):
    """Make sure that a checkpoint's files are whole: GluonNLP would try to download others, from a host that is gone.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    files = {checkpoint.vocab_file: checkpoint.vocab_sha1}
    if with_weights:
        files[checkpoint.weights_file] = checkpoint.weights_sha1
    for name, sha1 in files.items():
        path = store_root(root) / name
        problem = None if os.path.isfile(path) else "missing"
        problem = problem or (None if digest(path, "sha1") == sha1 else "damaged")
        if problem:
            raise CheckpointError(
                f"{path} is {problem}: import it again from {checkpoint.source or 'where it came from'}"
            )


def spiece(dataset_name, root=None):
    """The SentencePiece model behind a vocabulary that GluonNLP knows by name; None for a WordPiece one.

    Parameters
    ----------
    dataset_name : str
    root : str or None

    Returns
    -------
    Path or None
    """
    name, extension = registry.vocabulary_file(dataset_name)
    return store_root(root) / name if extension == ".spiece" else None


def vocabulary(dataset_name, root=None):
    """The file of a vocabulary that the store has under a name, checked.

    Parameters
    ----------
    dataset_name : str
    root : str or None

    Returns
    -------
    Path

    Raises
    ------
    UsageError
        If there is none of that name; the message lists those there are.
    CheckpointError
        If the file is missing or damaged.
    """
    for checkpoint in checkpoints(root).values():
        if checkpoint.dataset_name == dataset_name:
            check_files(checkpoint, root, with_weights=False)
            return store_root(root) / checkpoint.vocab_file
    if registry.is_host_vocabulary(dataset_name):  # of GluonNLP's own, from the days when its host answered
        path = store_root(root) / registry.vocabulary_file(dataset_name)[0]
        if os.path.isfile(path):
            return path
    raise UsageError(f"no vocabulary under the name {dataset_name!r} in {store_root(root)} ({inventory(root)})")


def inventory(root=None):
    """One line that says what is in the store."""
    there = ", ".join(f"{entry.backbone} {entry.dataset_name}" for entry in checkpoints(root).values())
    return f"there: {there or 'none'}"


def only_backbone(dataset_name, root=None):
    """The architecture that the store has under a name.

    Raises
    ------
    UsageError
        If there are several.
    """
    backbones = [entry.backbone for entry in checkpoints(root).values() if entry.dataset_name == dataset_name]
    if len(backbones) > 1:
        raise UsageError(f"--backbone is missing: {dataset_name} comes as {', '.join(backbones)}")
    return backbones[0] if backbones else "bert_12_768_12"  # for a name of GluonNLP's own, which may mean others too


def require(backbone, dataset_name, root=None):
    """Make sure that weights are there before GluonNLP looks for them, for it would turn to a host that is gone.

    Raises
    ------
    UsageError
        If there are none of that name; the message lists those there are.
    CheckpointError
        If their files are missing or damaged.
    """
    key = f"{backbone}_{dataset_name}"
    checkpoint = checkpoints(root).get(key)
    if checkpoint:
        check_files(checkpoint, root)
        return
    sha1 = registry.weights_sha1(key)  # weights of GluonNLP's own, from the days when its host answered
    if sha1 is None or not os.path.isfile(store_root(root) / f"{key}-{sha1[:8]}.params"):
        raise UsageError(
            f"no weights of {backbone} under the name {dataset_name!r} in {store_root(root)} ({inventory(root)}); "
            "bring some with: gluonnlp-snli import-bert DIR --name NAME"
        )
