"""Pretraining from end to end, a tiny BERT on made-up text."""

import json
import random
import shutil

import gluonnlp as nlp
import numpy as np
import pytest
from safetensors.numpy import load_file, save_file

from gluonnlp_snli_plugin import finetune, import_bert, pretrain, store, train_vocabulary
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, PluginError, Stopped, UsageError
from gluonnlp_snli_plugin.text.byte_pairs import byte_characters, byte_pair_vocab

AT_ONCE = 1e-9  # seconds: a run with this limit makes one update
SUBJECTS = {"man": "runs", "dog": "sleeps", "cat": "eats"}


def _text(num_documents, seed=0):
    """Documents of which each is about one subject, which does one thing: there is much to learn in little text."""
    choose = random.Random(seed)
    documents = []
    for _ in range(num_documents):
        subject, verb = choose.choice(list(SUBJECTS.items()))
        places = [choose.choice(["inside", "outside"]) for _ in range(choose.randint(3, 6))]
        documents.append("\n".join(f"the {subject} {verb} {place} ." for place in places))
    return "\n\n".join(documents) + "\n"


@pytest.fixture(scope="module")
def vocab_file(tmp_path_factory):
    path = tmp_path_factory.mktemp("vocabulary") / "vocab.txt"
    words = ["the", ".", "inside", "outside", "a", *SUBJECTS, *SUBJECTS.values()]
    letters = "abcdefghijklmnopqrstuvwxyz"
    tokens = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *dict.fromkeys([*words, *letters])]
    path.write_text("\n".join([*tokens, *(f"##{letter}" for letter in letters)]) + "\n")
    return path


@pytest.fixture
def settings(tmp_path, vocab_file):
    text = tmp_path / "text.txt"
    text.write_text(_text(60))
    return {
        "name": f"{tmp_path.name.replace('_', '-')}_uncased",
        "vocab": str(vocab_file),
        "corpus": [str(text)],
        "output_dir": str(tmp_path / "out"),
        "backbone": "bert_2_16_2",
        "batch_size": 8,
        "max_len": 32,
        "steps": 12,
        "lr": 3e-3,
        "log_steps": 4,
        "eval_steps": 6,
        "held_out_ratio": 0.2,
    }


def _metrics(folder, kind):
    lines = (folder / "metrics.jsonl").read_text().splitlines()
    return [line for line in map(json.loads, lines) if line["kind"] == kind]


def _arrays(folder):
    return load_file(str(max((folder / "checkpoints").iterdir()) / "arrays.safetensors"))


def test_a_run_learns_and_its_bert_is_in_the_store(settings, tmp_path, pairs_file):
    (tmp_path / "dev.txt").write_text(_text(30, seed=5))
    more = {"backbone": "bert_2_64_2", "init": "bert", "steps": 100, "batch_size": 16, "dropout": 0.0, "log_steps": 20}
    more.update(lr=1e-3, schedule="constant", warmup_ratio=0.0, clip=0.0, dev_corpus=[str(tmp_path / "dev.txt")])
    summary = pretrain(**{**settings, **more})
    first, *_, last = _metrics(tmp_path / "out", "train")
    assert first["mlm_loss"] == pytest.approx(np.log(67), abs=1) and first["nsp_loss"] == pytest.approx(np.log(2), 0.2)
    assert last["mlm_loss"] < 1.9 and summary["mlm_loss"] < 1.9  # 2.1 for the share of each word
    assert json.loads((tmp_path / "out" / "summary.json").read_text()) == summary
    bert, vocab = nlp.model.get_model("bert_2_64_2", dataset_name=settings["name"], pretrained=True)
    assert len(vocab) == 67 and bert.decoder[3].weight is bert.word_embed[0].weight
    finetune(
        dataset_name=settings["name"],
        train_file=str(pairs_file),
        dev_file=str(pairs_file),
        output_dir=str(tmp_path / "tuned"),
        epochs=1,
        max_len=32,
    )
    assert (tmp_path / "tuned" / "model").is_dir()


def test_what_is_in_the_store_is_what_was_trained(settings, tmp_path):
    pretrain(**settings)
    bert, _ = nlp.model.get_model("bert_2_16_2", dataset_name=settings["name"], pretrained=True)
    trained = _arrays(tmp_path / "out")
    for name, parameter in bert._collect_params_with_prefix().items():
        np.testing.assert_array_equal(parameter.data().asnumpy(), trained[f"weight/bert.{name}"], err_msg=name)


