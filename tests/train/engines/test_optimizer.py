"""Schedule, clipping and update are those of GluonNLP's fine-tuning script."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin.train.engines.optimizer import Optimizer, learning_rate
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig


def _script_learning_rate(step_num, num_train_steps, lr, warmup_ratio):
    """The lines of GluonNLP's finetune_classifier.py."""
    num_warmup_steps = int(num_train_steps * warmup_ratio)
    if step_num < num_warmup_steps:
        return lr * step_num / num_warmup_steps
    offset = (step_num - num_warmup_steps) / (num_train_steps - num_warmup_steps)
    return lr - offset * lr


@pytest.mark.parametrize("num_updates", [1, 9, 10, 277])
@pytest.mark.parametrize("warmup_ratio", [0.0, 0.1, 0.5])
def test_the_schedule_is_the_scripts(num_updates, warmup_ratio):
    for update in range(num_updates):
        expected = _script_learning_rate(update, num_updates, 5e-5, warmup_ratio)
        assert learning_rate(update, num_updates, 5e-5, warmup_ratio) == pytest.approx(expected, abs=1e-12)


def test_a_constant_rate_stays_after_the_warm_up():
    rates = [learning_rate(update, 10, 1.0, 0.2, "constant") for update in range(10)]
    assert rates == [0.0, 0.5] + [1.0] * 8


def _net(contexts=None):
    mx.random.seed(1)
    net = mx.gluon.nn.HybridSequential()
    net.add(mx.gluon.nn.Dense(4, in_units=3), mx.gluon.nn.LayerNorm(in_channels=4), mx.gluon.nn.Dense(2, in_units=4))
    net.initialize(mx.init.Normal(0.5), ctx=contexts or mx.cpu())
    return net


def _values(net):
    return [parameter.data(parameter.list_ctx()[0]).asnumpy() for parameter in net.collect_params().values()]


INPUT = np.random.default_rng(0).normal(0, 5, (6, 3)).astype(np.float32)


def test_five_updates_are_those_of_the_scripts_own_calls():
    config = FinetuneConfig.of(output_dir="out", lr=0.01)
    ours, theirs = _net(), _net()
    optimizer = Optimizer(ours, config, 5)
    trainer = mx.gluon.Trainer(
        theirs.collect_params(),
        "bertadam",
        {"learning_rate": 0.01, "epsilon": 1e-6, "wd": 0.01},
        update_on_kvstore=False,
    )
    for parameter in theirs.collect_params(".*beta|.*gamma|.*bias").values():
        parameter.wd_mult = 0.0
    for step in range(5):
        with mx.autograd.record():
            optimizer.backward([(ours(mx.nd.array(INPUT)) ** 2).mean()])
        optimizer.update()
        trainer.set_learning_rate(_script_learning_rate(step, 5, 0.01, 0.1))
        with mx.autograd.record():
            loss = (theirs(mx.nd.array(INPUT)) ** 2).mean()
        loss.backward()
        trainer.allreduce_grads()
        nlp.utils.clip_grad_global_norm(list(theirs.collect_params().values()), 1)
        trainer.update(1)
    for a, b in zip(_values(ours), _values(theirs)):
        np.testing.assert_array_equal(a, b)
    assert any((a != b).any() for a, b in zip(_values(ours), _values(_net())))


@pytest.mark.parametrize("optimizer", ["bertadam", "adam"])
@pytest.mark.parametrize("clip", [0.0, 0.1])
def test_accumulated_parts_make_the_update_of_the_whole(optimizer, clip):
    settings = {"output_dir": "out", "lr": 0.01, "optimizer": optimizer, "clip": clip, "warmup_ratio": 0.0}
    whole, parts = _net(), _net()
    one = Optimizer(whole, FinetuneConfig.of(**settings), 3)
    many = Optimizer(parts, FinetuneConfig.of(accumulate=3, **settings), 3)
    for _ in range(3):
        with mx.autograd.record():
            one.backward([(whole(mx.nd.array(INPUT)) ** 2).sum() / 6])
        one.update()
        for i in range(0, 6, 2):
            with mx.autograd.record():
                many.backward([(parts(mx.nd.array(INPUT[i : i + 2])) ** 2).sum() / 6])
        many.update()
    for a, b in zip(_values(whole), _values(parts)):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_two_devices_make_the_update_of_one():
    contexts = [mx.cpu(0), mx.cpu(1)]
    one, two = _net(), _net(contexts)
    for a, b in zip(one.collect_params().values(), two.collect_params().values()):
        b.set_data(a.data())
    config = FinetuneConfig.of(output_dir="out", lr=0.01, warmup_ratio=0.0)
    single, double = Optimizer(one, config, 4), Optimizer(two, config, 4)
    for _ in range(4):
        with mx.autograd.record():
            single.backward([(one(mx.nd.array(INPUT)) ** 2).sum() / 6])
        single.update()
        with mx.autograd.record():
            parts = [mx.nd.array(part, ctx) for part, ctx in zip(np.split(INPUT, [4]), contexts)]
            double.backward([(two(part) ** 2).sum() / 6 for part in parts])
        double.update()
    for a, b in zip(_values(one), _values(two)):
        np.testing.assert_allclose(a, b, atol=1e-5)


def test_weight_decay_spares_layer_norm_and_bias():
    net = _net()
    Optimizer(net, FinetuneConfig.of(output_dir="out"), 1)
    decayed = {name.split("_")[-1] for name, p in net.collect_params().items() if p.wd_mult != 0}
    assert decayed == {"weight"}
