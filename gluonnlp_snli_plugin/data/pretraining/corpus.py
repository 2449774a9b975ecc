"""Reads documents, as lists of sentences, from text files: GluonNLP's own format, WikiText's, and plain text."""

import codecs
import itertools
import logging
import re
from typing import List

from ...errors import DataError, UsageError
from ...files import open_lines

CORPUS_FORMATS = ("auto", "lines", "wikitext", "text")
LONGEST_LINE = 1_000_000  # bytes

_log = logging.getLogger("gluonnlp_snli_plugin")
_BYTES_AT_ONCE = 1 << 18  # some thousand sentences, which the processor's cache can hold
_LINES_LOOKED_AT = 1000  # to tell the format
_BLOCKS_LOOKED_AT = 16
_LONGEST_PARAGRAPH = 1 << 16  # characters; the sentences of a longer one are handed on before its end is seen
_HEADING = re.compile(r"= .*\S =")
_TITLE = re.compile(r"= (?!= ).*\S =")
_WIKITEXT_END = re.compile(r"(?<= [.!?])\s+")
_BESIDE_UNKNOWN = re.compile("(?<=<unk>)(?=[^ ])|(?<=[^ ])(?=<unk>)")
_CJK_ENDS, _CJK_CLOSE = "。！？", "”’」』》）】"
# What follows the space says whether a full stop was an abbreviation's; the Chinese one is none, and needs no space.
_SENTENCE_END = re.compile(
    rf"""[.!?…]["'”’»)\]}}]*\s+(?=\S)|[{_CJK_ENDS}]+[{_CJK_CLOSE}]*\s*(?=[^\s{_CJK_ENDS}{_CJK_CLOSE}])"""
)


def read_documents(paths, corpus_format="auto"):
    """Iterates over the documents of some files, holding one at a time.

    Parameters
    ----------
    paths : iterable of str or Path
        Text files, UTF-8. Each begins a new document.
    corpus_format : {'auto', 'lines', 'wikitext', 'text'}, default 'auto'
        'lines': a sentence a line, and an empty line between documents, as GluonNLP's ``create_pretraining_data.py``
        takes it. 'wikitext': WikiText as it is published, where a title begins a document. 'text': plain text, where
        every paragraph is a document, and an empty line ends it. 'auto' looks at each file and logs its choice.

    Yields
    ------
    list of str
        The sentences of a document; neither it nor any of them is empty.

    Raises
    ------
    UsageError
        If there is no such format.
    DataError
        If a file cannot be read, is no UTF-8, has too long a line or no text.
    """
    document: List[str] = []
    for sentence in itertools.chain.from_iterable(read_parts(paths, corpus_format)):
        if sentence:
            document.append(sentence)
        elif document:
            yield document
            document = []


def read_parts(paths, corpus_format="auto"):
    """Iterates over the same sentences some thousands at a time: faster, and no document is ever held as a whole.

    Takes and raises what :func:`read_documents` does.

    Yields
    ------
    list of str
        Sentences; an empty one ends a document, and comes at the end of each file, too.
    """
    if corpus_format not in CORPUS_FORMATS:
        raise UsageError(f"no corpus format {corpus_format!r}; there are: {', '.join(CORPUS_FORMATS)}")
    for path in paths:
        has_text = False
        for part in _parts(path, corpus_format):
            has_text = has_text or any(part)
            yield part
        if not has_text:
            raise DataError(f"{path} holds no text")
        yield [""]


def _parts(path, corpus_format):
    blocks = _blocks(path)
    if corpus_format == "auto":
        head = _head(blocks)
        corpus_format = _format_of([line for block in head for line in block if line])
        _log.info("%s is read as %s", path, corpus_format)
        blocks = itertools.chain(head, blocks)
    return _PARSERS[corpus_format](blocks)


def _blocks(path):
    """The lines of a file, some thousands at a time, without white space around them."""
    number, begun = 1, b""  # the line that the next block continues
    try:
        with open_lines(path, pipe=True) as file:
            for content in iter(lambda: file.read(_BYTES_AT_ONCE), b""):
                if number == 1 and not begun and content.startswith(codecs.BOM_UTF8):
                    content = content[len(codecs.BOM_UTF8) :]
                content = begun + content
                first_end = content.find(b"\n")
                if max(first_end, len(content) * (first_end < 0)) > LONGEST_LINE:
                    raise DataError(
                        f"{path}, line {number} is longer than {LONGEST_LINE:,} bytes: "
                        "a line is a sentence or a paragraph"
                    )
                cut = content.rfind(b"\n") + 1
                begun = content[cut:]
                if cut:
                    yield _lines(content[: cut - 1], path, number)
                    number += content.count(b"\n", 0, cut)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise DataError(f"{path}: {getattr(error, 'strerror', None) or error}") from None
    if begun:
        yield _lines(begun, path, number)


def _lines(content, path, number):
    """The lines of a part of the file that begins with the line of this number."""
    try:
        return [line.strip() for line in content.decode().split("\n")]
    except UnicodeDecodeError as error:
        number += content.count(b"\n", 0, error.start)
        column = error.start - content.rfind(b"\n", 0, error.start)
        what = f"no UTF-8 (byte {column} is 0x{content[error.start]:02x})"
        raise DataError(f"{path}, line {number}: {what}") from None


def _head(blocks):
    """Blocks with the lines that tell the format."""
    head, num_lines = [], 0
    for block in blocks:
        num_lines += len(block) - block.count("")
        if num_lines:
            head.append(block)
        if num_lines >= _LINES_LOOKED_AT or len(head) == _BLOCKS_LOOKED_AT:
            break
    return head


def _format_of(lines):
    """The format of a file whose first lines, the empty ones left out, are these."""
    if lines and _TITLE.fullmatch(lines[0]):
        return "wikitext"
    lines = lines[:_LINES_LOOKED_AT]
    return "text" if 2 * sum(len(_sentences(line)) > 1 for line in lines) > len(lines) else "lines"


def _of_wikitext(blocks):
    for lines in blocks:
        part = []
        for line in lines:
            if line.startswith("= ") and _HEADING.fullmatch(line):
                if _TITLE.fullmatch(line):
                    part.append("")
            elif line:
                part += map(_without_marks, _WIKITEXT_END.split(line))
        yield part


def _without_marks(sentence):
    """A sentence of WikiText without the marks of its tokenizer; ``<unk>`` stays a word between spaces."""
    for mark in "-,.":
        sentence = sentence.replace(f" @{mark}@ ", mark)
    return _BESIDE_UNKNOWN.sub(" ", sentence) if "<unk>" in sentence else sentence


def _of_text(blocks):
    paragraph, size = [], 0
    for lines in blocks:
        part = []
        for line in lines:
            if line:
                paragraph.append(line)
                size += len(line)
            if not line or size > _LONGEST_PARAGRAPH:
                part += _sentences(" ".join(paragraph))
                paragraph, size = [], 0
                if not line:
                    part.append("")
                elif len(part[-1]) < _LONGEST_PARAGRAPH:  # which may go on
                    paragraph, size = [part.pop()], 0
        yield part
    if paragraph:
        yield _sentences(" ".join(paragraph))


def _sentences(text):
    """The sentences of a paragraph, or of a part of one."""
    cuts = [0]
    for match in _SENTENCE_END.finditer(text):
        if match[0][0] in _CJK_ENDS or not text[match.end()].islower():
            cuts.append(match.end())
    return [text[begin:end].rstrip() for begin, end in zip(cuts, cuts[1:] + [len(text)])]


_PARSERS = {"lines": iter, "wikitext": _of_wikitext, "text": _of_text}
