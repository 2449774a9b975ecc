"""Reads documents, as lists of sentences, from files: GluonNLP's own format, WikiText's, plain text, and JSON lines."""

import itertools
import logging
import re
from typing import Any, Callable, Dict, Iterable, Iterator, List

import orjson

from ...errors import DataError, UsageError
from ..source import opened

CORPUS_FORMATS = ("auto", "lines", "wikitext", "text", "jsonl")
LONGEST_LINE = 1_000_000  # bytes
LONGEST_JSON = 1 << 26  # bytes of a line that is a document of its own
_TEXT = "text"  # the field of a JSON object that holds the text
_JSON_NAME = re.compile(r".*\.(jsonl|ndjson|json)(\.gz)?", re.IGNORECASE | re.DOTALL)

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


def read_documents(paths: Iterable[Any], corpus_format: str = "auto") -> Iterator[List[str]]:
    """Iterates over the documents of some files, holding one at a time.

    Parameters
    ----------
    paths : iterable of str or Path
        Text files, UTF-8, plain or compressed by gzip. Each begins a new document.
    corpus_format : {'auto', 'lines', 'wikitext', 'text', 'jsonl'}, default 'auto'
        'lines': a sentence a line, and an empty line between documents, as GluonNLP's ``create_pretraining_data.py``
        takes it. 'wikitext': WikiText as it is published, where a title begins a document. 'text': plain text, where
        every paragraph is a document, and an empty line ends it. 'jsonl': a JSON object a line, each a document, whose
        field "text" is plain text. 'auto' looks at each file and logs its choice.

    Yields
    ------
    list of str
        The sentences of a document; neither it nor any of them is empty.

    Raises
    ------
    UsageError
        If there is no such format.
    DataError
        If a file cannot be read, is not valid UTF-8 or JSON, has too long a line or no text.
    """
    document: List[str] = []
    for sentence in itertools.chain.from_iterable(read_parts(paths, corpus_format)):
        if sentence:
            document.append(sentence)
        elif document:
            yield document
            document = []


def read_parts(paths: Iterable[Any], corpus_format: str = "auto") -> Iterator[List[str]]:
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


def _parts(path: Any, corpus_format: str) -> Iterator[List[str]]:
    blocks = _blocks(path)
    if corpus_format == "auto":
        head = _head(blocks)
        corpus_format = _format_of(path, [line for block in head for line in block if line])
        _log.info("%s is read as %s", path, corpus_format)
        blocks = itertools.chain(head, blocks)
    return _of_json_lines(blocks, path) if corpus_format == "jsonl" else _PARSERS[corpus_format](blocks)


def _blocks(path: Any) -> Iterator[List[str]]:
    """The lines of a file, some thousands at a time, without white space around them."""
    number, begun = 1, b""  # the line that the next block continues
    with opened(path) as file:
        for content in iter(lambda: file.read(_BYTES_AT_ONCE), b""):
            content = begun + content
            first_end = content.find(b"\n")
            longest = LONGEST_JSON if content.startswith(b"{") else LONGEST_LINE
            if max(first_end, len(content) * (first_end < 0)) > longest:
                raise DataError(
                    f"{path}, line {number} is longer than {longest:,} bytes: a line is a sentence or a paragraph"
                )
            cut = content.rfind(b"\n") + 1
            begun = content[cut:]
            if cut:
                yield _lines(content[: cut - 1], path, number)
                number += content.count(b"\n", 0, cut)
    if begun:
        yield _lines(begun, path, number)


def _lines(content: bytes, path: Any, number: int) -> List[str]:
    """The lines of a part of the file that begins with the line of this number."""
    try:
        return [line.strip() for line in content.decode().split("\n")]
    except UnicodeDecodeError as error:
        number += content.count(b"\n", 0, error.start)
        column = error.start - content.rfind(b"\n", 0, error.start)
        what = f"not valid UTF-8 (byte {column} is 0x{content[error.start]:02x})"
        raise DataError(f"{path}, line {number}: {what}") from None


def _head(blocks: Iterable[List[str]]) -> List[List[str]]:
    """Blocks with the lines that tell the format."""
    head, num_lines = [], 0
    for block in blocks:
        num_lines += len(block) - block.count("")
        if num_lines:
            head.append(block)
        if num_lines >= _LINES_LOOKED_AT or len(head) == _BLOCKS_LOOKED_AT:
            break
    return head


def _format_of(path: Any, lines: List[str]) -> str:
    """The format of a file whose first lines, the empty ones left out, are these."""
    if _JSON_NAME.fullmatch(str(path)) or (lines and _is_json_object(lines[0])):
        return "jsonl"
    if lines and _TITLE.fullmatch(lines[0]):
        return "wikitext"
    lines = lines[:_LINES_LOOKED_AT]
    return "text" if 2 * sum(len(_sentences(line)) > 1 for line in lines) > len(lines) else "lines"


def _is_json_object(line: str) -> bool:
    try:
        return line.startswith("{") and isinstance(orjson.loads(line), dict)
    except orjson.JSONDecodeError:
        return False


def _of_json_lines(blocks: Iterable[List[str]], path: Any) -> Iterator[List[str]]:
    first = 1
    for lines in blocks:
        part: List[str] = []
        for number, line in enumerate(lines, first):
            if line:
                for paragraph in map(str.strip, _text_of(line, f"{path}, line {number}").split("\n")):
                    part += _sentences(paragraph) if paragraph else ()
                part.append("")
        yield part
        first += len(lines)


def _text_of(line: str, where: str) -> str:
    """The text of a document in JSON."""
    try:
        row = orjson.loads(line)
    except orjson.JSONDecodeError as error:
        raise DataError(f"{where}: not valid JSON ({error}); a corpus in JSON has one object a line") from None
    if not isinstance(row, dict) or not isinstance(row.get(_TEXT), str):
        raise DataError(f'{where}: not a JSON object with a field "{_TEXT}" that holds the text of a document')
    return row[_TEXT]


def _of_wikitext(blocks: Iterable[List[str]]) -> Iterator[List[str]]:
    for lines in blocks:
        part = []
        for line in lines:
            if line.startswith("= ") and _HEADING.fullmatch(line):
                if _TITLE.fullmatch(line):
                    part.append("")
            elif line:
                part += map(_without_marks, _WIKITEXT_END.split(line))
        yield part


def _without_marks(sentence: str) -> str:
    """A sentence of WikiText without the marks of its tokenizer; ``<unk>`` stays a word between spaces."""
    for mark in "-,.":
        sentence = sentence.replace(f" @{mark}@ ", mark)
    return _BESIDE_UNKNOWN.sub(" ", sentence) if "<unk>" in sentence else sentence


def _of_text(blocks: Iterable[List[str]]) -> Iterator[List[str]]:
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


def _sentences(text: str) -> List[str]:
    """The sentences of a paragraph, or of a part of one."""
    cuts = [0]
    for match in _SENTENCE_END.finditer(text):
        if match[0][0] in _CJK_ENDS or not text[match.end()].islower():
            cuts.append(match.end())
    return [text[begin:end].rstrip() for begin, end in zip(cuts, cuts[1:] + [len(text)])]


_PARSERS: Dict[str, Callable[[Iterable[List[str]]], Iterator[List[str]]]] = {
    "lines": iter,
    "wikitext": _of_wikitext,
    "text": _of_text,
}
