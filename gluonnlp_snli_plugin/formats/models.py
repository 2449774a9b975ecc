"""The classifier by name: ``nlp.model.get_model('snli_bert_classifier', ...)``."""

import os
from typing import Any, Dict, Optional, Tuple, Union

import gluonnlp as nlp
import mxnet as mx
from gluonnlp.vocab import Vocab

from .. import registry, store
from ..errors import UsageError
from ..model.classifier import SNLIBertClassifier, initialize_from_scratch
from ..model.family import default_head, parts_of, problem_with_head, require_special_tokens
from ..model.heads import head_named
from ..model.pretraining import initialize_rest
from ..store import store_root
from ..tasks.snli import LABELS
from .reading import load_finetuned


@registry.model("snli_bert_classifier")
def snli_bert_classifier(
    backbone: Optional[str] = None,
    dataset_name: Optional[str] = None,
    vocab: Optional[Vocab] = None,
    pretrained: bool = True,
    head: Optional[str] = None,
    num_classes: int = len(LABELS),
    hidden_units: int = 256,
    dropout: float = 0.1,
    params_dir: Optional[Union[str, "os.PathLike[str]"]] = None,
    ctx: Any = None,
    root: Optional[Union[str, "os.PathLike[str]"]] = None,
    **kwargs: Any,
) -> Tuple[SNLIBertClassifier, Vocab]:
    """A classifier for natural language inference, ready to be fine-tuned or, with `params_dir`, fine-tuned.

    Parameters
    ----------
    backbone : str or None, default 'bert_12_768_12'
        Architecture: any ``bert_L_H_A``, ``roberta_L_H_A`` or ``distilbert_L_H_A``.
    dataset_name : str or None
        Which weights and vocabulary of the model store.
    vocab : gluonnlp.vocab.Vocab or None
        Vocabulary of a backbone that is not pretrained, if there is no `dataset_name`.
    pretrained : bool, default True
        Whether the backbone gets the weights of that name; the head is always new.
    head : {'mlp', 'pooled', 'roberta', 'mean', None}
        See :class:`SNLIBertClassifier`. By default 'roberta' for a RoBERTa, 'mlp' for others.
    num_classes : int, default 3
    hidden_units : int, default 256
        Of the 'mlp' head.
    dropout : float, default 0.1
        Of backbone and head alike.
    params_dir : str or None
        Output folder of ``gluonnlp-snli finetune`` (or the ``model`` folder inside): load the fine-tuned model
        instead. All but `ctx` is then read from there. Or a ``.params`` file of a ``gluonnlp.model.BERTClassifier``,
        as GluonNLP's own script writes it: the vocabulary is that of `dataset_name`, and `backbone` may be left out
        where the store has only one of that name.
    ctx : Context or list of Context, default CPU
    root : str or None
        Folder of the model store, default ``$MXNET_HOME/models``.
    **kwargs
        More hyper-parameters of the backbone, as ``gluonnlp.model.bert_12_768_12`` takes them.

    Returns
    -------
    net : SNLIBertClassifier
    vocab : gluonnlp.vocab.Vocab

    Examples
    --------
    >>> net, vocab = nlp.model.get_model(
    ...     'snli_bert_classifier', backbone='bert_6_384_12', dataset_name='minilm_uncased')
    """
    ctx = mx.cpu() if ctx is None else ctx
    if params_dir is not None:
        named: Dict[str, Any] = (
            {} if os.path.isdir(params_dir) else dict(dataset_name=dataset_name, backbone=backbone, root=root)
        )
        model = load_finetuned(params_dir, ctx, **named)
        return model.net, model.vocab
    backbone = backbone or "bert_12_768_12"
    chosen = head_named(default_head(backbone) if head is None else head)
    problem = problem_with_head(backbone, chosen)
    if problem:
        raise UsageError(problem)
    if dataset_name is None and vocab is None:
        raise UsageError("which model? dataset_name='...' for pretrained weights, or vocab=... and pretrained=False")
    bert, vocab = nlp.model.get_model(
        backbone,
        dataset_name=dataset_name,
        vocab=vocab,
        pretrained=pretrained,
        ctx=ctx,
        dropout=dropout,
        root=str(store_root(root)),
        **{f"use_{part}": part == "pooler" and chosen.needs_pooler for part in parts_of(backbone)},
        **kwargs,
    )
    require_special_tokens(backbone, vocab)
    net = SNLIBertClassifier(bert, num_classes, chosen.name, hidden_units, dropout)
    if pretrained:
        net.classifier.initialize(mx.init.Normal(0.02), ctx=ctx)
    else:
        initialize_from_scratch(net, ctx)
    return net, vocab


def stored_bert(backbone: str, dataset_name: str, contexts: Any, **hparams: Any) -> Tuple[Any, Dict[str, Any]]:
    """A BERT with the weights that the model store has under a name; what they lack is new.

    Returns
    -------
    bert : gluonnlp.model.BERTModel
        With pooler, decoder and classifier.
    hparams : dict
        Where its architecture differs from what the name says.

    Raises
    ------
    UsageError
        If there are none of that name.
    """
    checkpoint = store.checkpoints().get(f"{backbone}_{dataset_name}")
    if checkpoint is None:
        raise UsageError(f"{dataset_name} is not in the model store: import it with import-bert")
    bert, _ = nlp.model.get_model(
        backbone, dataset_name=dataset_name, ctx=contexts, pretrained_allow_missing=True, **hparams
    )
    initialize_rest(bert, contexts)
    return bert, checkpoint.hparams
