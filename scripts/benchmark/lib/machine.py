"""What a benchmark runs on, and how fast it multiplies matrices.

``python machine.py mxnet '[[m, k, n], ...]'`` (or ``torch``) prints the rates of the matrix products of a BERT layer
as JSON, by data type, in GFLOP/s; with MXNet, those that ``accelerate`` puts into a net. Only the standard library but
for the library measured, in whose environment it runs.
"""

import functools
import json
import os
import platform
import subprocess
import sys
import time

CAP = "GLUONNLP_SNLI_ISA"
# What the libraries of other contenders call the instruction sets that this project's variable names: oneDNN (of MXNet,
# of PyTorch), PyTorch's own kernels, MKL, OpenBLAS.
_CAPS = {
    "plain": ("SSE41", "SSE41", "default", "SSE4_2", "Nehalem"),
    "avx2": ("AVX2", "AVX2", "avx2", "AVX2", "Haswell"),
    "avx2_vnni": ("AVX2", "AVX2_VNNI", "avx2", "AVX2", "Haswell"),
    "avx512": ("AVX512_CORE", "AVX512_CORE", "avx512", "AVX512", "SkylakeX"),
    "avx512_vnni": ("AVX512_CORE_VNNI", "AVX512_CORE_VNNI", "avx512", "AVX512_E1", "SkylakeX"),
}
_CAP_VARIABLES = (
    "DNNL_MAX_CPU_ISA",
    "ONEDNN_MAX_CPU_ISA",
    "ATEN_CPU_CAPABILITY",
    "MKL_ENABLE_INSTRUCTIONS",
    "OPENBLAS_CORETYPE",
)
FLAGS = ("avx2", "avx512f", "avx512_vnni", "avx512_bf16", "avx512_fp16", "amx_int8", "amx_bf16")
_SECONDS = 0.4  # of each measurement
_REPEATS = 5


def description():
    """The machine in one line."""
    lines = dict(line.split(":", 1) for line in _cpuinfo() if ":" in line)
    facts = {name.strip(): value.strip() for name, value in lines.items()}
    flags = [flag for flag in FLAGS if flag in facts.get("flags", "").split()]
    cores = len(os.sched_getaffinity(0))
    cap = f", of which all programs use {os.environ[CAP]} at most" if os.environ.get(CAP) else ""
    instructions = f"{' '.join(flags) or 'no AVX2'}{cap}"
    return f"{facts.get('model name', platform.machine())}, {cores} cores, {instructions}; {_gpus()}"


def caps():
    """Variables by which other contenders use no newer instructions than ``GLUONNLP_SNLI_ISA`` lets this project."""
    return dict(zip(_CAP_VARIABLES, _CAPS.get(os.environ.get(CAP, ""), ())))


def _cpuinfo():
    try:
        with open("/proc/cpuinfo", encoding="utf-8") as file:
            return file.read().split("\n\n")[0].splitlines()
    except OSError:
        return []


def _gpus():
    try:
        command = ["nvidia-smi", "--query-gpu=name", "--format=csv,noheader"]
        names = subprocess.run(command, capture_output=True, text=True, check=True).stdout.split("\n")
    except (OSError, subprocess.CalledProcessError):
        return "no GPU"
    return ", ".join(name.strip() for name in names if name.strip()) or "no GPU"


def layer_products(tokens, units, hidden):
    """The matrix products of a BERT layer as lists of (m, k, n), forward, attention itself left out."""
    return [[tokens, units, units]] * 4 + [[tokens, units, hidden], [tokens, hidden, units]]


def flops_of_pair(length, layers, units, hidden):
    """Floating-point operations of the forward pass of one pair of `length` tokens; training takes three times as many.

    Products with weights and those of attention; all else (embeddings, the head, normalization) is below a hundredth.
    """
    return layers * (length * (8 * units**2 + 4 * units * hidden) + 4 * length**2 * units)


def measured_rates(python, library, products, environment):
    """The rates that a Python with `library` measures, a dict of data type to GFLOP/s; empty if it cannot."""
    command = [str(python), __file__, library, json.dumps(products)]
    done = subprocess.run(command, capture_output=True, text=True, env=environment)
    return json.loads(done.stdout.splitlines()[-1]) if done.returncode == 0 and done.stdout else {}


def _rate(makers, wait):
    """GFLOP/s of some products together, the best of some measurements."""
    best = 0.0
    for _ in range(_REPEATS):
        seconds = flops = 0.0
        for multiply, size in makers:
            multiply()
            wait()
            times, begin = 0, time.perf_counter()
            while time.perf_counter() - begin < _SECONDS / len(makers):
                for _ in range(8):
                    multiply()
                wait()
                times += 8
            seconds += (time.perf_counter() - begin) / times
            flops += size
        best = max(best, flops / seconds / 1e9)
    return round(best, 1)


def _mxnet_rates(products):
    from gluonnlp_snli_plugin.native import operators  # the project first, as in its command

    import mxnet as mx  # isort: skip

    ctx = mx.gpu() if mx.context.num_gpus() else mx.cpu()

    def dense(x, weight, bias, n):
        return mx.nd.FullyConnected(x, weight, bias, num_hidden=n)

    def rate(multiply, dtype="float32"):
        def maker(m, k, n):
            shapes = ((m, k), (n, k), (n,))
            arrays = [mx.nd.random.normal(shape=shape, ctx=ctx).astype(dtype) for shape in shapes]
            return (lambda: multiply(*arrays, n)), 2 * m * k * n

        return _rate([maker(*product) for product in products], mx.nd.waitall)

    rates = {"float32": rate(dense)}
    if ctx != mx.cpu():
        rates["float16"] = rate(dense, "float16")
    elif operators.has_amx():
        rates["bfloat16"] = rate(functools.partial(operators.dense, dtype="bfloat16"))
        rates["float32"] = rate(operators.dense)
    return rates


def _torch_rates(products):
    import torch

    device = "cuda" if torch.cuda.is_available() else "cpu"

    def maker(m, k, n, dtype):
        x, weight, bias = (torch.randn(*shape, device=device).to(dtype) for shape in ((m, k), (n, k), (n,)))
        return (lambda: torch.nn.functional.linear(x, weight, bias)), 2 * m * k * n

    wait = torch.cuda.synchronize if device == "cuda" else lambda: None
    with torch.inference_mode():
        return {
            str(dtype).split(".")[1]: _rate([maker(*product, dtype) for product in products], wait)
            for dtype in (torch.float32, torch.bfloat16)
        }


if __name__ == "__main__":
    measure = {"mxnet": _mxnet_rates, "torch": _torch_rates}[sys.argv[1]]
    print(json.dumps(measure(json.loads(sys.argv[2]))))