@pytest.mark.parametrize(
    "more",
    [{}, {"no_native": True}, {"accumulate": 3}, {"devices": "cpu:0,cpu:1"}, {"whole_word_mask": True}],
    ids=lambda more: ",".join(more) or "defaults",
)
def test_a_run_that_stops_after_every_update_ends_as_one_that_never_did(settings, tmp_path, more, native_operators):
    expected = pretrain(**{**settings, **more})
    with pytest.raises(Stopped, match="gluonnlp-snli pretrain --resume"):
        pretrain(
            **{**settings, **more, "output_dir": str(tmp_path / "broken"), "max_seconds": AT_ONCE, "overwrite": True}
        )
    for _ in range(20):
        try:
            summary = pretrain(resume=str(tmp_path / "broken"))
        except Stopped:
            continue
        break
    arrays, others = _arrays(tmp_path / "out"), _arrays(tmp_path / "broken")
    assert set(arrays) == set(others)
    for name, array in arrays.items():
        np.testing.assert_array_equal(array, others[name], err_msg=name)
    timeless = ("mlm_loss", "mlm_accuracy", "nsp_loss", "nsp_accuracy", "updates")
    assert [summary[name] for name in timeless] == [expected[name] for name in timeless]


def test_two_devices_have_the_gradients_of_one(settings, tmp_path):
    for name, devices in (("one", "cpu:0"), ("two", "cpu:0,cpu:1")):
        more = {"output_dir": str(tmp_path / name), "devices": devices, "dropout": 0.0, "steps": 1, "overwrite": True}
        pretrain(**{**settings, **more})
    two = _arrays(tmp_path / "two")
    gradients = {name: array for name, array in _arrays(tmp_path / "one").items() if name.startswith("mean/")}
    for name, array in gradients.items():
        np.testing.assert_allclose(array, two[name], atol=1e-7, err_msg=name)
    assert max(abs(array).max() for array in gradients.values()) > 1e-3


def test_it_goes_on_from_weights_of_the_store(settings, tiny_name):
    more = {"vocab": None, "backbone": None, "init_from": tiny_name, "lr": 1e-30, "weight_decay": 0.0, "steps": 1}
    pretrain(**{**settings, **more})
    before, _ = nlp.model.get_model(
        "bert_2_16_2", dataset_name=tiny_name, pretrained=True, use_decoder=False, use_classifier=False
    )
    after, _ = nlp.model.get_model("bert_2_16_2", dataset_name=settings["name"], pretrained=True)
    after = after._collect_params_with_prefix()
    for name, parameter in before._collect_params_with_prefix().items():
        np.testing.assert_allclose(parameter.data().asnumpy(), after[name].data().asnumpy(), atol=1e-7, err_msg=name)
    assert store.checkpoints()[f"bert_2_16_2_{settings['name']}"].hparams["hidden_size"] == 32


def test_held_out_documents_may_be_files_of_their_own(settings, tmp_path):
    dev = tmp_path / "dev.txt"
    dev.write_text(_text(10, seed=1))
    pretrain(**settings, dev_corpus=[str(dev)])
    data = json.loads((tmp_path / "out" / "config.json").read_text())["data"]
    assert data["train"]["documents"] == 60 and data["held_out"]["documents"] == 10


@pytest.mark.parametrize(
    "more, error, complaint",
    [
        ({"corpus": ["nowhere.txt"]}, DataError, "nowhere.txt"),
        ({"backbone": "bert_2_16_3"}, UsageError, "16 units cannot be divided"),
        (
            {"backbone": "roberta_2_16_2"},
            UsageError,
            "next-sentence prediction, for which roberta_2_16_2 has no output",
        ),
        ({"max_len": 1000}, UsageError, "--max-len is 1000; bert_2_16_2 takes inputs of up to 512"),
        ({"vocab": "none_uncased"}, UsageError, "none_uncased"),
        ({"init_from": "none_uncased"}, UsageError, "no weights of bert_2_16_2 under the name 'none_uncased'"),
        ({"devices": "cpu:0,cpu:1", "batch_size": 1}, UsageError, "cannot be divided among 2 devices"),
    ],
    ids=str,
)
def test_what_cannot_be_used_is_named_in_one_line(settings, more, error, complaint):
    with pytest.raises(error, match=complaint) as refused:
        pretrain(**{**settings, **more})
    assert "\n" not in str(refused.value)


def test_a_vocabulary_of_another_family_is_refused(settings, tmp_path):
    index = {token: i for i, token in enumerate(["<s>", "<pad>", "</s>", "<unk>", "<mask>", *byte_characters()])}
    (tmp_path / "roberta.vocab").write_text(byte_pair_vocab(list(index), []).to_json())
    with pytest.raises(UsageError, match="the vocabulary has no cls_token and no sep_token, which pairs for bert_"):
        pretrain(**{**settings, "vocab": str(tmp_path / "roberta.vocab"), "name": "other_cased"})


@pytest.mark.parametrize("text, complaint", [("", "text.txt"), ("one\ntwo\nthree\n", "document")])
def test_text_that_is_too_little_is_refused(settings, tmp_path, text, complaint):
    (tmp_path / "text.txt").write_text(text)
    with pytest.raises(DataError, match=complaint) as refused:
        pretrain(**settings)
    assert "\n" not in str(refused.value)


