"""Scripts that communicate by themselves, on two ranks."""

import os

import mxnet as mx
import numpy as np
import pytest

PARAMETER_SERVER = """
import os, sys
import mxnet as mx
store = mx.kv.create("dist_sync_device")
print("rank", store.rank, "of", store.num_workers, file=sys.stderr)
net = mx.gluon.nn.Dense(1, in_units=1, use_bias=False)
net.initialize(mx.init.One(), ctx=mx.cpu())
trainer = mx.gluon.Trainer(net.collect_params(), "sgd", {"learning_rate": 1.0}, update_on_kvstore=False)
with mx.autograd.record():
    loss = net(mx.nd.array([[store.rank + 1.0]])).sum()
loss.backward()
trainer.step(1)
print("weight", float(net.weight.data().asscalar()), file=sys.stderr)
with open("seen-%d" % store.rank, "w") as file:
    file.write(str(float(net.weight.data().asscalar())))
"""
GRADIENTS = """
import os, sys
import gluonnlp as nlp, mxnet as mx, numpy as np
from gluonnlp_snli_plugin.parallel.connection import Connection

ctx, makes_store, sent, send = (mx.cpu(), mx.gpu(0))[sys.argv[1] == "gpu"], sys.argv[2] == "store", [], Connection.send
Connection.send = lambda self, kind, content=b"", *rest, **options: (
    sent.append(len(content)), send(self, kind, content, *rest, **options)
)
rank = int(os.environ["GLUONNLP_SNLI_RANK"])
if makes_store:
    store = mx.kv.create("dist_sync_device")
    assert (store.rank, store.num_workers) == (rank, 2)
np.random.seed(rank)
mx.random.seed(7 * rank)
settings = {"use_decoder": False, "use_classifier": False, "dropout": 0.0, "pretrained": False, "ctx": ctx}
bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name="tiny_uncased", **settings)
net = nlp.model.BERTClassifier(bert, num_classes=3, dropout=0.0)
net.initialize(mx.init.Normal(0.1), ctx=ctx, force_reinit=True)
trainer = mx.gluon.Trainer(net.collect_params(), "bertadam", {"learning_rate": 0.01}, update_on_kvstore=False)
values = lambda arrays: np.concatenate([array.asnumpy().ravel() for array in arrays])
weights = lambda: values(p.data() for p in trainer._params)
report = {}
loss_function = mx.gluon.loss.SoftmaxCELoss()
for step in range(2):
    ids, label = mx.nd.array(np.random.randint(5, 30, (4, 12)), ctx), mx.nd.array(np.random.randint(0, 3, 4), ctx)
    with mx.autograd.record():
        loss = loss_function(net(ids, mx.nd.zeros_like(ids), mx.nd.full(4, 12, ctx)), label).mean()
    loss.backward()
    report.setdefault("first", weights())
    gradients = [p.grad() for p in trainer._params]
    report["own"] = values(gradients)
    sent.clear()
    before = vars(sys.modules["gluonnlp_snli_plugin.xla.gluon.arrays"].TRANSFERS).copy() if ctx != mx.cpu() else None
    trainer.allreduce_grads()
    if before:
        assert vars(sys.modules["gluonnlp_snli_plugin.xla.gluon.arrays"].TRANSFERS) == before
    report["sent"] = sum(sent)
    report["reduced"] = values(gradients)
    trainer.update(1)
report["last"] = weights()
np.savez(os.path.join(os.environ["REPORTS"], str(rank)), **report)
"""
HOROVOD = """
import mxnet as mx
import horovod.mxnet as hvd
hvd.init()
net = mx.gluon.nn.Dense(1, in_units=1, use_bias=False)
net.initialize(mx.init.One(), ctx=[mx.gpu(hvd.local_rank())])
trainer = hvd.DistributedTrainer(net.collect_params(), "sgd", {"learning_rate": 1.0})
with mx.autograd.record():
    loss = net(mx.nd.array([[hvd.rank() + 1.0]], ctx=mx.gpu(hvd.local_rank()))).sum()
loss.backward()
trainer.step(1)
with open("seen-%d" % hvd.rank(), "w") as file:
    file.write(str(float(net.weight.data().asscalar())))
"""


@pytest.mark.skipif(mx.context.num_gpus() > 0, reason="this is about machines without a GPU")
@pytest.mark.parametrize(
    "backend, source, gradient",
    [("dist_sync", PARAMETER_SERVER, 3.0), pytest.param("horovod", HOROVOD, 1.5, marks=pytest.mark.horovod)],
)
def test_a_script_that_communicates_by_itself_is_left_to_do_so(command, tmp_path, backend, source, gradient):
    (tmp_path / "script.py").write_text(source)
    done = command("run", "--np", 2, "--comm", backend, "script.py", cwd=tmp_path)
    assert done.returncode == 0, done.stderr
    assert [(tmp_path / f"seen-{rank}").read_text() for rank in (0, 1)] == [str(1 - gradient)] * 2


@pytest.mark.jax
@pytest.mark.parametrize(
    "where, asks, reduce",
    [
        ("cpu", "nothing", np.mean),
        pytest.param("gpu", "store", np.sum, marks=pytest.mark.long),
        pytest.param("cpu", "store", np.sum, marks=pytest.mark.long),
        pytest.param("gpu", "nothing", np.mean, marks=pytest.mark.long),
    ],
)
def test_through_jax_gradients_are_averaged_or_added_up_as_a_store_does(
    options_of, command, tiny_name, tmp_path, where, asks, reduce
):
    (tmp_path / "script.py").write_text(GRADIENTS)
    ranks = options_of("xla" if where == "gpu" else "jax")
    done = command(
        *["run", *ranks, "script.py", where, asks], cwd=tmp_path, env={**os.environ, "REPORTS": str(tmp_path)}
    )
    assert done.returncode == 0, done.stderr
    reports = [dict(np.load(tmp_path / f"{rank}.npz")) for rank in (0, 1)]
    for name in ("first", "reduced", "last"):
        assert (reports[0][name] == reports[1][name]).all()
    own = [report["own"] for report in reports]
    assert np.abs(own[0] - own[1]).max() > 1e-3
    np.testing.assert_allclose(reports[0]["reduced"], reduce(own, axis=0), atol=1e-6)
    # Between devices, gradients do not take the way through the host.
    assert [report["sent"] > 0 for report in reports] == [where == "cpu"] * 2
