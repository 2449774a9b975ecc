"""Random weights for a BERT that starts from none."""

import mxnet as mx

INITIALIZATIONS = ("width", "bert")


def initialize(net, bert, contexts, how="width"):
    """Draw the weights of a net.

    Parameters
    ----------
    net : mxnet.gluon.Block
    bert : gluonnlp.model.BERTModel
        The BERT in it, or `net` itself.
    contexts : Context or list of Context
    how : {'width', 'bert'}, default 'width'
        'bert': all with a standard deviation of 0.02, as in the BERT paper and in GluonNLP's scripts. That is meant for
        768 units and more: a small BERT hardly begins to learn with it. 'width': with ``units ** -0.5``, so that
        weights keep the scale of what goes through them; and a token says what it is much louder than where it is.
    """
    if how == "bert":
        net.initialize(mx.init.Normal(0.02), ctx=contexts)
        return
    net.initialize(mx.init.Normal(bert._units**-0.5), ctx=contexts)
    bert.word_embed.initialize(mx.init.Normal(0.1), ctx=contexts, force_reinit=True)
    bert.encoder.position_weight.initialize(mx.init.Normal(0.01), ctx=contexts, force_reinit=True)