def test_a_vocabulary_that_does_not_fit_the_weights_is_refused(settings, tiny_name):
    with pytest.raises(UsageError, match="is not the vocabulary of .*, which has its own: omit --vocab"):
        pretrain(**{**settings, "init_from": tiny_name})


def test_a_name_that_is_taken_is_refused_before_training(settings, tiny_name, tmp_path):
    with pytest.raises(UsageError, match="is already in .*: give another --name, or --overwrite"):
        pretrain(**{**settings, "name": tiny_name, "steps": 10**6})
    assert not (tmp_path / "out").exists()


def test_another_vocabulary_under_the_name_is_refused_before_training(settings, tmp_path):
    train_vocabulary(settings["corpus"], settings["name"], size=30)
    with pytest.raises(UsageError, match="has another vocabulary under the name .*: give another --name"):
        pretrain(**{**settings, "steps": 10**6})
    assert not list((tmp_path / "out").glob("checkpoints/*"))


def test_a_run_that_dies_once_its_bert_is_in_the_store_is_finished_by_resuming(settings, tmp_path):
    expected = pretrain(**settings)
    (tmp_path / "out" / "summary.json").unlink()  # it is written last
    summary = pretrain(resume=str(tmp_path / "out"))
    assert summary["mlm_loss"] == expected["mlm_loss"]
    nlp.model.get_model("bert_2_16_2", dataset_name=settings["name"], pretrained=True)


def test_what_another_run_has_put_into_the_store_is_not_replaced_by_resuming(settings, tmp_path):
    with pytest.raises(Stopped):
        pretrain(**settings, max_seconds=AT_ONCE)
    pretrain(**{**settings, "output_dir": str(tmp_path / "other")})
    with pytest.raises(UsageError, match="is already in .*: give another --name, or --overwrite"):
        pretrain(resume=str(tmp_path / "out"))


def test_a_loss_that_is_no_number_ends_the_run(settings, tiny_bert, tmp_path):
    tensors = load_file(str(tiny_bert / "model.safetensors"))
    for which in ("word", "position"):
        tensors[f"embeddings.{which}_embeddings.weight"][:] = 3e38  # finite, but their sum is not
    shutil.copytree(str(tiny_bert), str(tmp_path / "huge"))
    save_file(tensors, str(tmp_path / "huge" / "model.safetensors"))
    import_bert(tmp_path / "huge", "endless_uncased")
    with pytest.raises(PluginError, match="the loss of update 1 is (nan|inf): .*; its pairs are number"):
        pretrain(**{**settings, "vocab": None, "init_from": "endless_uncased"})


def test_text_that_changed_is_not_trained_on_as_if_it_had_not(settings, tmp_path):
    with pytest.raises(Stopped):
        pretrain(**settings, max_seconds=AT_ONCE)
    (tmp_path / "text.txt").write_text(_text(61))
    with pytest.raises(PluginError, match="the content of the train data has changed"):
        pretrain(resume=str(tmp_path / "out"))


def test_a_run_of_another_kind_is_not_resumed(settings, tmp_path):
    with pytest.raises(Stopped):
        pretrain(**settings, max_seconds=AT_ONCE)
    with pytest.raises(UsageError, match="it is a run of 'pretrain', not of 'finetune'"):
        finetune(resume=str(tmp_path / "out"))


def _arguments(settings):
    words = []
    for name, value in settings.items():
        words += [f"--{name.replace('_', '-')}", *map(str, value if isinstance(value, list) else [value])]
    return words


def test_the_same_command_with_resume_goes_on(settings, tmp_path, capsys):
    arguments = ["pretrain", *_arguments(settings), "--resume"]
    assert main([*arguments, "--max-seconds", str(AT_ONCE)]) == 75  # nothing there yet: it begins
    assert main(arguments[:-1]) == 2 and "holds another run" in capsys.readouterr().err
    assert main([*arguments, "--lr", "0.1"]) == 2
    assert "holds a run with --lr 0.003, not one with --lr 0.1" in capsys.readouterr().err
    assert main([*arguments, "--dev-corpus", "a", "b"]) == 2
    assert "holds a run without --dev-corpus, not one with --dev-corpus" in capsys.readouterr().err
    assert main([*arguments, "--tensorboard"]) == 2
    assert "holds a run without --tensorboard, not one with --tensorboard\n" in capsys.readouterr().err
    capsys.readouterr()
    assert main([*arguments, "--max-seconds", "0"]) == 0
    shown, said = capsys.readouterr()
    assert "resumed after update 1" in said
    assert f"bert_2_16_2 as {settings['name']} in" in shown and "masked words   loss" in shown
