"""A predictor in bfloat16 gives nearly the answers of one in float32; one that cannot be fast, exactly these."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.native import operators

PAIRS = [("Two dogs run through the snow.", "The dogs are asleep."), ("A man sings.", "A person makes music.")]

needs_operators = pytest.mark.usefixtures("native_operators")


@needs_operators
def test_nearly_the_same_probabilities(tiny_run, monkeypatch):
    monkeypatch.setattr(operators, "has_amx", lambda: True)  # slow where there is none, and the same
    ours, theirs = (
        np.array([list(one.probabilities.values()) for one in Predictor.load(tiny_run, dtype=dtype)(PAIRS)])
        for dtype in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    assert not (ours == theirs).all()


@needs_operators
def test_on_the_command_line_and_in_python(tiny_run, pairs_file, capsys, monkeypatch):
    monkeypatch.setattr(operators, "has_amx", lambda: True)
    accuracy = evaluate(tiny_run, pairs_file, dtype="bfloat16").accuracy
    assert accuracy == pytest.approx(evaluate(tiny_run, pairs_file).accuracy, abs=0.05)
    assert main(["evaluate", str(tiny_run), "--file", str(pairs_file), "--dtype", "bfloat16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == accuracy


def test_what_cannot_be_is_refused_in_one_line(tiny_run, monkeypatch):
    with pytest.raises(UsageError, match="--dtype int8 is for CPU"):
        Predictor.load(tiny_run, [mx.gpu()], dtype="int8")
    for dtype in ("bfloat16", "int8"):
        with pytest.raises(UsageError, match="which --no-native leaves out"):
            Predictor.load(tiny_run, dtype=dtype, native=False)
    monkeypatch.setattr(operators, "are_available", lambda: False)
    for dtype in ("bfloat16", "int8"):
        with pytest.raises(UsageError, match=f"--dtype {dtype} needs operators .*: install a C\\+\\+ compiler"):
            Predictor.load(tiny_run, dtype=dtype)


@pytest.mark.parametrize("dtype, check, needed", [("bfloat16", "has_amx", "AMX"), ("int8", "has_int8", "VNNI")])
def test_a_processor_that_is_no_faster_with_it_uses_float32_and_a_line_says_so(
    tiny_run, pairs_file, monkeypatch, capsys, dtype, check, needed
):
    monkeypatch.setattr(operators, "are_available", lambda: True)
    monkeypatch.setattr(operators, check, lambda: False)
    results = []
    for precision in (dtype, "float32"):
        assert main(["predict", str(tiny_run), "--file", str(pairs_file), "--dtype", precision]) == 0
        results.append(capsys.readouterr())
    assert results[0].out == results[1].out and not results[1].err
    line = f"--dtype {dtype} is no faster than float32 on this processor, which has no {needed}; using float32\n"
    assert results[0].err == line
