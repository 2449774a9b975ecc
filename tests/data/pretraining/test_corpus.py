"""Documents and sentences of every format, and every file that is no text."""

import codecs
import gzip
import json
import logging
import os
import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.data.pretraining import corpus
from gluonnlp_snli_plugin.data.pretraining.corpus import CORPUS_FORMATS, LONGEST_LINE, read_documents, read_parts
from gluonnlp_snli_plugin.errors import DataError, UsageError

TEXT_FORMATS = [name for name in CORPUS_FORMATS if name != "jsonl"]

WIKITEXT = (
    " \n = Valkyria Chronicles III = \n \n Senjō no Valkyria 3 : <unk> Chronicles is a role @-@ playing game . It sold"
    " 1 @,@ 000 @.@ 5 units ! Did it ? Yes\n Its <unk> @-@ based plot , \n \n = = Gameplay = = \n \n As with Mr. X , it"
    " is ; well . \n = = = Deeper = = = \n = Tower Building = \n \n It was built . \n = Nothing = \n \n"
)


@pytest.fixture
def write(tmp_path):
    """Writes a file of some content, str or bytes; returns its path."""

    def write(content, name="corpus.txt"):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write


def read(path, corpus_format="auto"):
    return list(read_documents([path], corpus_format))


def error_of(path, corpus_format="auto"):
    with pytest.raises(DataError) as caught:
        read(path, corpus_format)
    message = str(caught.value)
    assert "\n" not in message
    return message


# Lines --------------------------------------------------------------------------------------------------------------


def test_a_line_is_a_sentence_and_an_empty_line_ends_a_document(write):
    path = write("One is here.\nTwo. Three.\n\nFour\n\n\n  Five  \n")
    assert read(path, "lines") == [["One is here.", "Two. Three."], ["Four"], ["Five"]]


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("blank", ["", " \t", "\u2028", "\u3000\xa0"])
def test_line_ends_and_white_space_of_all_kinds_are_survived(write, end, blank):
    path = write(codecs.BOM_UTF8 + end.join([blank, "a b", "c\u2028d\x85e", blank, blank, "f", blank]).encode())
    assert read(path, "lines") == [["a b", "c\u2028d\x85e"], ["f"]]


def test_a_byte_order_mark_is_one_only_at_the_very_beginning(write, monkeypatch):
    monkeypatch.setattr(corpus, "_BYTES_AT_ONCE", 4)
    assert read(write(b"abc\n" + codecs.BOM_UTF8 + b"d"), "lines") == [["abc", "\ufeffd"]]


@pytest.mark.parametrize("corpus_format", TEXT_FORMATS)
def test_the_last_line_needs_no_end(write, corpus_format):
    assert read(write("one\n\ntwo"), corpus_format)[-1][-1] == "two"


@pytest.mark.parametrize("corpus_format", TEXT_FORMATS)
def test_every_file_begins_a_new_document(write, corpus_format):
    paths = [write("one", "1"), write("two\n", "2"), write("three\n\n", "3")]
    assert list(read_documents(paths, corpus_format)) == [["one"], ["two"], ["three"]]


LINES = st.lists(st.text(st.characters(exclude_categories=["Cs"], exclude_characters="\n"), max_size=6) | st.just(""))


@given(lines=LINES, block=st.integers(1, 12))
@settings(max_examples=100)
def test_documents_are_those_of_a_plain_reader_wherever_a_block_ends(tmp_path_factory, lines, block):
    path = tmp_path_factory.mktemp("lines") / "corpus.txt"
    path.write_bytes("\n".join(lines).encode())
    expected = [[]]
    for line in "\n".join(lines).encode().decode("utf-8-sig").split("\n"):
        if line.strip():
            expected[-1].append(line.strip())
        else:
            expected.append([])
    expected = list(filter(None, expected))
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(corpus, "_BYTES_AT_ONCE", max(block, 3))
        assert read(path, "lines") == expected if expected else error_of(path, "lines").endswith("holds no text")


# WikiText -----------------------------------------------------------------------------------------------------------


def test_wikitext_has_documents_by_title_without_headings_and_sentences_without_marks(write):
    assert read(write(WIKITEXT), "wikitext") == [
        [
            "Senjō no Valkyria 3 : <unk> Chronicles is a role-playing game .",
            "It sold 1,000.5 units !",
            "Did it ?",
            "Yes",
            "Its <unk> -based plot ,",
            "As with Mr. X , it is ; well .",
        ],
        ["It was built ."],
    ]


def test_wikitexts_unknown_word_stays_a_word_between_spaces(write):
    path = write("= T =\n<unk> @-@ <unk> and the <unk> @.@ <unk> <unk> . <unk>\n")
    assert read(path) == [["<unk> - <unk> and the <unk> . <unk> <unk> .", "<unk>"]]


def test_text_before_the_first_title_is_a_document_too(write):
    assert read(write("before .\n= A =\nafter .\n"), "wikitext") == [["before ."], ["after ."]]


# Plain text ---------------------------------------------------------------------------------------------------------


