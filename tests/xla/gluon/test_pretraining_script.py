"""BERT's pretraining as scripts/bert/run_pretraining.py computes it: BERTForPretrain, FP16Trainer, MaskedAccuracy."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

jax = pytest.importorskip("jax", reason="JAX is not installed: pip install jax (Python 3.10 or newer)")

from gluonnlp_snli_plugin.xla.gluon.arrays import TRANSFERS  # noqa: E402

TOKENS = 60  # of the vocabulary


class BERTForPretrain(mx.gluon.Block):
    """As the class of pretraining_utils.py of this name."""

    def __init__(self, bert, mlm_loss, nsp_loss):
        super().__init__()
        self.bert, self.mlm_loss, self.nsp_loss = bert, mlm_loss, nsp_loss

    def forward(self, input_id, masked_id, masked_position, masked_weight, next_sentence_label, segment_id, length):
        num_masks = masked_weight.sum() + 1e-8
        _, _, classified, decoded = self.bert(input_id, segment_id, length.reshape(-1), masked_position)
        decoded = decoded.reshape((-1, TOKENS))
        ls1 = self.mlm_loss(
            decoded.astype("float32", copy=False), masked_id.reshape(-1), masked_weight.reshape((-1, 1))
        )
        ls2 = self.nsp_loss(classified.astype("float32", copy=False), next_sentence_label)
        return classified, decoded, ls1.sum() / num_masks, ls2.mean()


class Updates:
    """The calls of ``FP16Trainer``, with a loss scale."""

    def __init__(self, trainer, scale):
        self._trainer, self._scale = trainer, scale

    def backward(self, loss):
        with mx.autograd.record():
            scaled = loss * self._scale
        mx.autograd.backward(scaled)

    def step(self, max_norm):
        self._trainer.allreduce_grads()
        _, ratio, is_finite = nlp.utils.grad_global_norm(self._trainer._params, max_norm * self._scale)
        self._trainer.update(ratio * self._scale)
        assert is_finite.asscalar() == 1


@pytest.fixture
def make_model(make_bert):
    def make(contexts, dtype="float32"):
        bert = make_bert(encoder={"num_layers": 1}, use_decoder=True, use_classifier=True)
        bert(*(mx.nd.ones(shape) for shape in ((1, 4), (1, 4), (1,), (1, 2))))
        bert.collect_params().reset_ctx(contexts)
        bert.cast(dtype)
        bert.hybridize(static_alloc=True, static_shape=True)
        model = BERTForPretrain(bert, mx.gluon.loss.SoftmaxCELoss(), mx.gluon.loss.SoftmaxCELoss())
        model.mlm_loss.hybridize(static_alloc=True, static_shape=True)
        model.nsp_loss.hybridize(static_alloc=True, static_shape=True)
        return model

    return make


@pytest.fixture
def make_batch(bert_inputs):
    """Makes batches of 4 pairs, of which 3 tokens are masked, some with the weight 0."""

    def make(number, rows=4):
        ids, segments, lengths = bert_inputs(rows, seed=number)
        random = np.random.RandomState(number)
        masked = (
            random.randint(5, TOKENS, (rows, 3)),
            random.randint(0, 3, (rows, 3)),
            random.randint(0, 2, (rows, 3)),
        )
        masked[2][:, 0] = 1
        return (ids, *map(mx.nd.array, masked), mx.nd.array(random.randint(0, 2, rows)), segments, lengths)

    return make


@pytest.fixture
def pretrain(make_batch):
    """Makes updates; returns the losses and the accuracies."""

    def run(model, contexts, updates=20, accumulate=1, scale=1.0, threads=0, rows=4):
        parameters = model.bert.collect_params()
        settings = {"learning_rate": 1e-3, "epsilon": 1e-6, "wd": 0.01, "multi_precision": True}
        trainer = mx.gluon.Trainer(parameters, "bertadam", settings, update_on_kvstore=False)
        scaled = Updates(trainer, scale)
        for parameter in parameters.values():
            parameter.grad_req = "add" if accumulate > 1 else "write"
        metric, losses, dtype = nlp.metric.MaskedAccuracy(), [], model.bert.pooler.weight.dtype

        class Step(nlp.utils.Parallelizable):
            def forward_backward(self, data):
                data = (*data[:-1], data[-1].astype(dtype, copy=False))
                with mx.autograd.record():
                    classified, decoded, ls1, ls2 = model(*data)
                    loss = (ls1 + ls2) / accumulate / len(contexts)
                scaled.backward(loss)
                return data, classified, decoded, loss

        parallel = nlp.utils.Parallel(threads, Step())
        for number in range(updates * accumulate):
            divided = [mx.gluon.utils.split_and_load(array, contexts) for array in make_batch(number, rows)]
            for data in zip(*divided):
                parallel.put(data)
            found = [parallel.get() for _ in contexts]
            if (number + 1) % accumulate == 0:
                scaled.step(1.0)
                if accumulate > 1:
                    parameters.zero_grad()
            losses.append(sum(loss.asscalar() for *_, loss in found))
            for data, _, decoded, _ in found:
                metric.update([data[1].reshape(-1)], [decoded], [data[3]])
        return losses, metric.get()[1]

    return run


@pytest.mark.parametrize("accumulate, scale", [(1, 1.0), (2, 1024.0)])
def test_pretraining_equals_mxnets(accumulate, scale, gpus, make_model, pretrain, values_of, assert_equal):
    settings = {"accumulate": accumulate, "scale": scale}
    expected = make_model([mx.cpu()])
    expected_losses, expected_accuracy = pretrain(expected, [mx.cpu()], **settings)
    with gpus():
        found = make_model([mx.gpu(0)])
        losses, accuracy = pretrain(found, [mx.gpu(0)], **settings)
        found = values_of(found.bert)
    np.testing.assert_allclose(losses, expected_losses, atol=1e-4)
    assert accuracy == pytest.approx(expected_accuracy, abs=0.01)
    assert_equal(found, values_of(expected.bert))


@pytest.mark.parametrize("threads", [0, 2])
def test_pretraining_on_two_places_equals_mxnets(threads, gpus, make_model, pretrain, values_of, assert_equal):
    settings = {"updates": 5, "rows": 8}
    on_cpu = [mx.cpu(0), mx.cpu(1)]
    expected = make_model(on_cpu)
    expected_losses, _ = pretrain(expected, on_cpu, **settings)
    expected = {name: p.data(on_cpu[0]).asnumpy() for name, p in expected.bert._collect_params_with_prefix().items()}
    with gpus(2):
        places = [mx.gpu(0), mx.gpu(1)]
        model = make_model(places)
        losses, _ = pretrain(model, places, threads=threads, **settings)
        parameters = model.bert._collect_params_with_prefix()
        first, second = ({name: p.data(place).asnumpy() for name, p in parameters.items()} for place in places)
    np.testing.assert_allclose(losses, expected_losses, atol=1e-4)
    assert_equal(first, expected)
    for name, values in first.items():
        np.testing.assert_array_equal(second[name], values, err_msg=name)


@pytest.mark.skipif(jax.__version_info__ < (0, 8), reason="JAX 0.7 has no such product of bfloat16 on CPU")
@pytest.mark.parametrize("threads", [0, 2])
def test_pretraining_on_two_places_in_half_precision(threads, gpus, make_model, pretrain):
    with gpus(2):
        places = [mx.gpu(0), mx.gpu(1)]
        expected, _ = pretrain(make_model(places), places, updates=2, rows=8)
        model = make_model(places, "float16")
        losses, _ = pretrain(model, places, updates=2, rows=8, threads=threads, scale=1024.0)
        for parameter in model.bert.collect_params().values():
            first, second = (parameter.data(place).asnumpy() for place in places)
            assert first.dtype == np.float32
            np.testing.assert_array_equal(second, first, err_msg=parameter.name)
    np.testing.assert_allclose(losses, expected, rtol=0.1)


def test_scores_of_all_tokens_are_never_fetched(gpus, make_model, pretrain):
    with gpus():
        model = make_model([mx.gpu(0)])
        pretrain(model, [mx.gpu(0)], updates=1)
        before = TRANSFERS.bytes_to_host
        pretrain(model, [mx.gpu(0)], updates=1)
        scores = 4 * 3 * TOKENS * 4
        assert TRANSFERS.bytes_to_host - before < scores


def test_scores_that_a_script_reads_are_mxnets(gpus, make_model, make_batch):
    batch = make_batch(0)
    expected = make_model([mx.cpu()])(*batch)[1]
    with gpus():
        *_, found = make_model([mx.gpu(0)]).bert(*(batch[i].as_in_context(mx.gpu(0)) for i in (0, 5, 6, 2)))
        assert found.shape == (4, 3, TOKENS)
        np.testing.assert_allclose(found.asnumpy(), expected.asnumpy().reshape(found.shape), atol=1e-4)
        np.testing.assert_array_equal(found.argmax(axis=-1).asnumpy().reshape(-1), expected.argmax(axis=-1).asnumpy())
        np.testing.assert_array_equal(
            mx.nd.topk(found, k=1, axis=2, ret_typ="indices").asnumpy().reshape(-1), expected.argmax(axis=-1).asnumpy()
        )
        assert mx.nd.topk(found, k=2).shape == (4, 3, 2)
