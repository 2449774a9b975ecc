"""Looks up checkpoints and vocabularies of the store by name."""

import hashlib
import os
from pathlib import Path
from typing import Dict, Optional, Union

from gluonnlp.vocab import Vocab

from .. import registry
from ..errors import CheckpointError, UsageError
from ..system.files import digest
from ..system.reading import reading
from ..text.tokenizer_settings import TokenizerSettings
from .index import Checkpoint, Vocabulary, read_index, store_root


def checkpoints(root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Dict[str, Checkpoint]:
    """The checkpoints in a store, a dict by key.

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is not valid UTF-8.
    """
    return read_index(root).checkpoints


def vocabularies(root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Dict[str, Vocabulary]:
    """The vocabularies in a store, those of checkpoints and those without weights, a dict by name.

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is not valid UTF-8.
    """
    return read_index(root).vocabularies()


def spiece(dataset_name: str, root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Optional[Path]:
    """The SentencePiece model behind a vocabulary that GluonNLP knows by name; None for a WordPiece one.

    Parameters
    ----------
    dataset_name : str
    root : str or None

    Returns
    -------
    Path or None
    """
    known = vocabularies(root).get(dataset_name)
    name, extension = (known.file, known.extension) if known else registry.vocabulary_file(dataset_name)
    return store_root(root) / name if extension == ".spiece" else None


def vocabulary(dataset_name: str, root: Optional[Union[str, "os.PathLike[str]"]] = None) -> Path:
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
        If there is none of that name; the message lists the available ones.
    CheckpointError
        If the file is missing or damaged.
    """
    known = vocabularies(root).get(dataset_name)
    if known:
        check_file(known.file, known.sha1, known.source, root)
        return store_root(root) / known.file
    if registry.is_host_vocabulary(dataset_name):  # one of GluonNLP's own, downloaded earlier
        path = store_root(root) / registry.vocabulary_file(dataset_name)[0]
        if os.path.isfile(path):
            return path
    raise UsageError(f"no vocabulary under the name {dataset_name!r} in {store_root(root)} ({inventory(root)})")


def tokenizer(
    source: Union[str, "os.PathLike[str]"],
    vocab: Vocab,
    lower: bool,
    spiece: Optional[Union[str, "os.PathLike[str]"]] = None,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
) -> TokenizerSettings:
    """What is done with text for a vocabulary that is given by its path, or by its name in the store.

    Parameters
    ----------
    source : str or Path
        The name counts where there is no such file.
    vocab : gluonnlp.vocab.Vocab
        Its content.
    lower : bool
        Whether to lower-case text, of a vocabulary that the store does not know.
    spiece : Path or None
        The SentencePiece model that the vocabulary was made from.
    root : str or None

    Returns
    -------
    TokenizerSettings
    """
    known = None if os.path.isfile(source) else vocabularies(root).get(str(source))
    if known:
        return known.tokenizer
    return TokenizerSettings.of(vocab, lower, spiece is not None)


def tokenizer_of(
    vocab: Vocab,
    lower: bool,
    spiece: Optional[Union[str, "os.PathLike[str]"]] = None,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
) -> TokenizerSettings:
    """What is done with text for a vocabulary in memory, as far as the store knows one of that content.

    Parameters
    ----------
    vocab : gluonnlp.vocab.Vocab
    lower : bool
        Whether to lower-case text, which the store's answer must agree with.
    spiece : str, Path or None
        The SentencePiece model that the vocabulary was made from.
    root : str or None

    Returns
    -------
    TokenizerSettings

    Raises
    ------
    UsageError
        If the store has it under several names with tokenizers that differ.
    """
    sha1 = digest(spiece, "sha1") if spiece else hashlib.sha1(vocab.to_json().encode()).hexdigest()
    same = [entry for entry in vocabularies(root).values() if entry.sha1 == sha1 and entry.tokenizer.lower == lower]
    if len({entry.tokenizer for entry in same}) > 1:
        names = ", ".join(entry.name for entry in same)
        raise UsageError(f"{store_root(root)} has this vocabulary with different tokenizers: {names}; remove one")
    return same[0].tokenizer if same else TokenizerSettings.of(vocab, lower, spiece is not None)


def find_vocabulary(
    source: Union[str, "os.PathLike[str]"], root: Optional[Union[str, "os.PathLike[str]"]] = None
) -> Path:
    """The file of a vocabulary that is given by its path, or by its name in the store.

    Parameters
    ----------
    source : str or Path
        The name counts where there is no such file.
    root : str or None

    Returns
    -------
    Path
        As :func:`~gluonnlp_snli_plugin.text.vocabulary.read_vocabulary` takes it.

    Raises
    ------
    UsageError
        If it is neither; the message lists the available names.
    CheckpointError
        If the store's file is missing or damaged.
    """
    if os.path.isfile(source):
        return Path(source)
    try:
        return vocabulary(str(source), root)
    except UsageError as error:
        raise UsageError(f"--vocab {source} is not a file, and there is {error}") from None


def inventory(root: Optional[Union[str, "os.PathLike[str]"]] = None) -> str:
    """One line that says what is in the store."""
    index = read_index(root)
    there = ", ".join(f"{entry.backbone} {entry.dataset_name}" for entry in index.checkpoints.values())
    named = {entry.dataset_name for entry in index.checkpoints.values()}
    alone = ", ".join(name for name in index.alone if name not in named)
    return f"there: {there or 'none'}" + (f"; vocabularies without weights: {alone}" if alone else "")


def only_backbone(dataset_name: str, root: Optional[Union[str, "os.PathLike[str]"]] = None) -> str:
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


def require(backbone: str, dataset_name: str, root: Optional[Union[str, "os.PathLike[str]"]] = None) -> None:
    """Make sure that weights are there before GluonNLP looks for them, which would ask a host that is gone.

    Raises
    ------
    UsageError
        If there are none of that name; the message lists the available ones.
    CheckpointError
        If their files are missing or damaged.
    """
    key = f"{backbone}_{dataset_name}"
    checkpoint = checkpoints(root).get(key)
    if checkpoint:
        check_files(checkpoint, root)
        return
    sha1 = registry.weights_sha1(key)  # weights of GluonNLP's own, downloaded earlier
    if sha1 is None or not os.path.isfile(store_root(root) / f"{key}-{sha1[:8]}.params"):
        raise UsageError(
            f"no weights of {backbone} under the name {dataset_name!r} in {store_root(root)} ({inventory(root)}); "
            "import some with: gluonnlp-snli import-bert DIR --name NAME"
        )


def check_files(
    checkpoint: Checkpoint, root: Optional[Union[str, "os.PathLike[str]"]] = None, with_weights: bool = True
) -> None:
    """Make sure that a checkpoint's files are whole: GluonNLP would try to download others, from a host that is gone.

    Raises
    ------
    CheckpointError
        If a file is missing or damaged.
    """
    check_file(checkpoint.vocab_file, checkpoint.vocab_sha1, checkpoint.source, root)
    if with_weights:
        check_file(checkpoint.weights_file, checkpoint.weights_sha1, checkpoint.source, root)


def check_file(name: str, sha1: str, source: str, root: Optional[Union[str, "os.PathLike[str]"]]) -> None:
    """Make sure that a file of the store is whole; `source` is where to import it from again."""
    path = store_root(root) / name
    remedy = f"import it again from {source or 'where it came from'}"
    with reading(path, CheckpointError, missing=f"{path} is missing: {remedy}"):
        if digest(path, "sha1") != sha1:
            raise CheckpointError(f"{path} is damaged: {remedy}")
