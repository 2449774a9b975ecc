"""Fine-tuning from end to end, on a tiny BERT."""

import json
import shutil

import mxnet as mx
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import evaluate, finetune, import_bert
from gluonnlp_snli_plugin.errors import DataError, PluginError, UsageError
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.model.classifier import SNLIBertClassifier
from gluonnlp_snli_plugin.train.engines.mxnet_engine import MXNetEngine


@pytest.fixture
def run(tiny_name, pairs_file, tmp_path):
    """Fine-tune the tiny BERT; returns (summary, folder)."""

    def start(name="out", **options):
        settings = {
            "dataset_name": tiny_name,
            "train_file": str(pairs_file),
            "dev_file": str(pairs_file),
            "output_dir": str(tmp_path / name),
            "max_len": 32,
            "epochs": 2,
            "batch_size": 16,
            "lr": 3e-3,
            "seed": 1,
            "log_steps": 3,
        }
        return finetune(**{**settings, **options}), tmp_path / name

    return start


def _weights(folder):
    net = load_model(folder).net
    return {name: value.data().asnumpy() for name, value in net._collect_params_with_prefix().items()}


def _metrics(folder, kind):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def test_a_run_learns_and_leaves_all_its_files(run, pairs_file):
    summary, folder = run(epochs=12, test_file=str(pairs_file))
    assert summary["dev_accuracy"] > 0.9 and summary["test_accuracy"] == summary["dev_accuracy"]
    assert json.loads((folder / "summary.json").read_text()) == summary
    assert {"best_epoch", "train_pairs_per_second", "seconds", "peak_rss_mb"} <= set(summary)
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["lr"] == 3e-3 and config["data"]["train"]["pairs"] == 120
    assert len(config["data"]["train"]["sha256"]) == 64 and "mxnet" in config["versions"]
    assert [line["epoch"] for line in _metrics(folder, "dev")] == list(range(1, 13))
    losses = [line["loss"] for line in _metrics(folder, "train")]
    assert losses[-1] < losses[0] and losses[0] == pytest.approx(np.log(3), abs=0.3)


def test_the_saved_model_is_the_best_and_scores_as_the_summary_says(run, pairs_file):
    summary, folder = run(epochs=6, lr=2e-2)
    dev = _metrics(folder, "dev")
    assert summary["dev_accuracy"] == max(line["accuracy"] for line in dev)
    assert dev[summary["best_epoch"] - 1]["accuracy"] == summary["dev_accuracy"]
    assert evaluate(folder, pairs_file).accuracy == pytest.approx(summary["dev_accuracy"])


@pytest.mark.parametrize("more", [{}, {"accumulate": 3}, {"no_native": True}, {"devices": "cpu:0,cpu:1"}], ids=str)
def test_reserving_memory_has_no_effect_on_the_result(run, monkeypatch, more):
    _, folder = run("reserved", **more)
    reserved = []
    monkeypatch.setattr(MXNetEngine, "_reserve_memory", lambda self, longest: reserved.append(longest))
    _, other = run("not", **more)
    assert len(reserved) == 1
    assert _metrics(folder, "dev") == _metrics(other, "dev")
    for name, weight in _weights(folder).items():
        np.testing.assert_array_equal(weight, _weights(other)[name])


def test_the_first_batch_is_the_longest(run, monkeypatch):
    shapes = {True: [], False: []}  # of training, of evaluation
    original = SNLIBertClassifier.__call__

    def recording(net, *inputs):
        shapes[mx.autograd.is_recording()].append(inputs[0].shape)
        return original(net, *inputs)

    monkeypatch.setattr(SNLIBertClassifier, "__call__", recording)
    run(epochs=2)
    for each in shapes.values():
        assert each[0] == tuple(map(max, zip(*each))) and len(set(each)) > 1


def test_training_and_evaluation_do_not_share_the_memory_they_compute_in(run, monkeypatch):
    computed = {True: set(), False: set()}
    original = SNLIBertClassifier._call_cached_op

    def recording(net, *inputs):
        out = original(net, *inputs)
        computed[mx.autograd.is_recording()].add(net._cached_op.handle.value)
        return out

    monkeypatch.setattr(SNLIBertClassifier, "_call_cached_op", recording)
    run(epochs=2)
    assert len(computed[True]) == len(computed[False]) == 1 and computed[True] != computed[False]


