"""MXNet's own format: a graph and its parameters, for ``SymbolBlock.imports``, C++, Scala and servers of MXNet."""

import warnings
from pathlib import Path
from typing import Dict, Tuple

import mxnet as mx
import numpy as np

from .. import registry
from ..system.files import write_json
from .format import Format
from .huggingface.export_tokenizer import write_vocabulary
from .job import Job, logits_of
from .model_folder import Model

GRAPH, PARAMETERS = "model-symbol.json", "model-0000.params"

_README = """`{graph}` and `{parameters}` are a classifier of pairs of sentences for MXNet {mxnet}: {labels}.

| input | dtype | shape | |
| --- | --- | --- | --- |
| `input_ids` | int32 | (batch, length) | {pair}, then padding ({pad_id}) |
{segments}| `valid_length` | float32 | (batch,) | tokens without the padding |

Batch and length are any; a length is at most {max_length}, and the model was trained with up to {max_len}. \
The output, (batch, {classes}), holds the logits in the order above; `settings.json` says what else there is to know, \
`{vocabulary}` is the vocabulary.

```python
import mxnet as mx

net = mx.gluon.SymbolBlock.imports("{graph}", {inputs}, "{parameters}")
{example}
```
"""
_SEGMENTS = (
    "| `segment_ids` | int32 | (batch, length) | 0 up to and including the first `{sep}`, then 1; 0 in the padding |\n"
)
_EXAMPLE = """ids, segments = {ids}, {segments}
logits = net(mx.nd.array(ids, dtype="int32"), mx.nd.array(segments, dtype="int32"), mx.nd.array([{length}]))"""
_EXAMPLE_WITHOUT_SEGMENTS = """ids = {ids}
logits = net(mx.nd.array(ids, dtype="int32"), mx.nd.array([{length}]))"""


@registry.format("symbol")
class MXNetSymbol(Format):
    """A graph of MXNet's own operators and its parameters. It is not read back: a graph can hold any operator."""

    description = "MXNet's -symbol.json and -0000.params"
    tolerance = 1e-5

    def write(self, job: Job, folder: Path) -> None:
        """Write the graph, the parameters, the vocabulary and a README."""
        symbol, _ = job.model.net.graph()
        arguments = set(symbol.list_arguments())
        parameters = [p for p in job.model.net.collect_params().values() if p.name in arguments]
        symbol.save(str(folder / GRAPH))
        mx.nd.save(str(folder / PARAMETERS), {f"arg:{p.name}": p.data(mx.cpu()) for p in parameters})
        settings = job.settings()
        write_json(folder / "settings.json", settings)
        text = _README.format(
            graph=GRAPH,
            parameters=PARAMETERS,
            inputs=str(job.model.net.inputs).replace("'", '"'),
            vocabulary=write_vocabulary(job.model, folder),
            mxnet=mx.__version__,
            classes=len(settings["labels"]),
            max_length=job.model.settings.hparams["max_length"],
            **_pair(job.model),
            **{**settings, "labels": ", ".join(settings["labels"])},
        )
        (folder / "README.md").write_text(text, encoding="utf-8")

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        """Logits of what ``SymbolBlock.imports`` makes of the files."""
        with warnings.catch_warnings():  # that the type of the ids is not fixed
            warnings.filterwarnings("ignore", "Cannot decide type")
            graph, parameters = str(folder / GRAPH), str(folder / PARAMETERS)
            net = mx.gluon.SymbolBlock.imports(graph, job.model.net.inputs, parameters, ctx=mx.cpu())

        def logits(input_ids: mx.nd.NDArray, segment_ids: mx.nd.NDArray, valid_length: mx.nd.NDArray) -> mx.nd.NDArray:
            segments = [segment_ids] if job.model.net.has_segments else []
            return net(input_ids, *segments, valid_length)

        return logits_of(logits, job.encoded), {}


def _pair(model: Model) -> Dict[str, str]:
    """What the README says about the layout of a pair."""
    layout, vocab = model.encoder().layout, model.vocab
    tokens = [[f"`{getattr(vocab, name)}` ({vocab[getattr(vocab, name)]})" for name in part] for part in layout[:3]]
    before, between, after = layout.ids(vocab)
    ids = [*before, 7, *between, 8, 9, *after]
    filled = {"ids": [ids], "segments": [layout.segment_ids(1, len(ids)).tolist()], "length": len(ids)}
    example = _EXAMPLE if layout.has_segments else _EXAMPLE_WITHOUT_SEGMENTS
    sep = getattr(vocab, layout.between[0])
    return {
        "pair": " ".join([*tokens[0], "premise", *tokens[1], "hypothesis", *tokens[2]]),
        "segments": _SEGMENTS.format(sep=sep) if layout.has_segments else "",
        "example": example.format(**filled),
    }
