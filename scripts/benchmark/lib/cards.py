"""GPUs: which ones a machine has, and how fast they multiply matrices at most.

Only the standard library.
"""

import re
import subprocess
import sys
from typing import Dict, List, NamedTuple, Optional, Tuple

# Dense matrix products in TFLOP/s from NVIDIA's data sheets, without sparsity, by a pattern of the card's name; the
# first that fits counts. "float32" is without tensor cores, which round its factors to tfloat32.
_PEAKS: Tuple[Tuple[str, Dict[str, float]], ...] = (
    (r"B200", {"bfloat16": 2250, "float16": 2250, "tfloat32": 1125, "float32": 75}),
    (r"H200 NVL", {"bfloat16": 835, "float16": 835, "tfloat32": 417, "float32": 60}),
    (r"H200", {"bfloat16": 989, "float16": 989, "tfloat32": 494, "float32": 67}),
    (r"H100 NVL", {"bfloat16": 835, "float16": 835, "tfloat32": 417, "float32": 60}),
    (r"H100 PCIe", {"bfloat16": 756, "float16": 756, "tfloat32": 378, "float32": 51}),
    (r"H100", {"bfloat16": 989, "float16": 989, "tfloat32": 494, "float32": 67}),
    (r"A100", {"bfloat16": 312, "float16": 312, "tfloat32": 156, "float32": 19.5}),
    (r"L40S", {"bfloat16": 362, "float16": 362, "tfloat32": 183, "float32": 91.6}),
    (r"L4", {"bfloat16": 121, "float16": 121, "tfloat32": 60, "float32": 30.3}),
    (r"T4", {"float16": 65, "float32": 8.1}),
    (r"V100.*PCIE", {"float16": 112, "float32": 14}),
    (r"V100", {"float16": 125, "float32": 15.7}),
)
_PASSES = 3  # a training step: one forward, twice that backward
_FIELDS = ("name", "driver_version", "compute_cap", "memory.total")


class Card(NamedTuple):
    """A GPU, as its driver describes it."""

    name: str
    driver: str
    capability: str  #: compute capability, such as ``9.0``
    memory: str  #: with its unit


def cards() -> List[Card]:
    """The GPUs of this machine; none where there is no driver."""
    command = ["nvidia-smi", f"--query-gpu={','.join(_FIELDS)}", "--format=csv,noheader"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=True, timeout=60)
    except (OSError, subprocess.SubprocessError):
        return []
    rows = [[field.strip() for field in line.split(",")] for line in done.stdout.splitlines()]
    return [Card(*row) for row in rows if len(row) == len(_FIELDS)]


def cards_of_jax() -> List[Card]:
    """The GPUs that JAX sees, for machines without ``nvidia-smi``: their drivers and memory are not known."""
    program = "import jax; [print(f'{one.device_kind}, {one.compute_capability}') for one in jax.devices('cuda')]"
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True)
    rows = [line.rsplit(", ", 1) for line in done.stdout.splitlines()] if done.returncode == 0 else []
    return [Card(name, "unknown", capability, "unknown") for name, capability in rows]


def peak(name: str, dtype: str) -> Optional[float]:
    """The fastest dense matrix products of a card in FLOP/s; None for a card or a precision that is not in the table.

    Parameters
    ----------
    name : str
        As the driver has it: ``NVIDIA H100 80GB HBM3``.
    dtype : {'float32', 'tfloat32', 'bfloat16', 'float16'}
    """
    for pattern, rates in _PEAKS:
        if re.search(rf"\b{pattern}\b", name):
            return rates[dtype] * 1e12 if dtype in rates else None
    return None


def share_of_peak(name: str, dtype: str, flops_of_pair: float, pairs_per_second: float) -> Optional[float]:
    """Which share of a card's peak training uses; None where the peak is unknown.

    Parameters
    ----------
    name, dtype
        As :func:`peak` takes them.
    flops_of_pair : float
        Of the forward pass of a pair, as :func:`machine.flops_of_pair` counts them: padding is no work.
    pairs_per_second : float
    """
    limit = peak(name, dtype)
    return _PASSES * flops_of_pair * pairs_per_second / limit if limit else None
