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

INPUTS = {"input_ids": "int32", "segment_ids": "int32", "valid_length": "float32"}
GRAPH, PARAMETERS = "model-symbol.json", "model-0000.params"

_README = """`{graph}` and `{parameters}` are a classifier of pairs of sentences for MXNet {mxnet}: {labels}.

| input | dtype | shape | |
| --- | --- | --- | --- |
| `input_ids` | int32 | (batch, length) | `[CLS]` ({cls_id}) premise `[SEP]` ({sep_id}) hypothesis `[SEP]`, then \
padding ({pad_id}) |
| `segment_ids` | int32 | (batch, length) | 0 up to and including the first `[SEP]`, then 1; 0 in the padding |
| `valid_length` | float32 | (batch,) | tokens without the padding |

Batch and length are any; a length is at most {max_length}, and the model was trained with up to {max_len}. \
The output, (batch, {classes}), holds the logits in the order above; `settings.json` says what else there is to know, \
`{vocabulary}` is the vocabulary.

```python
import mxnet as mx

net = mx.gluon.SymbolBlock.imports("{graph}", {inputs}, "{parameters}")
ids, segments = [[{cls_id}, 7, {sep_id}, 8, 9, {sep_id}]], [[0, 0, 0, 1, 1, 1]]
logits = net(mx.nd.array(ids, dtype="int32"), mx.nd.array(segments, dtype="int32"), mx.nd.array([6]))
```
"""


@registry.format("symbol")
class MXNetSymbol(Format):
    """A graph of MXNet's own operators and its parameters. It is not read back: a graph can hold any operator."""

    description = "MXNet's -symbol.json and -0000.params"
    tolerance = 1e-5

    def write(self, job: Job, folder: Path) -> None:
        """Write the graph, the parameters, the vocabulary and a README."""
        symbol = job.model.net(*(mx.sym.var(name, dtype=dtype) for name, dtype in INPUTS.items()))
        arguments = set(symbol.list_arguments())
        parameters = [p for p in job.model.net.collect_params().values() if p.name in arguments]
        symbol.save(str(folder / GRAPH))
        mx.nd.save(str(folder / PARAMETERS), {f"arg:{p.name}": p.data(mx.cpu()) for p in parameters})
        settings = job.settings()
        write_json(folder / "settings.json", settings)
        text = _README.format(
            graph=GRAPH,
            parameters=PARAMETERS,
            inputs=str(list(INPUTS)).replace("'", '"'),
            vocabulary=write_vocabulary(job.model, folder),
            mxnet=mx.__version__,
            classes=len(settings["labels"]),
            max_length=job.model.settings.hparams["max_length"],
            **{**settings, "labels": ", ".join(settings["labels"])},
        )
        (folder / "README.md").write_text(text, encoding="utf-8")

    def check(self, job: Job, folder: Path) -> Tuple[np.ndarray, Dict[str, str]]:
        """Logits of what ``SymbolBlock.imports`` makes of the files."""
        with warnings.catch_warnings():  # that the type of the ids is not fixed
            warnings.filterwarnings("ignore", "Cannot decide type")
            graph, parameters = str(folder / GRAPH), str(folder / PARAMETERS)
            net = mx.gluon.SymbolBlock.imports(graph, list(INPUTS), parameters, ctx=mx.cpu())
        return logits_of(net, job.encoded), {}
