"""An update through XLA is that of GluonNLP's BERTAdam, or MXNet's Adam, clipping included."""

import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.train.engines.optimizer import EPSILON, Optimizer, Schedule
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")
from gluonnlp_snli_plugin.xla import update  # noqa: E402

DECAY = {"weight": 0.1, "bias": 0.0}


def rule_of(config):
    return update.Rule(config.optimizer == "bertadam", EPSILON[config.optimizer], config.clip, DECAY, False)


@pytest.mark.parametrize("clip", [0.0, 0.5])
@pytest.mark.parametrize("optimizer", ["bertadam", "adam"])
def test_five_updates_are_mxnets(optimizer, clip):
    config = FinetuneConfig.of(output_dir="o", optimizer=optimizer, lr=0.01, weight_decay=0.1, clip=clip)
    net = mx.gluon.nn.Dense(4, in_units=3)
    net.initialize(mx.init.Normal(0.5))
    schedule = Schedule(config, 5)
    state = update.new_state({name: getattr(net, name).data().asnumpy() for name in DECAY}, rule_of(config))
    expected = Optimizer(net, config, 5)
    step = jax.jit(lambda *arguments: update.update(*arguments, rule_of(config)))
    for i in range(5):
        inputs = mx.nd.array(np.random.default_rng(i).normal(0, 2, (6, 3)))
        with mx.autograd.record():
            expected.backward([(net(inputs) ** 2).sum()])
        gradients = {name: getattr(net, name).grad().asnumpy() for name in DECAY}
        expected.update()
        state, _ = step(state, gradients, schedule.corrected_learning_rate)
        schedule.advance()
    for name in DECAY:
        np.testing.assert_allclose(state["weight"][name], getattr(net, name).data().asnumpy(), atol=1e-5)


def test_gradients_that_are_not_finite_make_no_update():
    rule = update.Rule(True, 1e-6, 1.0, DECAY, False)
    before = update.new_state({name: np.ones(3, np.float32) for name in DECAY}, rule)
    gradients = {"weight": np.array([1, np.nan, 0], np.float32), "bias": np.ones(3, np.float32)}
    after, norm = update.update(before, gradients, 0.1, rule)
    assert np.isnan(norm)
    for kind in ("weight", "mean", "variance"):
        for name in DECAY:
            np.testing.assert_array_equal(after[kind][name], before[kind][name])


def test_the_scale_of_the_loss_falls_at_an_overflow_and_rises_after_many_updates_without():
    rule = update.Rule(True, 1e-6, 1.0, {"weight": 0.0}, True)
    state = update.new_state({"weight": np.ones(3, np.float32)}, rule)
    step = jax.jit(lambda state, gradient: update.update(state, {"weight": gradient}, 0.0, rule)[0])
    state = step(state, np.full(3, np.inf, np.float32))
    assert (state["scale"], state["sound_updates"]) == (2.0**14, 0)
    for _ in range(2000):
        state = step(state, np.ones(3, np.float32))
    assert (state["scale"], state["sound_updates"]) == (2.0**15, 0)


def test_the_scale_of_the_loss_is_taken_out_of_the_gradients():
    rules = [update.Rule(True, 1e-6, 0.0, {"weight": 0.0}, scales) for scales in (False, True)]
    norms = []
    for rule in rules:
        state = update.new_state({"weight": np.ones(3, np.float32)}, rule)
        norms.append(update.update(state, {"weight": np.full(3, state["scale"])}, 0.0, rule)[1])
    assert norms[0] == norms[1] == pytest.approx(3**0.5)
