"""The head: ``nlp.model.get_model('snli_bert_classifier', ...)``."""

import gluonnlp as nlp
import mxnet as mx
from mxnet.gluon import nn

from .. import registry
from ..data.snli import LABELS
from ..errors import UsageError
from .store import store_root

HEADS = ("mlp", "pooled")


class SNLIBertClassifier(mx.gluon.HybridBlock):
    """BERT with a classification head on the encoding of ``[CLS]``.

    Parameters
    ----------
    bert : gluonnlp.model.BERTModel
        Without decoder and next-sentence classifier; with pooler if, and only if, `head` is 'pooled'.
    num_classes : int, default 3
    head : {'mlp', 'pooled'}, default 'mlp'
        'mlp': Dense(`hidden_units`, relu), dropout, Dense(`num_classes`) on the encoding of ``[CLS]``, two new layers
        as in the *Dive into Deep Learning* chapter (whose first one is BERT's own tanh layer). 'pooled': dropout,
        Dense(`num_classes`) on BERT's pooled output; its parameter files are those of
        ``gluonnlp.model.BERTClassifier``.
    hidden_units : int, default 256
        Of the 'mlp' head.
    dropout : float, default 0.1
        Of the head.
    """

    def __init__(
        self, bert, num_classes=len(LABELS), head="mlp", hidden_units=256, dropout=0.1, prefix=None, params=None
    ):
        super().__init__(prefix=prefix, params=params)
        if head not in HEADS:
            raise UsageError(f"no head {head!r}; there are {', '.join(HEADS)}")
        self._head = head
        self.num_classes = num_classes
        self.bert = bert
        with self.name_scope():
            self.classifier = nn.HybridSequential(prefix="classifier_")
            with self.classifier.name_scope():
                if head == "mlp":
                    self.classifier.add(nn.Dense(hidden_units, activation="relu", in_units=bert._units))
                self.classifier.add(nn.Dropout(dropout))
                self.classifier.add(nn.Dense(num_classes, in_units=hidden_units if head == "mlp" else bert._units))

    def hybrid_forward(self, F, input_ids, segment_ids, valid_length):
        """Logits of pairs.

        Parameters
        ----------
        input_ids, segment_ids : NDArray or Symbol of int32, shape (batch, length)
        valid_length : NDArray or Symbol of float32, shape (batch,)

        Returns
        -------
        NDArray or Symbol of float32, shape (batch, num_classes)
        """
        if self._head == "pooled":
            _, encoding = self.bert(input_ids, segment_ids, valid_length)
        else:
            encoding = self.bert(input_ids, segment_ids, valid_length)
            encoding = encoding.slice_axis(axis=1, begin=0, end=1).reshape((0, -1))
        return self.classifier(encoding)


@registry.model
def snli_bert_classifier(
    backbone="bert_12_768_12",
    dataset_name=None,
    vocab=None,
    pretrained=True,
    head="mlp",
    num_classes=len(LABELS),
    hidden_units=256,
    dropout=0.1,
    params_dir=None,
    ctx=None,
    root=None,
    **kwargs,
):
    """A BERT classifier for natural language inference, ready to be fine-tuned or, with `params_dir`, fine-tuned.

    Parameters
    ----------
    backbone : str, default 'bert_12_768_12'
        BERT architecture, any ``bert_L_H_A``.
    dataset_name : str or None
        Which weights and vocabulary of the model store.
    vocab : gluonnlp.vocab.BERTVocab or None
        Vocabulary of a BERT that is not pretrained, if there is no `dataset_name`.
    pretrained : bool, default True
        Whether the backbone gets the weights of that name; the head is always new.
    head : {'mlp', 'pooled'}, default 'mlp'
        See :class:`SNLIBertClassifier`.
    num_classes : int, default 3
    hidden_units : int, default 256
        Of the 'mlp' head.
    dropout : float, default 0.1
        Of backbone and head alike.
    params_dir : str or None
        Output folder of ``gluonnlp-snli finetune`` (or the ``model`` folder inside): load the fine-tuned model
        instead. All but `ctx` is then read from there.
    ctx : Context or list of Context, default CPU
    root : str or None
        Folder of the model store, default ``$MXNET_HOME/models``.
    **kwargs
        More hyper-parameters of the backbone, as ``gluonnlp.model.bert_12_768_12`` takes them.

    Returns
    -------
    net : SNLIBertClassifier
    vocab : gluonnlp.vocab.BERTVocab

    Examples
    --------
    >>> net, vocab = nlp.model.get_model(
    ...     'snli_bert_classifier', backbone='bert_6_384_12', dataset_name='minilm_uncased')
    """
    ctx = mx.cpu() if ctx is None else ctx
    if params_dir is not None:
        from .folder import load_model

        model = load_model(params_dir, ctx)
        return model.net, model.vocab
    if head not in HEADS:
        raise UsageError(f"no head {head!r}; there are {', '.join(HEADS)}")
    if dataset_name is None and vocab is None:
        raise UsageError("which BERT? dataset_name='...' for pretrained weights, or vocab=... and pretrained=False")
    bert, vocab = nlp.model.get_model(
        backbone,
        dataset_name=dataset_name,
        vocab=vocab,
        pretrained=pretrained,
        ctx=ctx,
        use_pooler=head == "pooled",
        use_decoder=False,
        use_classifier=False,
        dropout=dropout,
        root=str(store_root(root)),
        **kwargs,
    )
    net = SNLIBertClassifier(bert, num_classes, head, hidden_units, dropout)
    if pretrained:
        net.classifier.initialize(mx.init.Normal(0.02), ctx=ctx)
    else:
        _initialize_from_scratch(net, ctx)
    return net, vocab


def _initialize_from_scratch(net, ctx):
    """Random weights for a BERT that is trained on labelled pairs alone.

    BERT's own 0.02 is meant for pretraining: with it, a small BERT hardly begins to learn from a few thousand pairs.
    Here weights keep the scale of what goes through them, and a token says what it is much louder than where it is.
    """
    net.initialize(mx.init.Normal(net.bert._units**-0.5), ctx=ctx)
    net.bert.word_embed.initialize(mx.init.Normal(0.1), ctx=ctx, force_reinit=True)
    net.bert.encoder.position_weight.initialize(mx.init.Normal(0.01), ctx=ctx, force_reinit=True)
