"""On CPU a predictor computes without MXNet's engine where it can, and answers the same where it cannot."""

import os
import subprocess
import sys

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.evaluate.predictor import scorer_of
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.native import accelerate, operators
from gluonnlp_snli_plugin.native.classifier import NativeClassifier
from gluonnlp_snli_plugin.system import threads

pytestmark = pytest.mark.usefixtures("native_operators")


@pytest.fixture
def model(tiny_run):
    return load_model(tiny_run)


@pytest.fixture
def without_amx(monkeypatch):
    if not operators.panel():
        pytest.skip("the processor does not multiply and add at once")
    monkeypatch.setattr(operators, "has_amx", lambda: False)


def is_native(predictor):
    return isinstance(getattr(predictor._score, "__self__", None), NativeClassifier)


@pytest.mark.usefixtures("without_amx")
def test_in_float32_it_is_used_unless_it_is_declined(tiny_run, encoded):
    native, plain = Predictor.load(tiny_run), Predictor.load(tiny_run, native=False)
    assert is_native(native) and not is_native(plain)
    np.testing.assert_allclose(native.logits(encoded), plain.logits(encoded), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("without_amx")
def test_a_model_that_was_accelerated_before_is_computed_so_too(model):
    accelerate(model.net)
    assert is_native(Predictor(model))


def test_where_amx_is_faster_the_net_computes_itself(model, monkeypatch):
    monkeypatch.setattr(operators, "has_amx", lambda: True)
    assert not is_native(Predictor(model))


@pytest.mark.usefixtures("without_amx")
def test_a_head_with_a_pooling_of_its_own_is_computed_by_mxnet(model, encoded, make_bert, widest):
    net = SNLIBertClassifier(make_bert(use_pooler=False), 3, widest)
    net.classifier.initialize()
    plain, fast = (scorer_of(net, "float32", native, [mx.cpu()], 64) for native in (False, True))
    np.testing.assert_allclose(fast(encoded), plain(encoded), rtol=0, atol=1e-5)


@pytest.mark.usefixtures("int8_operator")
def test_8_bit_integers_refuse_such_a_head(make_bert, widest):
    net = SNLIBertClassifier(make_bert(use_pooler=False), 3, widest)
    with pytest.raises(
        UsageError, match="int8: the head widest, with a pooling of its own, is not computed with 8-bit"
    ):
        scorer_of(net, "int8", True, [], 64)


def test_a_process_that_was_forked_answers_too(tiny_run):
    """OpenMP believes that its threads are there, and would wait for them for ever."""
    program = f"""
import os
from gluonnlp_snli_plugin import Predictor

ask = lambda: Predictor.load({str(tiny_run)!r})([("A dog runs.", "An animal moves.")])
expected = ask()
child = os.fork()
if child == 0:
    os._exit(0 if ask() == expected else 1)
_, status = os.waitpid(child, 0)
raise SystemExit(os.WEXITSTATUS(status))
"""
    environment = {**os.environ, threads.VARIABLE: "2"}
    assert subprocess.run([sys.executable, "-c", program], env=environment, timeout=600).returncode == 0
