"""Puts checkpoints and vocabularies into the store."""

import contextlib
import dataclasses
import hashlib
import os
import re
from pathlib import Path
from typing import Iterator, Optional, Union

import mxnet as mx

from .. import registry
from ..errors import CheckpointError, UsageError
from ..model.family import hparams_of
from ..system import files
from ..system.files import digest, locked
from ..system.temporary import temporary_folder
from ..text.tokenizer_settings import TokenizerSettings
from .index import INDEX, NAME, Checkpoint, Vocabulary, read_index, require_sound, store_root
from .pretrained import PretrainedBert
from .registration import register, register_vocabulary


def keep(
    bert: PretrainedBert,
    name: str,
    source: str,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    overwrite: bool = False,
) -> Checkpoint:
    """Put a BERT into the local model store.

    Parameters
    ----------
    bert : PretrainedBert
    name : str
        A valid one.
    source : str
        Where it came from; errors about missing files quote it.
    root, overwrite
        As :func:`add` takes them.

    Returns
    -------
    Checkpoint

    Raises
    ------
    UsageError
        If the name is taken.
    CheckpointError
        If the store cannot be written.
    """
    root = store_root(root)
    with writing(root), temporary_folder(root) as workspace:
        vocab_file, weights_file = workspace / "vocab", workspace / "weights"
        vocab_file.write_bytes(bert.vocab_content)
        mx.nd.save(str(weights_file), bert.parameters)
        named = hparams_of(bert.backbone)
        checkpoint = Checkpoint(
            backbone=bert.backbone,
            dataset_name=name,
            weights_sha1=digest(weights_file, "sha1"),
            vocab_sha1=digest(vocab_file, "sha1"),
            vocab_extension=bert.vocab_extension,
            special_tokens=bert.special_tokens,
            hparams={key: value for key, value in bert.hparams.items() if named.get(key) != value},
            parts=bert.parts,
            source=source,
            tokenizer=bert.tokenizer,
        )
        add(checkpoint, weights_file, vocab_file, root, overwrite)
    return checkpoint


def add(
    checkpoint: Checkpoint,
    weights: Path,
    vocab: Path,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    overwrite: bool = False,
) -> None:
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
        If the name is taken, or there is another vocabulary under it.
    CheckpointError
        If the index cannot hold such an entry.
    """
    _require_sound(checkpoint)
    root = store_root(root)
    with locked(root / f".{INDEX}.lock"):
        index = read_index(root)
        old = index.checkpoints.pop(checkpoint.key, None)
        if old and dataclasses.replace(old, source=checkpoint.source) != checkpoint and not overwrite:
            raise UsageError(f"{checkpoint.key} is already in {root}: give another --name, or --overwrite")
        index.require_same(checkpoint.vocabulary, root)
        os.replace(weights, root / checkpoint.weights_file)
        os.replace(vocab, root / checkpoint.vocab_file)
        index.checkpoints[checkpoint.key] = checkpoint
        index.write(root)
        _remove_others(checkpoint.weights_file, root)
        _remove_others(checkpoint.vocab_file, root)
    register(checkpoint)


def add_vocabulary(
    vocabulary: Vocabulary, file: Path, root: Optional[Union[str, "os.PathLike[str]"]] = None, overwrite: bool = False
) -> None:
    """Move a vocabulary's file into the store and enter it into the index; processes may do so at the same time.

    Parameters
    ----------
    vocabulary : Vocabulary
    file : Path
        Somewhere on the file system of the store.
    root : str or None
    overwrite : bool, default False
        Whether another vocabulary of that name may be replaced, if no weights go with it.

    Raises
    ------
    UsageError
        If the name is taken.
    CheckpointError
        If the index cannot hold such an entry.
    """
    _require_sound(vocabulary)
    root = store_root(root)
    with locked(root / f".{INDEX}.lock"):
        index = read_index(root)
        if overwrite:
            index.alone.pop(vocabulary.name, None)
        index.require_same(vocabulary, root)
        os.replace(file, root / vocabulary.file)
        index.alone[vocabulary.name] = vocabulary
        index.write(root)
        _remove_others(vocabulary.file, root)
    register_vocabulary(vocabulary)


def _require_sound(entry: Union[Checkpoint, Vocabulary]) -> None:
    try:
        require_sound(entry)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{entry.source}: the store cannot hold it: {error}") from None


def require_name(name: str) -> None:
    """Raise an error for a name that weights or a vocabulary cannot have.

    Raises
    ------
    UsageError
    """
    if not NAME.fullmatch(name):
        raise UsageError(f"--name {name!r} must end in _cased or _uncased and hold only letters, digits, '.', '_', '-'")
    if registry.is_host_vocabulary(name):
        raise UsageError(f"{name} is a name of GluonNLP's own: give another --name")


def require_free(
    backbone: str, name: str, vocab_content: bytes, tokenizer: TokenizerSettings, overwrite: bool = False
) -> None:
    """Raise before training the errors that :func:`keep` would raise after it.

    That is a name that weights of this architecture have, or under which there is another vocabulary or tokenizer.

    Raises
    ------
    UsageError
    """
    require_name(name)
    index = read_index()
    if index.checkpoints.pop(f"{backbone}_{name}", None) and not overwrite:
        raise UsageError(f"{backbone}_{name} is already in {store_root()}: give another --name, or --overwrite")
    sha1 = hashlib.sha1(vocab_content).hexdigest()
    index.require_same(Vocabulary(name, sha1, tokenizer=tokenizer), store_root())


def require_free_vocabulary(
    name: str, root: Optional[Union[str, "os.PathLike[str]"]] = None, overwrite: bool = False
) -> None:
    """Make sure that a vocabulary can be put into the store under a name, before it is made.

    Raises
    ------
    UsageError
        If there is one, unless it is one without weights and may be replaced.
    """
    index = read_index(root)
    for checkpoint in index.checkpoints.values():
        if checkpoint.dataset_name == name:
            raise UsageError(
                f"{checkpoint.key} in {store_root(root)} has a vocabulary of that name: give another --name"
            )
    if name in index.alone and not overwrite:
        raise UsageError(f"{name} is already in {store_root(root)}: give another --name, or --overwrite")


def _remove_others(file: str, root: Path) -> None:
    """Remove what has the name of a file but another hash: replaced, or of a process that was killed."""
    stem, extension = os.path.splitext(file)
    pattern = re.compile(re.escape(stem.rpartition("-")[0]) + "-[0-9a-f]{8}" + re.escape(extension))
    for path in root.iterdir():
        if path.name != file and pattern.fullmatch(path.name):
            path.unlink()


@contextlib.contextmanager
def writing(root: Path) -> Iterator[None]:
    """Make a folder, and turn errors of writing to it into a CheckpointError."""
    try:
        with files.writing(root, CheckpointError):
            root.mkdir(parents=True, exist_ok=True)
            yield
    except mx.MXNetError as error:
        raise CheckpointError(f"cannot write to {root}: {str(error).strip().splitlines()[-1]}") from None
