"""Enters the store's architectures, weights and vocabularies into GluonNLP's tables."""

import functools
import logging
import os
from typing import Any, Callable, Optional, Set, Tuple, Union

from gluonnlp.vocab import Vocab

from .. import registry
from ..errors import CheckpointError
from ..model.encoder_family import OPEN_TO_CALLERS
from ..model.family import families, family_of, has_family, hparams_of
from ..system.params_layout import read_layout
from ..text.vocabulary import read_vocabulary
from . import gpt2_tokenizer
from .index import INDEX, Checkpoint, Vocabulary, read_index, store_root
from .lookup import check_file, check_files, require

_registered: Set[str] = set()  # keys of the checkpoints entered into GluonNLP's tables


def register(checkpoint: Checkpoint) -> None:
    """Enter a checkpoint into GluonNLP's tables of architectures, weights and vocabularies."""
    _registered.add(checkpoint.key)
    registry.add_backbone(checkpoint.backbone, hparams_of(checkpoint.backbone))
    registry.add_weights(checkpoint.key, checkpoint.weights_sha1)
    register_vocabulary(checkpoint.vocabulary)


def register_vocabulary(vocabulary: Vocabulary) -> None:
    registry.add_vocabulary(vocabulary.name, vocabulary.sha1, vocabulary.extension, vocabulary.special_tokens)


@registry.at_activation
def _register_all() -> None:
    """Register the whole store; a damaged index is only warned about, so that the plugin can still be imported."""
    try:
        index = read_index()
        for checkpoint in index.checkpoints.values():
            if has_family(checkpoint.backbone):
                register(checkpoint)
        for vocabulary in index.alone.values():
            register_vocabulary(vocabulary)
    except CheckpointError as error:
        logging.getLogger("gluonnlp_snli_plugin").warning("%s", error)


@registry.extends_builders
def _with_store(original: Callable[..., Any]) -> Callable[..., Any]:
    """A function that builds backbones by name, which also follows what the store records of a checkpoint."""

    @functools.wraps(original)
    def get_model(model_name: Any = None, dataset_name: Any = None, **kwargs: Any) -> Any:
        root, pretrained = kwargs.get("root"), kwargs.get("pretrained", True)
        key, index = f"{model_name}_{dataset_name}", read_index(root)
        checkpoint, vocabulary = index.checkpoints.get(key), index.vocabularies().get(dataset_name)
        if checkpoint is None:
            if pretrained and key in _registered:  # from another store, or the index has changed since
                raise CheckpointError(f"{store_root(root) / INDEX} has no {key}: import it again, or give its root")
            if vocabulary and pretrained:
                require(model_name, dataset_name, root)
            if vocabulary:
                check_file(vocabulary.file, vocabulary.sha1, vocabulary.source, root)
                register_vocabulary(vocabulary)
            return _with_vocabulary(original(model_name, dataset_name, **kwargs), vocabulary, root)
        check_files(checkpoint, root, with_weights=pretrained)
        if pretrained:
            _check_shapes(checkpoint, root)
        register(checkpoint)
        family = family_of(model_name)
        for part in ("decoder", "classifier"):
            wanted = part in family.parts and pretrained and kwargs.get(f"use_{part}", True)
            if wanted and part not in checkpoint.parts and not kwargs.get("pretrained_allow_missing"):
                raise CheckpointError(f"{checkpoint.key} has no {part}: ask for it with use_{part}=False")
        fixed = set(family.hparams(model_name)) - OPEN_TO_CALLERS
        if checkpoint.hparams and (kwargs.get("hparam_allow_override") or not fixed & set(kwargs)):
            kwargs = {**checkpoint.hparams, **kwargs, "hparam_allow_override": True}
        return _with_vocabulary(original(model_name, dataset_name, **kwargs), checkpoint.vocabulary, root)

    return get_model


def _with_vocabulary(found: Tuple[Any, Vocab], vocabulary: Optional[Vocabulary], root: Any) -> Tuple[Any, Vocab]:
    """A net and its vocabulary, which GluonNLP reads as a plain ``Vocab`` for some families, of its own class."""
    net, vocab = found
    if vocabulary and type(vocab) is Vocab:
        vocab, _ = read_vocabulary(store_root(root) / vocabulary.file)
    gpt2_tokenizer.remember(vocab, vocabulary)
    return net, vocab


for _builder in sorted({family.builder for family in families()}):
    registry.replacement(*_builder)(_with_store)


def _check_shapes(checkpoint: Checkpoint, root: Optional[Union[str, "os.PathLike[str]"]]) -> None:
    """Make sure that the index describes the weights as they are."""
    path, hparams = (
        store_root(root) / checkpoint.weights_file,
        {**hparams_of(checkpoint.backbone), **checkpoint.hparams},
    )
    found = {name: entry.shape for name, entry in read_layout(path).items()}
    vocab_size = found.get("word_embed.0.weight", (0,))[0]
    is_same = hparams["num_layers"] <= len(found)  # else there is no need to name them all
    if is_same:
        expected = family_of(checkpoint.backbone).parameters(hparams, vocab_size, checkpoint.parts)
        is_same = all(found.get(name) == shape for name, (_, shape) in expected.items())
    if not is_same:
        source = checkpoint.source or "where it came from"
        raise CheckpointError(f"{path} is not what {INDEX} beside it says: import it again from {source}")
