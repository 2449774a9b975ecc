"""ONNX: one file for ONNX Runtime and others, with the tokenizer and an example that needs neither MXNet nor us."""

import importlib.util
from pathlib import Path

import numpy as np

from ..errors import UsageError
from ..system.files import json_text, write_json
from .huggingface.export_tokenizer import write_tokenizer, write_vocabulary
from .job import logits_of

TOLERANCE = 1e-4
_LARGEST = (2 << 30) - (1 << 20)  # bytes; protobuf's messages are of less than 2 GiB

_EXAMPLE = Path(__file__).with_name("onnx_example.py")
_LONGEST_FIRST = "min(len(b), max(budget // 2, budget - len(a)))  # longest_first"
_KEEP_B = {  # how many tokens of the hypothesis stay in a pair that is too long
    "longest_first": _LONGEST_FIRST,
    "equal": "min(len(b), max(budget // 2, budget - len(a)))  # equal",
    "ratio": "budget - min(max((2 * budget * len(a) // (len(a) + len(b)) + 1) // 2, len(a) > 0), budget - (len(b) > 0))"
    "  # ratio",
    "only_first": "min(len(b), budget)  # only_first",
    "only_second": "budget - min(len(a), budget)  # only_second",
}
_BY_PIECES = {  # of a SentencePiece vocabulary, which divides words that BERT's rules found
    "import onnxruntime\n": "import onnxruntime\nimport sentencepiece\n",
    "\n\n\ndef ids(": '\npieces = sentencepiece.SentencePieceProcessor(str(FOLDER / "spiece.model"))\n\n\ndef ids(',
    "    return tokenizer.encode(text).ids\n": (
        "    words = tokenizer.pre_tokenizer.pre_tokenize_str(tokenizer.normalizer.normalize_str(text))\n"
        "    return [i for word, _ in words for i in pieces.EncodeAsIds(word)]\n"
    ),
}


def require():
    """Complain if a package is missing."""
    missing = [name for name in ("onnx", "onnxruntime") if importlib.util.find_spec(name) is None]
    if missing:
        raise UsageError(f"{missing[0]} is missing: pip install 'gluonnlp-snli-plugin[onnx]'")


def write(job, folder):
    """Write the folder: model.onnx, settings.json, the tokenizer and example.py."""
    from .onnx_graph import build

    settings, parameters = job.model.settings, job.parameters()
    if settings.truncation not in _KEEP_B:
        raise UsageError(f"truncation {settings.truncation!r} is not one of this package's: example.py cannot do it")
    size = sum(array.nbytes for array in parameters.values())
    if size > _LARGEST:
        raise UsageError(f"the weights take {size >> 20} MiB; one ONNX file holds less than 2048")
    properties = {name: json_text(value, "ascii") for name, value in job.settings().items()}
    (folder / "model.onnx").write_bytes(build(settings, parameters, properties).SerializeToString())
    write_json(folder / "settings.json", job.settings())
    write_vocabulary(job.model, folder)
    write_tokenizer(job.model, folder)
    (folder / "example.py").write_text(_example(settings.truncation, bool(job.model.spiece)), encoding="utf-8")


def check(job, folder):
    """Logits by ONNX Runtime."""
    import onnxruntime

    session = onnxruntime.InferenceSession(str(folder / "model.onnx"), providers=["CPUExecutionProvider"])

    def function(batch):
        length = batch.valid_length[:, None]
        inputs = {
            "input_ids": batch.input_ids.astype(np.int64),
            "attention_mask": (np.arange(batch.input_ids.shape[1]) < length).astype(np.int64),
            "token_type_ids": batch.segment_ids.astype(np.int64),
        }
        return session.run(["logits"], inputs)[0]

    return logits_of(function, job.encoded), {"onnxruntime": onnxruntime.__version__}


def _example(truncation, by_pieces):
    """``example.py`` for a strategy of truncation and a kind of vocabulary."""
    text = _EXAMPLE.read_text(encoding="utf-8").replace(_LONGEST_FIRST, _KEEP_B[truncation])
    for line, other in _BY_PIECES.items() if by_pieces else ():
        text = text.replace(line, other, 1)
    return text
