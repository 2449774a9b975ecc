"""Text files of any kind on their way to documents, batches and vocabularies."""

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin import train_vocabulary
from gluonnlp_snli_plugin.data.pretraining.batches import PretrainingBatches
from gluonnlp_snli_plugin.data.pretraining.corpus import CORPUS_FORMATS, read_documents
from gluonnlp_snli_plugin.data.pretraining.documents import encode_documents
from gluonnlp_snli_plugin.text.tokenizer_settings import TokenizerSettings
from gluonnlp_snli_plugin.text.tokenizers import bert_tokenizer
from gluonnlp_snli_plugin.text.vocabulary import wordpiece_vocab

UNCASED = TokenizerSettings.gluonnlp(lower=True)

TEXT = (
    " = Title = \n\n One sentence . Another , with a 3 @-@ piece word ! \n\n = = Section = = \n\n A third ? Yes . \n"
    " = Other = \n\n Text of another kind . More of it . \n\nA plain one. And so on.\r\n\r\n"
    "The last. \u4e2d\u6587\u3002\u4e00\u4e8c\n"
).encode()
VOCAB = wordpiece_vocab(
    ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *"abcdefghijklmnopqrstuvwxyz", "one", "the", "."]
)
FORMATS = st.sampled_from(CORPUS_FORMATS)


@settings.get_profile("fuzz")
@given(data=st.data(), corpus_format=FORMATS)
def test_documents_hold_sentences_and_nothing_else(data, damage, lawful, tmp_path, corpus_format):
    path = tmp_path / "text.txt"
    path.write_bytes(data.draw(damage.content(TEXT)))
    documents = lawful(lambda: list(read_documents([path], corpus_format)), path)
    for document in documents or ():
        assert document and all(sentence and sentence == sentence.strip() for sentence in document)


@settings.get_profile("fuzz")
@given(data=st.data(), corpus_format=FORMATS, max_len=st.integers(5, 40), whole=st.booleans())
def test_batches_of_any_text_are_sound(data, damage, lawful, tmp_path, corpus_format, max_len, whole):
    path = tmp_path / "text.txt"
    path.write_bytes(data.draw(damage.content(TEXT)))

    def batches():
        documents = encode_documents([path], bert_tokenizer(VOCAB, UNCASED), VOCAB, max_len, corpus_format)
        return list(PretrainingBatches(documents, VOCAB, 4, max_len, whole_word_mask=whole).epoch(0))

    for batch in lawful(batches, None) or ():
        assert batch.valid_length.max() <= max_len and batch.input_ids.max() < len(VOCAB)
        assert batch.masked_position.max() < batch.input_ids.size and batch.masked_weight.sum() >= len(batch.index)


@settings.get_profile("slow fuzz")
@given(data=st.data(), kind=st.sampled_from(["unigram", "bpe"]))
def test_a_vocabulary_of_any_text_can_be_used_or_is_refused(data, damage, lawful, tmp_path, kind):
    path = tmp_path / "text.txt"
    path.write_bytes(data.draw(damage.content(TEXT)))
    lawful(lambda: train_vocabulary([path], "fuzzed_uncased", 40, kind, "auto", str(tmp_path), True), None)


@pytest.mark.parametrize("name", ["10,000 tokens", "a megabyte of a sign", "a megabyte of points"])
def test_long_texts_are_read_or_refused(damage, lawful, tmp_path, name):
    path = tmp_path / "text.txt"
    path.write_text(f"{damage.long[name]}\n\none\n")
    lawful(lambda: list(read_documents([path], "lines")), path)
