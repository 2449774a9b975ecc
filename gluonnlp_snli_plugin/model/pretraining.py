"""The pretraining network: BERT with masked-language-model and next-sentence outputs."""

from typing import Any, Dict, Optional, Sequence, Tuple

import gluonnlp as nlp
import mxnet as mx
from gluonnlp.vocab import BERTVocab

from .initialization import initialize


class PretrainingNet(mx.gluon.HybridBlock):
    """A BERT with the outputs of its two pretraining tasks.

    Parameters
    ----------
    bert : gluonnlp.model.BERTModel
        With pooler, decoder (tied to the word embedding) and next-sentence classifier.
    """

    def __init__(
        self, bert: Any, prefix: Optional[str] = None, params: Optional[mx.gluon.ParameterDict] = None
    ) -> None:
        super().__init__(prefix=prefix, params=params)
        self.bert = bert

    def hybrid_forward(
        self, F: Any, input_ids: Any, segment_ids: Any, valid_length: Any, masked_position: Any
    ) -> Tuple[Any, Any]:
        """Scores for the masked words of a batch, and for the order of its pairs.

        Unlike ``BERTModel`` it takes the masked positions of all pairs as one vector, without padding.

        Parameters
        ----------
        input_ids, segment_ids : NDArray or Symbol of int32, shape (batch, length)
        valid_length : NDArray or Symbol of float32, shape (batch,)
        masked_position : NDArray or Symbol of int32, shape (masks,)
            Among the ``batch * length`` tokens.

        Returns
        -------
        decoded : NDArray or Symbol of float32, shape (masks, tokens of the vocabulary)
        classified : NDArray or Symbol of float32, shape (batch, 2)
        """
        bert = self.bert
        sequence, _ = bert._encode_sequence(input_ids, segment_ids, valid_length)
        masked = F.take(F.reshape(sequence, shape=(-3, 0)), masked_position)
        return bert.decoder(masked), bert.classifier(bert._apply_pooling(sequence))


def new_bert(
    backbone: str, vocab: BERTVocab, contexts: Sequence[mx.Context], init: str = "width", **hparams: Any
) -> mx.gluon.Block:
    """A BERT with random weights.

    Parameters
    ----------
    backbone : str
        ``bert_L_H_A``.
    vocab : gluonnlp.vocab.BERTVocab
    contexts : list of Context
    init : {'width', 'bert'}
        How the weights are drawn; see :func:`.initialization.initialize`.
    **hparams
        Hyper-parameters that differ from the usual ones, such as ``dropout``.

    Returns
    -------
    gluonnlp.model.BERTModel
        With pooler, decoder and classifier.
    """
    bert, _ = nlp.model.get_model(backbone, dataset_name=None, vocab=vocab, pretrained=False, ctx=contexts, **hparams)
    initialize(bert, bert, contexts, init)
    initialize_rest(bert, contexts)
    return bert


def initialize_rest(bert: mx.gluon.Block, contexts: Sequence[mx.Context]) -> None:
    """Random weights for the parameters that have none yet."""
    for parameter in bert.collect_params().values():
        if parameter._data is None and not parameter._deferred_init:
            parameter.initialize(mx.init.Normal(0.02), ctx=contexts)
    # GluonNLP's feed-forward layers learn their input size, and draw their weights, from the first input.
    ids = mx.nd.zeros((1, 2), contexts[0], dtype="int32")
    bert(ids, ids, mx.nd.full(1, 2, contexts[0]), ids[:, :1])


def parameters_of(bert: mx.gluon.Block) -> Dict[str, mx.nd.NDArray]:
    """The parameters of a BERT as in a file of the model store.

    Returns
    -------
    dict of str to NDArray
        float32, on CPU, by the names of ``Block.save_parameters``; the decoder's output layer, which is the word
        embedding itself, is left out.
    """
    named = bert._collect_params_with_prefix()
    named.pop("decoder.3.weight")
    return {name: parameter.data(parameter.list_ctx()[0]).as_in_context(mx.cpu()) for name, parameter in named.items()}
