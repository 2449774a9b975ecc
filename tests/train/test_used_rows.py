"""Training only the word embeddings that the pairs use gives the model that training all of them does."""

import gluonnlp as nlp
import mxnet as mx
import numpy as np
import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, finetune
from gluonnlp_snli_plugin.data.encoding import EncodedPairs
from gluonnlp_snli_plugin.formats.model_folder import load_model, save_model
from gluonnlp_snli_plugin.model.inference import logits
from gluonnlp_snli_plugin.train import finetuning
from gluonnlp_snli_plugin.train.initial_model import initial_model
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig
from gluonnlp_snli_plugin.train.used_rows import TABLE, UsedRows


class _AllRows:
    """In place of ``UsedRows``: leaves the table as it is."""

    fingerprint = None

    def __init__(self, net, encoded):
        self._net = net

    def renumber(self, pairs):
        return pairs

    def table(self, decay):
        return self._net.bert.word_embed[0].weight.data(self._net.bert.word_embed[0].weight.list_ctx()[0])


@pytest.fixture
def run(tiny_name, pairs_file, tmp_path):
    """Fine-tune the tiny BERT for ten updates; returns the folder."""

    def start(name, **options):
        settings = {
            "dataset_name": tiny_name,
            "train_file": str(pairs_file),
            "dev_file": str(pairs_file),
            "output_dir": str(tmp_path / name),
            "max_len": 32,
            "epochs": 1,
            "batch_size": 12,
            "lr": 1e-3,
            "weight_decay": 0.3,
            "dropout": 0.0,
        }
        summary = finetune(**{**settings, **options})
        assert summary["updates"] == 10
        return tmp_path / name

    return start


def _weights(folder):
    net = load_model(folder).net
    return {name: value.data().asnumpy() for name, value in net._collect_params_with_prefix().items()}


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"no_native": True},
        {"head": "pooled", "clip": 0.0},
        {"optimizer": "adam", "weight_decay": 0.0},
        {"devices": "cpu:0,cpu:1"},
    ],
    ids=["as it is", "without C++", "pooled without clipping", "adam", "two devices"],
)
def test_ten_updates_give_the_weights_of_training_the_whole_table(run, monkeypatch, options):
    ours = _weights(run("cut", **options))
    monkeypatch.setattr(finetuning, "UsedRows", _AllRows)
    theirs = _weights(run("whole", **options))
    assert ours.keys() == theirs.keys()
    for name, weight in theirs.items():
        assert ours[name].shape == weight.shape
        np.testing.assert_allclose(ours[name], weight, rtol=0, atol=2e-6 * np.abs(weight).max(), err_msg=name)


