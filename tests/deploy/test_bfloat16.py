"""A predictor in bfloat16 gives nearly the answers of one in float32."""

import json

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.native import bfloat16, operators

PAIRS = [("Two dogs run through the snow.", "The dogs are asleep."), ("A man sings.", "A person makes music.")]

needs_bfloat16 = pytest.mark.skipif(not bfloat16.has_bfloat16(), reason="this processor has no bfloat16")
needs_operators = pytest.mark.skipif(not operators.are_available(), reason="the C++ operators cannot be built here")


@needs_operators
def test_nearly_the_same_probabilities(tiny_run, monkeypatch):
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda: True)  # slow where there is none, and the same
    ours, theirs = (
        np.array([list(one.probabilities.values()) for one in Predictor.load(tiny_run, dtype=dtype)(PAIRS)])
        for dtype in ("bfloat16", "float32")
    )
    np.testing.assert_allclose(ours, theirs, atol=0.05)
    assert not (ours == theirs).all()


@needs_operators
@needs_bfloat16
def test_on_the_command_line_and_in_python(tiny_run, pairs_file, capsys):
    accuracy = evaluate(tiny_run, pairs_file, dtype="bfloat16").accuracy
    assert accuracy == pytest.approx(evaluate(tiny_run, pairs_file).accuracy, abs=0.05)
    assert main(["evaluate", str(tiny_run), "--file", str(pairs_file), "--dtype", "bfloat16", "--json"]) == 0
    assert json.loads(capsys.readouterr().out)["accuracy"] == accuracy


def test_what_cannot_be_is_refused_in_one_line(tiny_run, monkeypatch):
    with pytest.raises(UsageError, match="--dtype bfloat16 is for CPU"):
        Predictor.load(tiny_run, [mx.gpu()], dtype="bfloat16")
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda: False)
    with pytest.raises(UsageError, match="this processor has no instructions for it"):
        Predictor.load(tiny_run, dtype="bfloat16")
    monkeypatch.setattr(bfloat16, "has_bfloat16", lambda: True)
    with pytest.raises(UsageError, match="no --no-native with it"):
        Predictor.load(tiny_run, dtype="bfloat16", native=False)
    monkeypatch.setattr(operators, "are_available", lambda: False)
    with pytest.raises(UsageError, match="--dtype bfloat16 needs the C\\+\\+ operators"):
        Predictor.load(tiny_run, dtype="bfloat16")