def test_a_paragraph_is_a_document_and_its_lines_are_joined(write):
    path = write("It was a dark\nnight. The rain\n fell!\n\n\nNext\nparagraph here.\n")
    assert read(path, "text") == [["It was a dark night.", "The rain fell!"], ["Next paragraph here."]]


@pytest.mark.parametrize(
    "text, sentences",
    [
        ("One. Two! Three? Four… Five", ["One.", "Two!", "Three?", "Four…", "Five"]),
        ("He is approx. five. Really.", ["He is approx. five.", "Really."]),
        (
            'He said "Go." Then (he went.) "Did he?" 5 times.',
            ['He said "Go."', "Then (he went.)", '"Did he?"', "5 times."],
        ),
        ("It costs 3.5 dollars at a.com today", ["It costs 3.5 dollars at a.com today"]),
        ("Wait... What?! No.", ["Wait...", "What?!", "No."]),
        ("我来了。你呢？「走吧。」好！？", ["我来了。", "你呢？", "「走吧。」", "好！？"]),
        ("我。 a b。c", ["我。", "a b。", "c"]),
        ("ΑΒ. Γδ. éa b.", ["ΑΒ.", "Γδ. éa b."]),
        ("no end", ["no end"]),
        ("...", ["..."]),
    ],
)
def test_sentences_end_where_a_reader_would_end_them(write, text, sentences):
    assert read(write(text), "text") == [sentences]
    assert read(write(text.replace(" ", "\n")), "text") == [sentences]


@given(text=st.text("aB .!?。」\n", max_size=60), longest=st.integers(1, 20))
@settings(max_examples=100)
def test_no_character_of_plain_text_is_lost(tmp_path_factory, text, longest):
    path = tmp_path_factory.mktemp("text") / "corpus.txt"
    path.write_text(text, encoding="utf-8")
    if not text.strip():
        return
    with pytest.MonkeyPatch.context() as patch:
        whole = read(path, "text")
        patch.setattr(corpus, "_LONGEST_PARAGRAPH", longest)
        cut = read(path, "text")
    paragraphs = "\n".join(map(str.strip, text.split("\n"))).split("\n\n")
    expected = ["".join(paragraph.split()) for paragraph in paragraphs if paragraph.strip()]
    for documents in (whole, cut):
        assert ["".join("".join(document).split()) for document in documents] == expected
        assert all(sentence and sentence == sentence.strip() for document in documents for sentence in document)


# JSON lines ---------------------------------------------------------------------------------------------------------


def json_lines(*texts):
    return "".join(json.dumps({"id": i, "text": text}) + "\n" for i, text in enumerate(texts))


@pytest.mark.parametrize("name", ["corpus.jsonl", "corpus.json", "corpus", "corpus.txt", "corpus.jsonl.gz"])
def test_the_text_of_a_json_object_is_a_document(write, name):
    content = json_lines("One. Two!\nThree.", "", "\n", "Four\n\nFive.").encode()
    path = write(gzip.compress(content) if name.endswith(".gz") else content, name)
    assert read(path) == read(path, "jsonl") == [["One.", "Two!", "Three."], ["Four", "Five."]]


def test_a_document_in_json_may_be_longer_than_a_line_of_text(write, monkeypatch):
    path = write(json_lines("A b. " * 300_000))
    assert len(read(path)[0]) == 300_000
    monkeypatch.setattr(corpus, "LONGEST_JSON", 1_200_000)
    assert "line 1 is longer than 1,200,000 bytes" in error_of(path)


@pytest.mark.parametrize(
    "content, complaint",
    [
        (json_lines("One.") + "\n{\n", "line 3: not valid JSON"),
        (json_lines("One.") + '{"content": "x"}\n', 'line 2: not a JSON object with a field "text"'),
        (json_lines("One.") + '{"text": null}\n', 'line 2: not a JSON object with a field "text"'),
        ('["One."]\n', 'line 1: not a JSON object with a field "text"'),
        ('[\n{"text": "One."}\n]\n', "line 1: not valid JSON"),
    ],
)
def test_json_that_is_not_a_document_is_named_with_its_line(write, content, complaint):
    path = write(content, "corpus.jsonl")
    assert error_of(path).startswith(f"{path}, {complaint}")


def test_text_that_begins_like_json_is_text(write):
    assert read(write("{curly} braces\n")) == [["{curly} braces"]]


# The format ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "content, corpus_format, documents",
    [
        (WIKITEXT, "wikitext", 2),
        ("\n\n= Title =\nA . B .\n", "wikitext", 1),
        ("= = Deeper = =\nA b\n", "lines", 1),
        ("A man. \nA woman.\n\nTwo dogs. They run.\n", "lines", 2),
        ("A man is. He runs.\nA dog. It barks.\n\nNo.\n", "text", 2),
        ("你好。我来了。\n", "text", 1),
        ("he came . she went .\n", "lines", 1),
    ],
)
def test_the_format_is_recognized_and_logged(write, caplog, content, corpus_format, documents):
    path = write(content)
    with caplog.at_level(logging.INFO, "gluonnlp_snli_plugin"):
        found = read(path)
    assert found == read(path, corpus_format) and len(found) == documents
    assert [record.getMessage() for record in caplog.records] == [f"{path} is read as {corpus_format}"]


