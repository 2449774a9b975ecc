"""Repairs for today's packages: each is needed, and each works."""

import numpy as np
import pytest
import sentencepiece
from gluonnlp.data import SentencepieceTokenizer

import gluonnlp_snli_plugin


@pytest.fixture(scope="module")
def unigram_model(tmp_path_factory):
    folder = tmp_path_factory.mktemp("sentencepiece")
    corpus = folder / "corpus.txt"
    corpus.write_text(
        "\n".join(f"the {a} sees the {b}" for a in ("dog", "cat", "man") for b in ("bird", "tree", "car"))
    )
    sentencepiece.SentencePieceTrainer.Train(
        input=str(corpus), model_prefix=str(folder / "spm"), vocab_size=40, hard_vocab_limit=False, minloglevel=2
    )
    return str(folder / "spm.model")


def test_the_numpy_aliases_that_mxnet_uses_are_there():
    assert [np.bool, np.int, np.float, np.complex, np.object, np.str] == [bool, int, float, complex, object, str]


@pytest.mark.parametrize("num_best", [0, 1])
def test_sentencepiece_works_without_sampling(unigram_model, num_best):
    pieces = SentencepieceTokenizer(unigram_model, num_best=num_best)("the dog sees the tree")
    assert "".join(pieces).replace("▁", " ").strip() == "the dog sees the tree"


def test_sentencepiece_still_samples_where_sampling_is_asked_for(unigram_model):
    tokenizer = SentencepieceTokenizer(unigram_model, num_best=-1, alpha=0.1)
    assert len({tuple(tokenizer("the dog sees the tree")) for _ in range(50)}) > 1


def test_without_the_repair_todays_sentencepiece_refuses(unigram_model):
    gluonnlp_snli_plugin.deactivate()
    try:
        with pytest.raises((RuntimeError, ValueError)):
            SentencepieceTokenizer(unigram_model)("the dog")
    finally:
        gluonnlp_snli_plugin.activate()
