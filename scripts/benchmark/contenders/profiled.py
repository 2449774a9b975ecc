"""This project as ``ours.py`` runs it, with what MXNet's profiler and oneDNN say about each turn of training.

Needs ``DNNL_VERBOSE=1``, by which oneDNN prints every primitive it executes, and
``MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN=0``, without which MXNet runs several operators as one.
"""

import collections
import ctypes
import json
import os
import re
import tempfile
from typing import Any, Dict, List, Tuple

import ours
from worker import Worker

import mxnet as mx  # isort: skip

_PRODUCT = re.compile(r"dnnl_verbose,exec,cpu,inner_product,.*,(\w+),src_.*,mb(\d+)ic(\d+)oc(\d+),([\d.e-]+)$")


class ProfiledWorker(Worker):
    """Answers ``train N`` with what the operators took, too, under ``parts``.

    ``operators``: for each name of an operator its calls and their milliseconds. ``products``: for each pass, rows,
    depth and units of oneDNN's products the same. ``profiled_seconds``: of the steps.
    """

    def __init__(self) -> None:
        super().__init__()
        self._printed = tempfile.TemporaryFile("w+", encoding="utf-8")  # noqa: SIM115  open until the process ends
        os.dup2(self._printed.fileno(), 1)
        settings = {"profile_symbolic": True, "profile_imperative": True, "aggregate_stats": True}
        self._folder = tempfile.TemporaryDirectory()
        # MXNet removes the file of that name first, even if it is a device.
        mx.profiler.set_config(filename=os.path.join(self._folder.name, "profile.json"), **settings)

    def _obey(self) -> None:
        super()._obey()  # type: ignore[no-untyped-call]  # returns when it is time to train
        self._take_printed()
        mx.profiler.set_state("run")

    def _report(self) -> None:
        self._wait()
        mx.profiler.set_state("stop")
        seconds = self.seconds()
        found = json.loads(mx.profiler.dumps(reset=True, format="json"))["Time"]
        operators = {name: (row["Count"], row["Total"]) for name, row in found.get("operator", {}).items()}
        self._parts: Any = {
            "operators": operators,
            "products": products(self._take_printed()),
            "profiled_seconds": seconds,
        }
        super()._report()

    def _take_printed(self) -> List[str]:
        """The lines that oneDNN has printed since this was last called."""
        ctypes.CDLL(None).fflush(None)
        self._printed.seek(0)
        lines = self._printed.read().splitlines()
        self._printed.seek(0)
        self._printed.truncate()
        return lines


def products(lines: List[str]) -> List[Tuple[str, int, int, int, int, float]]:
    """The matrix products of layers in oneDNN's output: pass, rows, depth, units, calls and milliseconds."""
    total: Dict[Tuple[str, int, int, int], List[float]] = collections.defaultdict(lambda: [0, 0.0])
    for found in filter(None, map(_PRODUCT.match, lines)):
        of_shape = total[(found[1], int(found[2]), int(found[3]), int(found[4]))]
        of_shape[0] += 1
        of_shape[1] += float(found[5])
    return [(*shape, int(calls), milliseconds) for shape, (calls, milliseconds) in total.items()]


if __name__ == "__main__":
    ours.Worker = ProfiledWorker  # type: ignore[misc]
    ours.main()
