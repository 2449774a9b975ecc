"""The model a run starts from: pretrained weights of the store, a fine-tuned model, or random weights."""

import os
from typing import Any, Dict, List, NamedTuple, Optional, Tuple

import mxnet as mx

from .. import store
from ..errors import UsageError
from ..formats.model_folder import Model
from ..formats.model_settings import ModelSettings
from ..formats.models import snli_bert_classifier
from ..model.family import default_head, hparams_of
from ..tasks.sample import sample_vocabulary
from ..tasks.task import find_task
from ..text.vocabulary import is_sentencepiece, read_vocabulary, wordpiece_vocab
from . import continuation


class InitialModel(NamedTuple):
    """The model before its first update."""

    model: Model
    record: Optional[Dict[str, Any]] = None  #: of a fine-tuned one, what ``config.json`` records
    remark: Optional[str] = None  #: why its head is new

    @property
    def is_finetuned(self) -> bool:
        """Whether backbone and head are already trained for the classes of the run."""
        return self.record is not None and self.remark is None


def initial_model(config: Any, contexts: List[mx.Context]) -> InitialModel:
    """Build the net that `config` describes; with a new head, unless it is that of a fine-tuned model.

    Parameters
    ----------
    config : FinetuneConfig
    contexts : list of Context

    Returns
    -------
    InitialModel

    Raises
    ------
    UsageError
        If the architecture is unknown, or the weights are not in the model store.
    """
    if config.init_from:
        model, record, remark = continuation.continued_model(config, _task(config), contexts)
        _require_length(config, model.settings.backbone, model.settings.hparams)
        return InitialModel(model, record, remark)
    labels = config.schema.labels
    backbone, vocab, spiece, hparams = _backbone(config)
    _require_length(config, backbone, hparams)
    hparams["dropout"] = config.dropout
    net, vocab = snli_bert_classifier(
        backbone,
        dataset_name=config.dataset_name,
        vocab=vocab,
        pretrained=config.dataset_name is not None,
        head=config.head,
        num_classes=len(labels),
        hidden_units=config.hidden_units,
        dropout=config.dropout,
        ctx=contexts,
    )
    source = config.dataset_name or config.vocab or ""
    lower = "uncased" in source if config.dataset_name else _is_uncased(config)
    settings = ModelSettings(
        backbone=backbone,
        hparams=hparams,
        head=config.head,
        hidden_units=config.hidden_units,
        dropout=config.dropout,
        tokenizer=store.tokenizer(source, vocab, lower, spiece),
        max_len=config.max_len,
        truncation=config.truncation,
        labels=labels,
        task=_task(config),
    )
    return InitialModel(Model(net, vocab, settings, spiece))


def settings_with_model(given: Dict[str, Any]) -> Dict[str, Any]:
    """The settings of a run, and where nothing is given those that follow from its model.

    Of a fine-tuned model, these are what :func:`.continuation.settings_with_model` says; of any other, the head.

    Raises
    ------
    UsageError
        If the store has several architectures under the name that is given, or a setting contradicts the model.
    CheckpointError
        If the fine-tuned model is missing or damaged.
    """
    if given.get("init_from"):
        return continuation.settings_with_model(given)
    backbone = _backbone_named(given.get("backbone"), given.get("dataset_name"))
    return {**given, "head": default_head(backbone)}


def _backbone_named(backbone: Optional[str], dataset_name: Optional[str]) -> str:
    """The architecture that these settings mean."""
    if backbone:
        return backbone
    return store.only_backbone(dataset_name) if dataset_name else "bert_2_256_4"


def _require_length(config: Any, backbone: str, hparams: Dict[str, Any]) -> None:
    if config.max_len > hparams["max_length"]:
        raise UsageError(
            f"--max-len is {config.max_len}; {backbone} takes inputs of up to {hparams['max_length']} tokens"
        )


def _task(config: Any) -> str:
    """The name of the task whose classes these are; empty for classes of the user's own."""
    task = find_task(config.task)
    return task.name if sorted(task.schema.labels) == sorted(config.schema.labels) else ""


def _backbone(config: Any) -> Tuple[Any, ...]:
    """Name, vocabulary (if it comes with the run), SentencePiece model and hyper-parameters of the backbone."""
    backbone = _backbone_named(config.backbone, config.dataset_name)
    if config.dataset_name:
        hparams = hparams_of(backbone)
        store.require(backbone, config.dataset_name)
        checkpoint = store.checkpoints().get(f"{backbone}_{config.dataset_name}")
        hparams.update(checkpoint.hparams if checkpoint else {})
        return backbone, None, store.spiece(config.dataset_name), hparams
    if config.sample:
        return backbone, wordpiece_vocab(sample_vocabulary()), None, hparams_of(backbone)
    if not config.vocab:
        raise UsageError(
            f"which BERT? --dataset-name NAME for pretrained weights ({store.inventory()}), "
            "or --vocab FILE to start from random ones"
        )
    file = store.find_vocabulary(config.vocab)
    vocab, _ = read_vocabulary(file)
    return backbone, vocab, file if is_sentencepiece(file) else None, hparams_of(backbone)


def _is_uncased(config: Any) -> bool:
    """Whether the vocabulary given with ``--vocab``, or that of the sample, is one of lower-case text."""
    if not config.vocab or os.path.isfile(config.vocab):
        return not config.cased
    if config.cased and config.vocab.endswith("_uncased"):
        raise UsageError(f"--vocab {config.vocab} is not a cased vocabulary: omit --cased")
    return config.vocab.endswith("_uncased")
