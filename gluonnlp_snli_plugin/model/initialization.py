"""Random weights for a BERT that is trained from scratch."""

from typing import Any, Sequence, Union

import mxnet as mx

INITIALIZATIONS = ("width", "bert")


def initialize(
    net: mx.gluon.Block, bert: Any, contexts: Union[mx.Context, Sequence[mx.Context]], how: str = "width"
) -> None:
    """Draw the weights of a net.

    Parameters
    ----------
    net : mxnet.gluon.Block
    bert : gluonnlp.model.BERTModel
        The BERT in it, or `net` itself.
    contexts : Context or list of Context
    how : {'width', 'bert'}, default 'width'
        'bert': a standard deviation of 0.02 for all, as in the BERT paper and in GluonNLP's scripts. That suits 768
        units and more; a small BERT hardly learns with it. 'width': ``units ** -0.5``, so that layers preserve the
        scale of their inputs; word embeddings are drawn ten times larger than position embeddings.
    """
    if how == "bert":
        net.initialize(mx.init.Normal(0.02), ctx=contexts)
        return
    net.initialize(mx.init.Normal(bert._units**-0.5), ctx=contexts)
    bert.word_embed.initialize(mx.init.Normal(0.1), ctx=contexts, force_reinit=True)
    bert.encoder.position_weight.initialize(mx.init.Normal(0.01), ctx=contexts, force_reinit=True)
