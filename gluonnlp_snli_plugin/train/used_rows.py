"""Trains only those word embeddings that occur in the pairs; the result is that of training them all.

A fine-tuning corpus uses a part of BERT's vocabulary, and the word embeddings are half of a small BERT's parameters. A
row that no pair uses never gets a gradient, so an update does nothing to it but AdamW's weight decay, which can be
deferred: it is one factor, applied when the model is written.
"""

import copy
import hashlib
from typing import Any, Dict

import mxnet as mx
import numpy as np

from ..data.encoding import EncodedPairs

TABLE = "bert.word_embed.0.weight"  # the table among the net's parameters


class UsedRows:
    """The word embeddings of a net without the rows that no pair uses.

    Parameters
    ----------
    net : SNLIBertClassifier
        Its table is changed in place: row `i` holds the embedding of token ``self.ids[i]``.
    encoded : dict of str to EncodedPairs
        All pairs that the net will see.

    Attributes
    ----------
    ids : ndarray of int64, shape (rows,)
        Ascending.
    fingerprint : str
        Hash of the whole table.
    """

    def __init__(self, net: Any, encoded: Dict[str, EncodedPairs]) -> None:
        embedding = net.bert.word_embed[0]
        self._weight = embedding.weight
        contexts = self._weight.list_ctx()
        self._table = self._weight.data(contexts[0]).asnumpy()
        self.fingerprint = hashlib.sha256(self._table).hexdigest()
        is_used = np.zeros(len(self._table), bool)
        for pairs in encoded.values():
            is_used[pairs.input_ids] = True
            is_used[pairs.padding_id] = True
        self.ids = np.flatnonzero(is_used)
        self._number = (np.cumsum(is_used) - 1).astype(np.int32)
        embedding._kwargs["input_dim"] = len(self.ids)
        self._weight._shape = (len(self.ids), self._table.shape[1])
        self._weight._init_impl(mx.nd.array(self._table[self.ids]), contexts)

    def renumber(self, pairs: EncodedPairs) -> EncodedPairs:
        """The same pairs, with rows of the net's table for token ids."""
        renumbered = copy.copy(pairs)
        renumbered.input_ids = self._number[pairs.input_ids]
        renumbered.padding_id = int(self._number[pairs.padding_id])
        return renumbered

    def table(self, decay: float) -> mx.nd.NDArray:
        """The whole table.

        Parameters
        ----------
        decay : float
            What weight decay has left of a row without gradient.

        Returns
        -------
        NDArray of float32, shape (tokens, units)
        """
        table = self._table * np.float32(decay)
        table[self.ids] = self._weight.data(self._weight.list_ctx()[0]).asnumpy()
        return mx.nd.array(table)
