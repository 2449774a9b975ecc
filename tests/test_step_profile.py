"""The tables of the profile of a training step; tests/integration/test_benchmark.py runs it as a whole."""

import importlib
from pathlib import Path
from typing import Any, Dict, List, Optional

import pytest

BENCHMARK = Path(__file__).parents[1] / "scripts" / "benchmark"
PRINTED = """\
dnnl_verbose,info,oneDNN v2.4.0 (commit x)
dnnl_verbose,exec,cpu,inner_product,x64:gemm:jit,forward_training,src_f32::blocked:ab:f0,,,mb10ic4oc8,1.5
dnnl_verbose,exec,cpu,inner_product,x64:gemm:jit,forward_training,src_f32::blocked:ab:f0,,,mb10ic4oc8,1e-1
dnnl_verbose,exec,cpu,reorder,jit:uni,undef,src_f32::blocked:abc:f0 dst_f32::blocked:bac:f0,,,32x31x384,0.09
dnnl_verbose,exec,cpu,inner_product,x64:gemm:jit,backward_weights,src_f32::blocked:ab:f0,,,mb2ic4oc3,0.5
"""


@pytest.fixture
def profile(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK))
    return importlib.import_module("step_profile")


@pytest.fixture
def profiled(monkeypatch: pytest.MonkeyPatch) -> Any:
    monkeypatch.syspath_prepend(str(BENCHMARK / "contenders"))
    return importlib.import_module("profiled")


def turn(operators: Dict[str, Any], products: Optional[List[Any]] = None, seconds: float = 0.04) -> Dict[str, Any]:
    """An answer for a turn of two steps."""
    return {"steps": 2, "parts": {"operators": operators, "products": products or [], "profiled_seconds": seconds}}


def rows_of(table: str) -> List[List[str]]:
    return [line.strip("| ").split(" | ") for line in table.splitlines()[2:] if line.startswith("|")]


@pytest.mark.parametrize(
    "operator, kind",
    [
        ("FullyConnected", "matrix products"),
        ("_backward_FullyConnected", "matrix products"),
        ("_backward__snli_attention", "attention"),
        ("Activation", "other operators"),
    ],
)
def test_an_operator_and_its_gradient_are_of_one_kind(profile: Any, operator: str, kind: str) -> None:
    assert profile.kind_of(operator) == kind


def test_shares_are_of_the_whole_step_with_the_time_between_operators(profile: Any) -> None:
    operators = {"FullyConnected": (4, 10.0), "_backward_FullyConnected": (4, 20.0), "_snli_gelu": (2, 4.0)}
    rows = rows_of(profile.operators_table([turn({**operators, "WaitForVar": (1, 99.0)})]))
    assert [(row[0], *row[-2:]) for row in rows] == [
        ("matrix products", "15.0", "75.0%"),
        ("GELU", "2.0", "10.0%"),
        ("between operators: engine, Python", "3.0", "15.0%"),
    ]


def test_a_figure_is_the_median_of_the_rounds(profile: Any) -> None:
    turns = [turn({"_snli_gelu": (2, total)}) for total in (4.0, 6.0, 60.0)]
    assert rows_of(profile.operators_table(turns))[0][:3] == ["GELU", "1", "3.0"]


def test_a_rate_is_of_all_rows_and_beside_the_fastest(profile: Any) -> None:
    products = [
        ("forward_training", 1000, 100, 50, 2, 1.0),  # 2 products of 10 MFLOP: 20 GFLOP/s
        ("forward_training", 3000, 100, 50, 1, 2.0),  # one of 30 MFLOP more: 50 MFLOP in 3 ms
        ("backward_data", 1000, 100, 50, 4, 1.0),  # 40 GFLOP/s
        ("forward_training", 8, 100, 50, 1, 0.5),  # one row a pair
    ]
    text = profile.products_table([turn({}, products)], batch_size=8)
    assert rows_of(text) == [
        ["forward", "100 to 50", "2", "1.5", "17", "0.42"],
        ["gradient of the inputs", "100 to 50", "2", "0.5", "40", "1.00"],
        ["forward", "of first tokens", "0", "0.2", "0", "0.00"],
    ]
    assert "would take 1 ms instead of 2" in text


def test_products_that_onednn_does_not_make_have_no_table(profile: Any) -> None:
    assert profile.products_table([turn({"_snli_dense": (2, 4.0)})], batch_size=8) == ""


def test_products_are_read_from_what_onednn_prints(profiled: Any) -> None:
    assert profiled.products(PRINTED.splitlines()) == [
        ("forward_training", 10, 4, 8, 2, pytest.approx(1.6)),
        ("backward_weights", 2, 4, 3, 1, 0.5),
    ]
