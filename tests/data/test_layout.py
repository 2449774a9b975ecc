"""How a pair is laid out in tokens is a property of its backbone family."""

import gluonnlp as nlp
import numpy as np
import pytest

from gluonnlp_snli_plugin.data.batches import pad
from gluonnlp_snli_plugin.data.encoding import PairEncoder
from gluonnlp_snli_plugin.data.layout import BERT_LAYOUT, PairLayout
from gluonnlp_snli_plugin.errors import UsageError

#: As RoBERTa has it: <s> a </s></s> b </s>, no segments.
OTHER = PairLayout(("cls_token",), ("sep_token", "sep_token"), ("sep_token",), has_segments=False)
VOCAB = nlp.vocab.BERTVocab(nlp.data.count_tokens(list("abcdef")))
CLS, SEP = VOCAB[["[CLS]", "[SEP]"]]
A, B = "a b c", "d e"
IDS_A, IDS_B = VOCAB[["a", "b", "c"]], VOCAB[["d", "e"]]


def _encoder(layout, max_len=20):
    return PairEncoder(nlp.data.BERTTokenizer(VOCAB), VOCAB, max_len, layout=layout)


@pytest.mark.parametrize(
    "layout, ids, segments",
    [
        (BERT_LAYOUT, [CLS, *IDS_A, SEP, *IDS_B, SEP], [0] * 5 + [1] * 3),
        (OTHER, [CLS, *IDS_A, SEP, SEP, *IDS_B, SEP], [0] * 9),
    ],
    ids=["BERT", "other"],
)
def test_one_pair_and_many_are_laid_out_alike(layout, ids, segments):
    encoder = _encoder(layout)
    one = encoder(A, B)
    assert one[0].tolist() == ids and one[1].tolist() == segments and one[2] == len(ids)
    many = encoder.encode([A, "f", A], [B, "a", B])
    assert many[0][0].tolist() == ids and many[2][1].tolist() == segments
    assert encoder.lengths([A, "f"], [B, "a"]).tolist() == many.valid_length[:2].tolist()
    batch = pad(many, np.array([0, 1]))
    assert batch.input_ids[0].tolist() == ids and batch.segment_ids[0].tolist() == segments
    short = len(many[1][0])
    assert batch.segment_ids[1].tolist() == many[1][1].tolist() + [0] * (len(ids) - short)


@pytest.mark.parametrize("layout", [BERT_LAYOUT, OTHER], ids=["BERT", "other"])
def test_positions_of_special_tokens_and_of_the_hypothesis(layout):
    ids = _encoder(layout)(A, B)[0]
    special = layout.special_positions(len_a=3, len_b=2)
    assert set(ids[special].tolist()) == {CLS, SEP} and len(special) == layout.num_special == len(ids) - 5
    assert ids[layout.second(3)] == IDS_B[0]


def test_truncation_leaves_room_for_the_special_tokens():
    input_ids, _, _ = _encoder(OTHER, max_len=7)(A, B)
    assert len(input_ids) == 7 and np.isin(input_ids, [CLS, SEP]).sum() == 4
    with pytest.raises(UsageError, match="max_len is 5; a pair needs at least 6 tokens"):
        _encoder(OTHER, max_len=5)
