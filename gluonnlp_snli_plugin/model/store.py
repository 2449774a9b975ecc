"""The local model store: BERT weights and vocabularies under GluonNLP's own file names, in ``$MXNET_HOME/models``.

GluonNLP's download host no longer answers (dmlc/gluon-cv #1778), so weights are imported (``import-bert``) and
vocabularies trained (``train-vocab``) instead. An index file beside them holds what GluonNLP's tables must know; every
process that imports the plugin enters it there.
"""

import dataclasses
import functools
import hashlib
import logging
import os
import re
from pathlib import Path
from typing import Set

from .. import registry
from ..data.tokenizer_settings import TokenizerSettings, special_tokens
from ..errors import CheckpointError, UsageError
from ..files import digest, locked
from .backbones import bert_hparams
from .conversion import bert_mapping
from .params_layout import read_layout
from .store_index import INDEX, NAME, Checkpoint, Vocabulary, read_index, require_sound, store_root

__all__ = ["INDEX", "NAME", "Checkpoint", "Vocabulary", "store_root"]

_OPEN_TO_CALLERS = {"use_residual", "dropout", "word_embed"}  # hyper-parameters get_bert_model lets every caller set


def checkpoints(root=None):
    """The checkpoints in a store, a dict by key.

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is no UTF-8.
    """
    return read_index(root).checkpoints


def vocabularies(root=None):
    """The vocabularies in a store, those of checkpoints and those without weights, a dict by name.

    Raises
    ------
    CheckpointError
        If the index file is damaged, or the folder's name is no UTF-8.
    """
    return read_index(root).vocabularies()


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


def add_vocabulary(vocabulary, file, root=None, overwrite=False):
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
    _register_vocabulary(vocabulary)


def _require_sound(entry):
    try:
        require_sound(entry)
    except (TypeError, ValueError) as error:
        raise CheckpointError(f"{entry.source}: the store cannot hold it: {error}") from None


def require_free_vocabulary(name, root=None, overwrite=False):
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


def _remove_others(file, root):
    """Remove what has the name of a file but another hash: replaced, or of a process that was killed."""
    stem, extension = os.path.splitext(file)
    pattern = re.compile(re.escape(stem.rpartition("-")[0]) + "-[0-9a-f]{8}" + re.escape(extension))
    for path in root.iterdir():
        if path.name != file and pattern.fullmatch(path.name):
            path.unlink()


_registered: Set[str] = set()  # keys of all checkpoints that GluonNLP's tables have from here


def register(checkpoint):
    """Enter a checkpoint into GluonNLP's tables of architectures, weights and vocabularies."""
    _registered.add(checkpoint.key)
    registry.add_backbone(checkpoint.backbone, bert_hparams(checkpoint.backbone))
    registry.add_weights(checkpoint.key, checkpoint.weights_sha1)
    _register_vocabulary(checkpoint.vocabulary)


def _register_vocabulary(vocabulary):
    registry.add_vocabulary(vocabulary.name, vocabulary.sha1, vocabulary.extension, vocabulary.special_tokens)


@registry.at_activation
def _register_all():
    """A damaged index must not keep anybody from importing the plugin; what needs the index says so later."""
    try:
        index = read_index()
        for checkpoint in index.checkpoints.values():
            register(checkpoint)
        for vocabulary in index.alone.values():
            _register_vocabulary(vocabulary)
    except CheckpointError as error:
        logging.getLogger("gluonnlp_snli_plugin").warning("%s", error)


@registry.replacement("gluonnlp.model.bert", "get_bert_model")
def _get_bert_model(original):
    """GluonNLP's own builder, told what an imported checkpoint needs beyond its architecture's name."""

    @functools.wraps(original)
    def get_bert_model(model_name=None, dataset_name=None, **kwargs):
        root, pretrained = kwargs.get("root"), kwargs.get("pretrained", True)
        key, index = f"{model_name}_{dataset_name}", read_index(root)
        checkpoint, vocabulary = index.checkpoints.get(key), index.vocabularies().get(dataset_name)
        if checkpoint is None:
            if pretrained and key in _registered:  # from another store, or the index has changed since
                raise CheckpointError(f"{store_root(root) / INDEX} has no {key}: import it again, or give its root")
            if vocabulary and pretrained:
                require(model_name, dataset_name, root)
            if vocabulary:
                _check_file(vocabulary.file, vocabulary.sha1, vocabulary.source, root)
                _register_vocabulary(vocabulary)
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
    _check_file(checkpoint.vocab_file, checkpoint.vocab_sha1, checkpoint.source, root)
    if with_weights:
        _check_file(checkpoint.weights_file, checkpoint.weights_sha1, checkpoint.source, root)


def _check_file(name, sha1, source, root):
    path = store_root(root) / name
    try:
        problem = None if digest(path, "sha1") == sha1 else "damaged"
    except FileNotFoundError:
        problem = "missing"
    except OSError as error:
        raise CheckpointError(f"{path}: {error.strerror}") from None
    if problem:
        raise CheckpointError(f"{path} is {problem}: bring it in again from {source or 'where it came from'}")


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
    known = vocabularies(root).get(dataset_name)
    name, extension = (known.file, known.extension) if known else registry.vocabulary_file(dataset_name)
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
    known = vocabularies(root).get(dataset_name)
    if known:
        _check_file(known.file, known.sha1, known.source, root)
        return store_root(root) / known.file
    if registry.is_host_vocabulary(dataset_name):  # of GluonNLP's own, from the days when its host answered
        path = store_root(root) / registry.vocabulary_file(dataset_name)[0]
        if os.path.isfile(path):
            return path
    raise UsageError(f"no vocabulary under the name {dataset_name!r} in {store_root(root)} ({inventory(root)})")


def tokenizer(source, vocab, lower, spiece=None, root=None):
    """What is done with text for a vocabulary that is given by its path, or by its name in the store.

    Parameters
    ----------
    source : str or Path
        The name counts where there is no such file.
    vocab : gluonnlp.vocab.BERTVocab
        What it holds.
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
    return TokenizerSettings.bert(lower, () if spiece else special_tokens(vocab))


def tokenizer_of(vocab, lower, spiece=None, root=None):
    """What is done with text for a vocabulary in memory, as far as the store knows one of that content.

    Parameters
    ----------
    vocab : gluonnlp.vocab.BERTVocab
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
    return same[0].tokenizer if same else TokenizerSettings.bert(lower, () if spiece else special_tokens(vocab))


def find_vocabulary(source, root=None):
    """The file of a vocabulary that is given by its path, or by its name in the store.

    Parameters
    ----------
    source : str or Path
        The name counts where there is no such file.
    root : str or None

    Returns
    -------
    Path
        As :func:`~gluonnlp_snli_plugin.data.vocabulary.read_vocabulary` takes it.

    Raises
    ------
    UsageError
        If it is neither; the message lists the names there are.
    CheckpointError
        If the store's file is missing or damaged.
    """
    if os.path.isfile(source):
        return Path(source)
    try:
        return vocabulary(str(source), root)
    except UsageError as error:
        raise UsageError(f"--vocab {source} is not a file, and there is {error}") from None


def inventory(root=None):
    """One line that says what is in the store."""
    index = read_index(root)
    there = ", ".join(f"{entry.backbone} {entry.dataset_name}" for entry in index.checkpoints.values())
    named = {entry.dataset_name for entry in index.checkpoints.values()}
    alone = ", ".join(name for name in index.alone if name not in named)
    return f"there: {there or 'none'}" + (f"; vocabularies without weights: {alone}" if alone else "")


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