def test_each_file_has_a_format_of_its_own(write):
    paths = [write(WIKITEXT, "1"), write("One. Two.\n", "2"), write("one\ntwo\n", "3")]
    assert list(read_documents(paths))[-2:] == [["One.", "Two."], ["one", "two"]]
    assert len(list(read_documents(paths))) == 4


def test_only_the_beginning_of_a_file_tells_its_format(write):
    few, many = "A line.\n" * 1000, "It is. It was.\n" * 3000
    assert len(read(write(few + many))[0]) == 4000
    assert len(read(write("\n" * 500_000 + many + few))[0]) == 7000


def test_of_long_lines_fewer_tell_the_format_and_of_empty_ones_none(write, monkeypatch):
    monkeypatch.setattr(corpus, "_BYTES_AT_ONCE", 8)
    assert len(read(write("A line.\n" * 30 + "It is. It was.\n" * 200))[0]) == 230
    assert len(read(write("\n" * 500 + "It is. It was.\n" * 200))[0]) == 400


def test_an_unknown_format_is_an_error_that_lists_those_there_are(write):
    with pytest.raises(UsageError, match="no corpus format 'xml'; there are: auto, lines, wikitext, text, jsonl"):
        read(write("a"), "xml")


# Bad files ----------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("corpus_format", TEXT_FORMATS)
def test_a_file_that_is_not_there_is_named(tmp_path, corpus_format):
    assert error_of(tmp_path / "none.txt", corpus_format) == f"{tmp_path}/none.txt: No such file or directory"


def test_a_folder_is_no_corpus(tmp_path):
    assert error_of(tmp_path) == f"{tmp_path}: Is a directory"


@pytest.mark.skipif(os.geteuid() == 0, reason="root may read everything")
def test_an_unreadable_file_is_named(write):
    path = write("a")
    path.chmod(0)
    assert error_of(path) == f"{path}: Permission denied"


def test_a_name_with_a_nul_is_an_error():
    assert "corpus" in error_of("corpus\0.txt")


@pytest.mark.parametrize("block", [5, 1 << 18])
@pytest.mark.parametrize("corpus_format", TEXT_FORMATS)
def test_what_is_no_utf8_is_named_with_its_line(write, corpus_format, block, monkeypatch):
    monkeypatch.setattr(corpus, "_BYTES_AT_ONCE", block)
    path = write(b"one\n\ntwo \xc3\xa9\r\nab\xff c\nfour\n")
    assert error_of(path, corpus_format) == f"{path}, line 4: not valid UTF-8 (byte 3 is 0xff)"


def test_a_character_that_the_files_end_cuts_off_is_no_utf8(write):
    path = write("é".encode()[:1])
    assert error_of(path) == f"{path}, line 1: not valid UTF-8 (byte 1 is 0xc3)"


def test_a_file_that_is_something_else_is_named_for_what_it_is(write):
    path = write("a sentence\n".encode("utf-16"))
    assert error_of(path) == f"{path} is UTF-16 text (convert it to UTF-8)"


@pytest.mark.parametrize("corpus_format", TEXT_FORMATS)
@pytest.mark.parametrize("content", [b"", b"\n\n", b" \r\n\t\n", codecs.BOM_UTF8, "\u2028\u3000".encode()])
def test_a_file_without_text_is_an_error(write, content, corpus_format):
    path = write(content)
    assert error_of(path, corpus_format) == f"{path} holds no text"


def test_headings_alone_are_no_text(write):
    assert error_of(write("= A =\n= = B = =\n")).endswith("holds no text")


@pytest.mark.parametrize("before", [b"", b"a\nb\n", b"a\n" * 300_000])
def test_a_line_of_more_than_a_million_bytes_is_an_error(write, before):
    number = before.count(b"\n") + 1
    longest = b"x" * LONGEST_LINE
    assert len(read(write(before + longest + b"\nz"), "lines")[0]) == number + 1
    assert read(write(before + longest), "lines")[0][-1] == "x" * LONGEST_LINE
    for more in (b"x\n", b"x", b"x" * 3 * LONGEST_LINE + b"\nz\n"):
        path = write(before + longest + more)
        what = "is longer than 1,000,000 bytes: a line is a sentence or a paragraph"
        assert error_of(path, "lines") == f"{path}, line {number} {what}"


def test_memory_is_bounded_even_if_nothing_ever_ends(write):
    path = write(("words without any end " * 10 + "\n") * 50_000)
    for corpus_format in ("lines", "text", "auto"):
        tracemalloc.start()
        try:
            num_characters = sum(sum(map(len, part)) for part in read_parts([path], corpus_format))
            peak = tracemalloc.get_traced_memory()[1]
        finally:
            tracemalloc.stop()
        assert num_characters > 10_000_000 and peak < 4_000_000, corpus_format