def test_the_same_seed_gives_the_same_run_and_another_seed_another(run):
    first, again, other = (run(name, seed=seed)[1] for name, seed in (("a", 5), ("b", 5), ("c", 6)))
    assert _metrics(first, "dev") == _metrics(again, "dev") != _metrics(other, "dev")
    for name, weight in _weights(first).items():
        np.testing.assert_array_equal(weight, _weights(again)[name])


def test_two_devices_give_the_parameters_of_one(run):
    _, one = run("one", dropout=0.0, epochs=3)  # 24 updates
    _, two = run("two", dropout=0.0, epochs=3, devices="cpu:0,cpu:1")
    for name, weight in _weights(one).items():
        np.testing.assert_allclose(weight, _weights(two)[name], atol=1e-4, err_msg=name)
    assert json.loads((two / "config.json").read_text())["devices"] == "cpu:0,cpu:1"


def test_accumulating_takes_fewer_updates(run):
    summary, folder = run(batch_size=8, accumulate=4)
    assert summary["updates"] == 2 * 4  # 15 batches an epoch in groups of four
    assert _metrics(folder, "train")[-1]["update"] == 8


def test_evaluation_every_few_updates(run):
    _, folder = run(eval_steps=3)
    assert [line["update"] for line in _metrics(folder, "dev")] == [3, 6, 8, 9, 12, 15, 16]


def test_early_stopping(run):
    summary, folder = run(epochs=50, lr=1e-8, warmup_ratio=0.0, early_stop=2)
    assert summary["updates"] == 3 * 8 and summary["best_epoch"] == 1
    assert len(_metrics(folder, "dev")) == 3


def test_the_chapters_settings(run):
    summary, _ = run(
        optimizer="adam", schedule="constant", warmup_ratio=0.0, weight_decay=0.0, clip=0.0, head="mlp", epochs=12
    )
    assert summary["dev_accuracy"] > 0.9


def test_a_sentencepiece_vocabulary_goes_all_the_way(run, pairs_file, tmp_path, train_sentencepiece):
    sentences = [json.loads(line)["sentence1"].lower() for line in pairs_file.read_text().splitlines()]
    model = train_sentencepiece(tmp_path / "spm.model", sentences, vocab_size=60)
    summary, folder = run(dataset_name=None, vocab=str(model), backbone="bert_1_16_2", epochs=1)
    model.unlink()  # the model folder has a copy
    assert evaluate(folder, pairs_file).accuracy == pytest.approx(summary["dev_accuracy"])


@pytest.mark.parametrize(
    "head, complaint",
    [
        ("pooled", r"the loss of update 1 is (nan|inf): .*; its pairs are number (\d+, ){15}\d+ of the training"),
        ("mlp", "the loss of update 3 is finite, its gradient is nan: try a lower --lr"),  # relu makes nan 0
    ],
)
def test_numbers_that_are_none_stop_the_run(run, tiny_bert, tmp_path, head, complaint, native_operators):
    tensors = load_file(str(tiny_bert / "model.safetensors"))
    for which in ("word", "position"):
        tensors[f"embeddings.{which}_embeddings.weight"][:] = 3e38  # finite, but their sum is not
    folder = tmp_path / "huge"
    shutil.copytree(str(tiny_bert), str(folder))
    save_file(tensors, str(folder / "model.safetensors"))
    import_bert(folder, "huge_uncased")
    with pytest.raises(PluginError, match=complaint):
        run(dataset_name="huge_uncased", head=head)


def test_a_file_without_labelled_pairs_is_named(run, tmp_path):
    (tmp_path / "empty.jsonl").write_text('{"sentence1": "a", "sentence2": "b", "gold_label": "-"}\n')
    with pytest.raises(DataError, match="empty.jsonl has no labelled pairs"):
        run(train_file=str(tmp_path / "empty.jsonl"))
    with pytest.raises(DataError, match="nowhere.jsonl: No such file"):
        run(dev_file=str(tmp_path / "nowhere.jsonl"))


