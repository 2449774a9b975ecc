"""Reads ``tokenizer.json``, a whole tokenizer for the package `tokenizers`: of a BERT, or of a byte-level BPE."""

from pathlib import Path
from typing import Any, Dict, List, NamedTuple, NoReturn, Optional, Sequence, Tuple

from ...errors import CheckpointError
from ...text.byte_pair_files import byte_pairs_of_json
from ...text.tokenizer_settings import AddedToken
from ...text.vocabulary import index_of_json
from .files import read_config

_REMEDY = "take a checkpoint with BERT's own tokenizer (BertTokenizer), or RoBERTa's (RobertaTokenizer)"
_Layout = Sequence[Tuple[str, List[Tuple[str, int]]]]
_LAYOUT: _Layout = (  # of TemplateProcessing: what comes where, with its segment
    ("single", [("cls", 0), ("A", 0), ("sep", 0)]),
    ("pair", [("cls", 0), ("A", 0), ("sep", 0), ("B", 1), ("sep", 1)]),
)
_ROBERTAS: _Layout = (
    ("single", [("cls", 0), ("A", 0), ("sep", 0)]),
    ("pair", [("cls", 0), ("A", 0), ("sep", 0), ("sep", 0), ("B", 0), ("sep", 0)]),
)
_ONE_SEPARATOR: _Layout = (  # as export writes it of a model that GluonNLP's script trained
    ("single", [("cls", 0), ("A", 0), ("sep", 0)]),
    ("pair", [("cls", 0), ("A", 0), ("sep", 0), ("B", 0), ("sep", 0)]),
)
_ENDS: Dict[str, Tuple[Sequence[_Layout], str]] = {  # by the type of the processor that has the first layout
    "BertProcessing": ([_LAYOUT], "[CLS] premise [SEP] hypothesis [SEP]"),
    "RobertaProcessing": ([_ROBERTAS, _ONE_SEPARATOR], "<s> premise </s></s> hypothesis </s>"),
}


class WordPiecePipeline(NamedTuple):
    """What a ``tokenizer.json`` of a BERT says."""

    ids: Dict[str, int]  #: of the tokens
    added: List[Tuple[AddedToken, int]]
    lower: bool
    strip_accents: bool
    chinese_characters: bool
    longest_word: int
    unknown: str
    ends: Dict[str, str]  #: what the tokens 'cls_token' and 'sep_token' are called, where it says so


class BytePairPipeline(NamedTuple):
    """What a ``tokenizer.json`` of a byte-level BPE says."""

    ids: Dict[str, int]  #: of the tokens
    merges: List[str]
    added: List[Tuple[AddedToken, int]]
    add_prefix_space: bool
    unknown: Optional[str]
    ends: Dict[str, str]  #: what the tokens 'cls_token' and 'sep_token' are called, where it says so
    one_separator: bool  #: whether the sentences of a pair have one token between them, not two


def read_byte_pair_pipeline(path: Path) -> BytePairPipeline:
    """Read a ``tokenizer.json`` of a byte-level BPE.

    Raises
    ------
    CheckpointError
        If it is damaged, or does anything that RoBERTa's own tokenizer does not do.
    """
    content = read_config(path)
    index, merges = byte_pairs_of_json(path, content)
    model = content["model"]
    for key in ("dropout", "continuing_subword_prefix", "end_of_word_suffix", "byte_fallback", "ignore_merges"):
        if model.get(key):
            refuse(path, f"{key} of its model is {str(model[key])[:60]!r}")
    if content.get("normalizer") is not None:
        refuse(path, "it has a normalizer")
    pre_tokenizer = _part(path, content, "pre_tokenizer", "ByteLevel")
    flags = {
        "use_regex": pre_tokenizer.get("use_regex", True),
        "add_prefix_space": pre_tokenizer.get("add_prefix_space"),
    }
    for key, value in flags.items():
        if type(value) is not bool or (key == "use_regex" and not value):
            refuse(path, f"{key} of its pre_tokenizer is {str(value)[:60]!r}")
    added = _added(path, content)
    ids = {**index, **{token.content: i for token, i in added}}
    unknown = model.get("unk_token")
    processor = content.get("post_processor")
    ends = _ends(path, processor, ids, "RobertaProcessing")
    return BytePairPipeline(
        index,
        merges,
        added,
        flags["add_prefix_space"],
        unknown if isinstance(unknown, str) else None,
        ends,
        one_separator=isinstance(processor, dict) and len(processor.get("pair", ())) == len(_ONE_SEPARATOR[1][1]),
    )


