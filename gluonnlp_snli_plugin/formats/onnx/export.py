"""Writes an ONNX folder: the graph, what makes its inputs of text, and an example without MXNet and this package."""

import dataclasses
from pathlib import Path

from ...data.layout import PairLayout
from ...errors import UsageError
from ...system.files import digest, json_text, write_json
from ...text.vocabulary import SPECIAL_TOKENS
from ..huggingface.export_tokenizer import write_tokenizer, write_vocabulary
from ..job import Job
from .layout import GRAPH, SETTINGS

_LARGEST = (2 << 30) - (1 << 20)  # bytes; protobuf's messages are smaller than 2 GiB

_EXAMPLE = Path(__file__).with_name("example.py")
_LONGEST_FIRST = "min(len(b), max(budget // 2, budget - len(a)))  # longest_first"
_KEEP_B = {  # how many tokens of the hypothesis stay in a pair that is too long
    "longest_first": _LONGEST_FIRST,
    "equal": "min(len(b), max(budget // 2, budget - len(a)))  # equal",
    "ratio": "budget - min(max((2 * budget * len(a) // (len(a) + len(b)) + 1) // 2, len(a) > 0), budget - (len(b) > 0))"
    "  # ratio",
    "only_first": "min(len(b), budget)  # only_first",
    "only_second": "budget - min(len(a), budget)  # only_second",
}
_SPECIAL, _BETWEEN = 'settings["max_len"] - 3', ' settings["sep_id"],'  # of BERT's layout
_WITHOUT_SEGMENTS = {
    "    token_type_ids = np.array([[0] * (len(a) + 2) + [1] * (len(b) + 1)])\n": "",
    '"token_type_ids": token_type_ids, ': "",
}
_BY_PIECES = {  # of a SentencePiece vocabulary, which divides the words that BERT's rules find
    "import onnxruntime\n": "import onnxruntime\nimport sentencepiece\n",
    "\n\n\ndef ids(": '\npieces = sentencepiece.SentencePieceProcessor(str(FOLDER / "spiece.model"))\n\n\ndef ids(',
    "    return tokenizer.encode(text).ids\n": (
        "    words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))\n"
        "    return [i for word, _ in words for i in pieces.EncodeAsIds(word)]\n"
    ),
}


def write(job: Job, folder: Path) -> None:
    """Write the folder: model.onnx, settings.json, the tokenizer and example.py."""
    from .graph import build

    settings, parameters, vocab = job.model.settings, job.parameters(), job.model.vocab
    layout = job.model.encoder().layout
    if len(layout.before) != 1 or len(layout.after) != 1 or {*layout.between} != {*layout.after}:
        raise UsageError(f"{settings.backbone} lays pairs out in a way of its own: example.py cannot do it")
    if settings.truncation not in _KEEP_B:
        raise UsageError(f"truncation {settings.truncation!r} is not one of this package's: example.py cannot do it")
    size = sum(array.nbytes for array in parameters.values())
    if size > _LARGEST:
        raise UsageError(f"the weights take {size >> 20} MiB; one ONNX file holds less than 2048")
    properties = {name: json_text(value, "ascii") for name, value in job.settings().items()}
    (folder / GRAPH).write_bytes(build(settings, parameters, properties).SerializeToString())
    vocabulary = write_vocabulary(job.model, folder)
    write_tokenizer(job.model, folder)
    (folder / "example.py").write_text(_example(settings.truncation, layout, bool(job.model.spiece)), encoding="utf-8")
    content = {
        **job.settings(),
        # What example.py has no need of: reader.py restores the model's own encoder from it.
        "vocabulary": vocabulary,
        "sha256": {name: digest(folder / name) for name in (GRAPH, vocabulary)},
        "special_tokens": {name: getattr(vocab, name) for name in SPECIAL_TOKENS if hasattr(vocab, name)},
        "model": dataclasses.asdict(settings),
    }
    write_json(folder / SETTINGS, content)


def _example(truncation: str, layout: PairLayout, by_pieces: bool) -> str:
    """``example.py`` for a strategy of truncation, a layout of pairs and a kind of vocabulary."""
    text = _EXAMPLE.read_text(encoding="utf-8").replace(_LONGEST_FIRST, _KEEP_B[truncation])
    changes = {
        _SPECIAL: _SPECIAL.replace("3", str(layout.num_special)),
        _BETWEEN: _BETWEEN * len(layout.between),
        **({} if layout.has_segments else _WITHOUT_SEGMENTS),
        **(_BY_PIECES if by_pieces else {}),
    }
    for line, other in changes.items():
        text = text.replace(line, other, 1)
    return text