@pytest.fixture
def numbered(pairs_file, tmp_path):
    """The same pairs in CSV with names and labels that have to be explained, and rows to be lost."""
    numbers = {"entailment": 2, "neutral": 0, "contradiction": 1}
    lines = ["one,other,class"]
    for row in map(json.loads, pairs_file.read_text().splitlines()):
        lines.append(f"{row['sentence1']},{row['sentence2']},{numbers[row['gold_label']]}")
    lines.insert(3, "a dog,,1")
    lines.insert(5, "a dog,a cat,-1")
    (tmp_path / "pairs.csv").write_text("\n".join(lines))
    return {
        "train_file": str(tmp_path / "pairs.csv"),
        "columns": {"premise": "one", "hypothesis": "other", "label": "class"},
        "labels": {"2": "entailment", "0": "neutral", "1": "contradiction"},
        "on_bad_row": "skip",
    }


def test_files_are_explained_and_what_is_lost_is_told_once(run, numbered, pairs_file, tmp_path, caplog):
    expected, plain = run(epochs=2)
    (tmp_path / "dev.csv").write_text("\n".join((tmp_path / "pairs.csv").read_text().splitlines()[:3]))
    summary, folder = run("explained", **{**numbered, "dev_file": str(tmp_path / "dev.csv"), "max_len": 9})
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["columns"] == "premise=one,hypothesis=other,label=class"
    assert config["settings"]["labels"] == "2=entailment,0=neutral,1=contradiction"
    assert "--labels 2=entailment,0=neutral,1=contradiction" in " ".join(config["repeat"])
    assert config["data"]["train"]["pairs"] == 120
    told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    train, dev = tmp_path / "pairs.csv", tmp_path / "dev.csv"
    truncated = [config["data"][name]["truncated"] for name in ("train", "dev")]
    assert truncated[0] > truncated[1] > 0
    cut = "are longer than 9 tokens (max_len) and are cut"
    assert told == [
        f"{train}: 1 of 122 rows cannot be used and are left out; first, line 4: other is empty",
        f"{train}: {truncated[0]} of 120 pairs ({truncated[0] / 120:.1%}) {cut}",
        f"{dev}: {truncated[1]} of 2 pairs ({truncated[1] / 2:.1%}) {cut}",
        f"{dev}: no pair has the label neutral",
    ]
    summary, folder = run("whole", **{**numbered, "dev_file": numbered["train_file"]})
    assert summary["dev_accuracy"] == expected["dev_accuracy"]
    for name, weights in _weights(plain).items():
        np.testing.assert_array_equal(weights, _weights(folder)[name])


def test_a_class_without_a_pair_to_train_on_is_an_error_that_says_why(run, numbered, tmp_path):
    labels = {"2": "entailment", "1": "contradiction"}
    with pytest.raises(DataError) as info:
        run(**{**numbered, "labels": labels})
    assert str(info.value) == (
        f"{tmp_path / 'pairs.csv'}: no pair has the label neutral (41 rows cannot be used; first, line 4: other is "
        "empty): a model trained on the rest could never give that answer"
    )


def test_fewer_pairs_than_devices_is_refused(run, tmp_path, pairs_file):
    (tmp_path / "three.jsonl").write_text("\n".join(pairs_file.read_text().splitlines()[:3]))
    with pytest.raises(UsageError, match="3 training pairs .* cannot be divided among 4 devices"):
        run(train_file=str(tmp_path / "three.jsonl"), devices="cpu:0,cpu:1,cpu:2,cpu:3")
    with pytest.raises(UsageError, match="batches of 1 cannot be divided among 2 devices"):
        run(batch_size=1, devices="cpu:0,cpu:1")


def test_the_run_that_is_there_survives_a_mistake_in_the_next(run, tmp_path):
    _, folder = run(epochs=1)
    before = _weights(folder)
    with pytest.raises(DataError):
        run(train_file=str(tmp_path / "nowhere.jsonl"), overwrite=True)
    assert _weights(folder).keys() == before.keys()


def test_training_leaves_autograd_off(run):
    run(epochs=1)
    assert not mx.autograd.is_recording()
