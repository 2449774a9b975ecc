"""Where the time of a training step goes: by kind of operator, and by matrix product with its rate.

    python scripts/benchmark/step_profile.py --train-file train.jsonl --dev-file dev.jsonl

Two processes run ``finetune`` in turn: as it is, for the time of a step, and under MXNet's profiler, with every
operator by itself, for the shares. Prints two tables and puts them into a page.
"""

import argparse
import contextlib
import statistics
import sys
from typing import Any, Dict, List, NamedTuple, Tuple

from lib import machine, workspace
from lib.race import Contender, environment
from lib.report import measure_into_page, require_at_least, table

from gluonnlp_snli_plugin.native import isa
from gluonnlp_snli_plugin.system import threads

_OTHER = "other operators"
#: Kinds of work, and the operators of each without ``_backward_``; what is nowhere else is in the last one.
KINDS: Dict[str, Tuple[str, ...]] = {
    "matrix products": ("FullyConnected", "_snli_dense"),
    "attention": ("_snli_attention",),
    "LayerNorm, with dropout and residual": ("_snli_layer_norm", "_snli_dropout", "LayerNorm"),
    "GELU": ("_snli_gelu", "LeakyReLU"),
    "embeddings": ("Embedding", "_snli_add_rows", "broadcast_add", "elemwise_add", "transpose"),
    "sums of gradients": ("add_n", "_grad_add"),
    "norm of the gradients, AdamW": ("_snli_clip_factor", "_snli_adam"),
    "random numbers for dropout": (
        "ResourceNativeRandomSetSeed", "ResourceRandomSetSeed", "Dropout", "_ones", "BlockGrad", "_zeros_without_dtype",
    ),
    _OTHER: (),
}  # fmt: skip
_WAITING = ("WaitForVar", "DeleteVariable")
_PASSES = {
    "forward_training": "forward",
    "backward_data": "gradient of the inputs",
    "backward_weights": "gradient of the weights",
}
#: Every operator by itself, and oneDNN's own account of its products.
_VARIABLES = {"MXNET_EXEC_BULK_EXEC_MAX_NODE_TRAIN": "0", "DNNL_VERBOSE": "1"}


class Product(NamedTuple):
    """A kind of matrix product: of which pass, and its shape without rows.

    ``depth`` and ``units`` are 0 for all products of one row for each pair, those of the last layer and the head.
    """

    name: str
    depth: int
    units: int


def main() -> int:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    workspace.add_arguments(parser)
    parser.add_argument("--rounds", type=int, default=5, help="turns of each process (%(default)s)")
    parser.add_argument("--steps", type=int, default=10, help="optimizer steps a turn (%(default)s)")
    parser.add_argument("--warmup", type=int, default=40, help="steps before, which do not count (%(default)s)")
    parser.add_argument("--output", default="docs/performance.md", metavar="F", help="page to write to (%(default)s)")
    options = parser.parse_args()
    require_at_least(parser, options, 1, "rounds", "steps", "warmup")
    section = f"profile {isa.available()[-1].split('_')[0]}"
    return int(measure_into_page(parser, options.output, section, lambda folder: measure(folder, options)))


def measure(folder: Any, options: argparse.Namespace) -> str:
    """The results for people, Markdown."""
    space = workspace.Workspace(folder, options)
    plain, profiled = _turns(space, options)
    step = statistics.median(turn["seconds"] / turn["steps"] for turn in plain) * 1e3
    cores = statistics.median(turn["processor_seconds"] / turn["seconds"] for turn in plain)
    tables = [operators_table(profiled), products_table(profiled, options.batch_size)]
    return "\n\n".join(
        [
            f"{machine.description()}.",
            f"{space.backbone}, batches of {options.batch_size}, {space.lengths.mean():.1f} tokens a pair; medians of "
            f"{options.rounds} rounds of {options.steps} steps. A step takes {step:.0f} ms, during which "
            f"{cores:.2f} of {options.threads or threads.number()} threads compute.",
            *filter(None, tables),
        ]
    )