def _start(tiny_name):
    return nlp.model.get_model("snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, dropout=0.0)


def test_a_row_that_no_pair_uses_is_moved_by_weight_decay_alone(run, tiny_name):
    before = _start(tiny_name)[0].bert.word_embed[0].weight.data().asnumpy()
    after = _weights(run("out", schedule="constant", warmup_ratio=0.0))[TABLE]
    shares = (after / before)[-26:]  # of the pieces of words, which no pair needs
    np.testing.assert_allclose(shares, (1 - 1e-3 * 0.3) ** 10, rtol=1e-6)


@pytest.mark.parametrize(
    "options, is_cut",
    [
        ({"optimizer": "bertadam"}, True),
        ({"optimizer": "adam", "weight_decay": 0.0}, True),
        ({"optimizer": "adam"}, False),
    ],
    ids=["bertadam", "adam", "adam with weight decay"],
)
def test_adams_weight_decay_needs_the_whole_table(run, monkeypatch, options, is_cut):
    cut = []

    class Spy(UsedRows):
        def __init__(self, *args):
            super().__init__(*args)
            cut.append(self)

    monkeypatch.setattr(finetuning, "UsedRows", Spy)
    run("out", **options)
    assert bool(cut) == is_cut


def test_the_model_that_is_saved_scores_as_in_training(tiny_name, pairs_file, tmp_path):
    summary = finetune(
        dataset_name=tiny_name,
        train_file=str(pairs_file),
        dev_file=str(pairs_file),
        test_file=str(pairs_file),
        output_dir=str(tmp_path / "out"),
        max_len=32,
        batch_size=16,
        epochs=12,
        lr=3e-3,
    )
    assert summary["dev_accuracy"] > 0.5
    assert evaluate(tmp_path / "out", pairs_file).accuracy == pytest.approx(summary["dev_accuracy"])
    assert summary["test_accuracy"] == pytest.approx(summary["dev_accuracy"])


def test_a_word_that_training_has_not_seen_can_be_asked_about(run):
    folder = run("out")
    words = [("the zebra is quick", "xylophones jump"), ("a man", "qwerty")]
    for prediction in Predictor.load(folder)(words):
        assert sum(prediction.probabilities.values()) == pytest.approx(1, abs=1e-5)


# The table ------------------------------------------------------------------------------------------------------------


def _pairs(*rows, padding_id=0):
    """Encoded pairs of these token ids; the second sentence has one token."""
    offsets = np.cumsum([0, *map(len, rows)])
    len_a = np.array([len(row) - 4 for row in rows], np.int32)
    labels = np.arange(len(rows), dtype=np.int32) % 3
    ids = np.concatenate(rows).astype(np.int32)
    return EncodedPairs(ids, offsets, len_a, np.ones_like(len_a), labels, padding_id)


TRAIN = _pairs([2, 7, 9, 3, 11, 3], [2, 40, 3, 7, 3])
DEV = _pairs([2, 50, 51, 52, 3, 9, 3], [2, 7, 3, 53, 3])


def test_the_ids_are_those_of_all_segments_and_of_padding(tiny_name):
    net, _ = _start(tiny_name)
    whole = net.bert.word_embed[0].weight.data().asnumpy()
    rows = UsedRows(net, {"train": TRAIN, "dev": DEV})
    assert rows.ids.tolist() == [0, 2, 3, 7, 9, 11, 40, 50, 51, 52, 53]
    np.testing.assert_array_equal(net.bert.word_embed[0].weight.data().asnumpy(), whole[rows.ids])


@pytest.mark.parametrize("padding_id", [0, 1, 45])
def test_padding_stays_padding(tiny_name, padding_id):
    net, _ = _start(tiny_name)
    pairs = _pairs([2, 7, 9, 3, 11, 3], [2, 40, 3, 7, 3], padding_id=padding_id)
    rows = UsedRows(net, {"train": pairs})
    assert rows.ids[rows.renumber(pairs).padding_id] == padding_id


def test_renumbered_pairs_are_the_same_pairs(tiny_name):
    net, _ = _start(tiny_name)
    rows = UsedRows(net, {"train": TRAIN, "dev": DEV})
    before = DEV.input_ids.copy()
    renumbered = rows.renumber(DEV)
    np.testing.assert_array_equal(DEV.input_ids, before)
    np.testing.assert_array_equal(rows.ids[renumbered.input_ids], DEV.input_ids)
    assert renumbered.input_ids.dtype == np.int32
    for ours, theirs in zip(renumbered, DEV):
        np.testing.assert_array_equal(rows.ids[ours[0]], theirs[0])
        for a, b in zip(ours[1:], theirs[1:]):
            np.testing.assert_array_equal(a, b)


@pytest.mark.parametrize("hybridized", [False, True], ids=["imperative", "hybridized"])
def test_logits_are_those_of_the_whole_table(tiny_name, hybridized):
    net, _ = _start(tiny_name)
    if hybridized:
        net.hybridize(static_alloc=True)
    expected = logits(net, DEV, [mx.cpu()])
    rows = UsedRows(net, {"train": TRAIN, "dev": DEV})
    net.hybridize(active=hybridized)
    np.testing.assert_array_equal(logits(net, rows.renumber(DEV), [mx.cpu()]), expected)


def test_the_whole_table_comes_back(tiny_name):
    net, _ = _start(tiny_name)
    weight = net.bert.word_embed[0].weight
    whole = weight.data().asnumpy()
    rows = UsedRows(net, {"train": TRAIN, "dev": DEV})
    np.testing.assert_array_equal(rows.table(1.0).asnumpy(), whole)
    weight.set_data(weight.data() + 1)
    table = rows.table(0.5).asnumpy()
    unused = np.setdiff1d(np.arange(len(whole)), rows.ids)
    np.testing.assert_array_equal(table[rows.ids], whole[rows.ids] + 1)
    np.testing.assert_array_equal(table[unused], whole[unused] / 2)


def test_every_device_has_the_cut_table(tiny_name):
    net, _ = nlp.model.get_model(
        "snli_bert_classifier", backbone="bert_2_16_2", dataset_name=tiny_name, ctx=[mx.cpu(0), mx.cpu(1)]
    )
    rows = UsedRows(net, {"train": TRAIN})
    one, other = net.bert.word_embed[0].weight.list_data()
    assert one.shape == (len(rows.ids), 16) and one.context != other.context
    np.testing.assert_array_equal(one.asnumpy(), other.asnumpy())


def test_a_saved_model_has_the_whole_table_and_scores_as_the_one_in_memory(tiny_name, tmp_path):
    config = FinetuneConfig.of(dataset_name=tiny_name, max_len=32, output_dir="out")
    model = initial_model(config, [mx.cpu()]).model
    net, vocab = model.net, model.vocab
    rows = UsedRows(net, {"train": TRAIN, "dev": DEV})
    save_model(model, tmp_path / "model", {TABLE: rows.table(1.0)})
    loaded = load_model(tmp_path / "model").net
    assert loaded.bert.word_embed[0].weight.shape == (len(vocab), 16)
    assert net.bert.word_embed[0].weight.shape == (len(rows.ids), 16), "the one in memory goes on as it is"
    np.testing.assert_array_equal(logits(loaded, DEV, [mx.cpu()]), logits(net, rows.renumber(DEV), [mx.cpu()]))