def read_pipeline(path: Path) -> WordPiecePipeline:
    """Read a ``tokenizer.json`` of a BERT.

    Raises
    ------
    CheckpointError
        If it is damaged, or does anything that BERT's own tokenizer does not do.
    """
    content = read_config(path)
    model = content.get("model")
    kind = model.get("type", "WordPiece") if isinstance(model, dict) else None
    if kind is not None and kind != "WordPiece":
        refuse(path, f"its model is {kind!r}")
    index = index_of_json(path, content)
    model = content["model"]
    _require(path, "prefix of its pieces", model.get("continuing_subword_prefix", "##"), "##")
    longest = model.get("max_input_chars_per_word", 100)
    if type(longest) is not int or not 0 < longest < 1 << 31:
        refuse(path, f"max_input_chars_per_word is {longest!r}")
    normalizer = _part(path, content, "normalizer", "BertNormalizer")
    flags = {key: normalizer.get(key, True) for key in ("clean_text", "handle_chinese_chars", "lowercase")}
    strip = normalizer.get("strip_accents")
    flags["strip_accents"] = flags["lowercase"] if strip is None else strip
    for key, flag in flags.items():
        if type(flag) is not bool or (key == "clean_text" and not flag):
            refuse(path, f"{key} of its normalizer is {flag!r}")
    _part(path, content, "pre_tokenizer", "BertPreTokenizer")
    if content.get("decoder") is not None:
        _require(path, "prefix of its decoder", _part(path, content, "decoder", "WordPiece").get("prefix"), "##")
    added = _added(path, content)
    return WordPiecePipeline(
        index,
        added,
        flags["lowercase"],
        flags["strip_accents"],
        flags["handle_chinese_chars"],
        longest,
        str(model.get("unk_token", "[UNK]")),
        _ends(
            path,
            content.get("post_processor"),
            {**index, **{token.content: i for token, i in added}},
            "BertProcessing",
        ),
    )


def _added(path: Path, content: Dict[str, Any]) -> List[Tuple[AddedToken, int]]:
    listed = content.get("added_tokens") or []
    if not isinstance(listed, list):
        raise CheckpointError(f"{path} is damaged: added_tokens is {str(listed)[:60]}")
    return [(added_token(path, token), token_id(path, token.get("id"))) for token in listed if _is_object(path, token)]


def refuse(path: Path, what: str) -> NoReturn:
    """Raise the error for a tokenizer that cannot be reproduced."""
    raise CheckpointError(f"{path}: {what}, which cannot be reproduced here; {_REMEDY}")


def added_token(path: Path, token: Dict[str, Any]) -> AddedToken:
    """An added token from its text and flags, as JSON has them."""
    content = token.get("content")
    if not isinstance(content, str) or not content:
        raise CheckpointError(f"{path} is damaged: an added token is {str(token)[:60]}")
    if token.get("single_word"):
        refuse(path, f"the added token {content!r} is looked for as a single word (single_word)")
    special = bool(token.get("special"))
    return AddedToken(
        content,
        normalized=bool(token.get("normalized", not special)),
        special=special,
        lstrip=bool(token.get("lstrip")),
        rstrip=bool(token.get("rstrip")),
    )


def token_id(path: Path, value: Any) -> int:
    """The id of an added token."""
    if type(value) is not int or not 0 <= value < 1 << 24:
        raise CheckpointError(f"{path} is damaged: the id of an added token is {str(value)[:60]}")
    return value


def _is_object(path: Path, token: Any) -> bool:
    if not isinstance(token, dict):
        raise CheckpointError(f"{path} is damaged: an added token is {str(token)[:60]}")
    return True


def _require(path: Path, what: str, found: Any, wanted: Any) -> None:
    if found != wanted:
        refuse(path, f"the {what} is {found!r}")


def _part(path: Path, content: Dict[str, Any], name: str, kind: str) -> Dict[str, Any]:
    """The part of the pipeline of that name, which must be of that kind."""
    part = content.get(name)
    if not isinstance(part, dict) or part.get("type") != kind:
        found = part.get("type") if isinstance(part, dict) else part
        refuse(path, f"its {name} is {found!r}, not {kind}")
    return part


def _ends(path: Path, processor: Any, index: Dict[str, int], kind: str) -> Dict[str, str]:
    """The tokens around sentences; none where the file does not say.

    Parameters
    ----------
    path : Path
    processor : dict or None
    index : dict of str to int
    kind : str
        The type of processor that says these tokens and does all else as it must.
    """
    if processor is None:
        return {}
    layouts, words = _ENDS[kind]
    try:
        if processor["type"] == kind:
            numbered = {key: processor[key] for key in ("cls", "sep")}
        else:
            lengths = [len(layout[1][1]) for layout in layouts]
            numbered = _of_template(processor, layouts[lengths.index(len(processor["pair"]))])
        found = {f"{key}_token": str(name) for key, (name, i) in numbered.items() if index.get(name) == i}
    except (TypeError, KeyError, ValueError, AttributeError, IndexError):
        found = {}
    if len(found) < 2:
        refuse(path, f"its post_processor does not make {words} of a pair")
    return found


def _of_template(processor: Dict[str, Any], layout: _Layout) -> Dict[str, Tuple[str, int]]:
    """The two special tokens of a TemplateProcessing, with their ids; a ValueError if they are elsewhere."""
    names: Dict[str, Optional[str]] = {}
    for key, steps in layout:
        template = processor[key]
        if processor["type"] != "TemplateProcessing" or len(template) != len(steps):
            raise ValueError
        for step, (name, segment) in zip(template, steps):
            ((what, there),) = step.items()
            is_sentence = name in ("A", "B")
            found = name if is_sentence else names.setdefault(name, there["id"])
            if what != ("Sequence" if is_sentence else "SpecialToken") or there != {"id": found, "type_id": segment}:
                raise ValueError
    tokens = processor["special_tokens"]
    ((_, cls), (_, sep)) = ((name, tokens[names[name]]["ids"]) for name in ("cls", "sep"))
    ((cls_id,), (sep_id,)) = (cls, sep)
    return {"cls": (str(names["cls"]), cls_id), "sep": (str(names["sep"]), sep_id)}