def _turns(space: Any, options: argparse.Namespace) -> Tuple[List[Dict[str, Any]], List[Dict[str, Any]]]:
    """What both processes answered to each turn of training: as it is, and profiled."""
    job = space.job(
        at_least=(options.warmup + (options.rounds + 2) * options.steps + 12) * options.batch_size,
        settings={},
        scorer="float32",
    )
    variables = environment(space.folder, options.threads)
    programs = {"ours.py": variables, "profiled.py": {**variables, **_VARIABLES}}
    with contextlib.ExitStack() as stack:
        contenders = [
            stack.enter_context(contextlib.closing(Contender(program, sys.executable, program, job, its_variables)))
            for program, its_variables in programs.items()
        ]
        for contender in contenders:
            contender.ask(f"train {options.warmup}")
        turns = [[one.ask(f"train {options.steps}") for one in contenders] for _ in range(options.rounds)]
    plain, profiled = zip(*turns)
    return list(plain), list(profiled)


def kind_of(operator: str) -> str:
    """The kind of work that an operator belongs to."""
    name = operator[len("_backward_") :] if operator.startswith("_backward_") else operator
    return next((kind for kind, names in KINDS.items() if name in names), _OTHER)


def operators_table(turns: List[Dict[str, Any]]) -> str:
    """What each kind of work takes of a step.

    Parameters
    ----------
    turns : list of dict
        Answers of ``contenders/profiled.py``.
    """
    calls: Dict[str, List[float]] = {kind: [] for kind in KINDS}
    milliseconds: Dict[str, List[float]] = {kind: [] for kind in KINDS}
    between = []
    for turn in turns:
        of_kind = {kind: [0.0, 0.0] for kind in KINDS}
        for operator, (count, total) in turn["parts"]["operators"].items():
            if operator in _WAITING:
                continue
            of_kind[kind_of(operator)][0] += count / turn["steps"]
            of_kind[kind_of(operator)][1] += total / turn["steps"]
        for kind, (count, total) in of_kind.items():
            calls[kind].append(count)
            milliseconds[kind].append(total)
        step = turn["parts"]["profiled_seconds"] / turn["steps"] * 1e3
        between.append(step - sum(total for _, total in of_kind.values()))
    medians = {kind: statistics.median(values) for kind, values in milliseconds.items()}
    idle = statistics.median(between)
    whole = sum(medians.values()) + idle
    rows = [
        [kind, f"{statistics.median(calls[kind]):.0f}", f"{spent:.1f}", f"{spent / whole:.1%}"]
        for kind, spent in medians.items()
        if spent > 0
    ]
    rows.append(["between operators: engine, Python", "", f"{idle:.1f}", f"{idle / whole:.1%}"])
    return str(table(["work", "operators a step", "ms a step", "share"], rows))


def products_table(turns: List[Dict[str, Any]], batch_size: int) -> str:
    """The rates of oneDNN's products by pass and shape; empty where other code makes the products.

    Parameters
    ----------
    turns : list of dict
        Answers of ``contenders/profiled.py``.
    batch_size : int
        Pairs: products of no more rows are those of the first tokens.
    """
    found: Dict[Product, List[Tuple[float, float, float]]] = {}
    for turn in turns:
        sums: Dict[Product, List[float]] = {}
        for name, rows, depth, units, count, spent in turn["parts"]["products"]:
            shape = (depth, units) if rows > batch_size else (0, 0)
            one = sums.setdefault(Product(_PASSES.get(name, name), *shape), [0.0, 0.0, 0.0])
            for i, value in enumerate((count, spent, 2e-6 * rows * depth * units * count)):
                one[i] += value / turn["steps"]
        for product, (count, spent, megaflops) in sums.items():
            found.setdefault(product, []).append((count, spent, megaflops))
    if not found:
        return ""
    medians = {product: [statistics.median(column) for column in zip(*each)] for product, each in found.items()}
    rates = {product: megaflops / spent for product, (_, spent, megaflops) in medians.items()}
    fastest = max(rate for product, rate in rates.items() if product.depth or len(rates) == 1)
    rows = [
        [
            product.name,
            f"{product.depth} to {product.units}" if product.depth else "of first tokens",
            f"{count:.0f}",
            f"{spent:.1f}",
            f"{rates[product]:.0f}",
            f"{rates[product] / fastest:.2f}",
        ]
        for product, (count, spent, _) in sorted(medians.items(), key=lambda item: -item[1][1])
    ]
    spent_now, at_best = (sum(column) for column in zip(*((each[1], each[2] / fastest) for each in medians.values())))
    return (
        str(table(["product", "units", "a step", "ms a step", "GFLOP/s", "of the fastest"], rows))
        + f"\n\nAt the rate of the fastest, these products would take {at_best:.0f} ms instead of {spent_now:.0f}."
    )


if __name__ == "__main__":
    sys.exit(main())
