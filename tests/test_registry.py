"""The plugin's names are in GluonNLP's registries, and deactivating takes every trace of them out again."""

import subprocess
import sys
import warnings

import gluonnlp as nlp
import mxnet as mx
import pytest
from gluonnlp.data import registry as dataset_registry
from gluonnlp.data import utils as vocabulary_registry
from mxnet.gluon.model_zoo import model_store

import gluonnlp_snli_plugin
from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.data import truncation
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.tasks.corpora.xnli import LANGUAGES
from gluonnlp_snli_plugin.tasks.snli import SNLI, SNLITask


@pytest.fixture
def deactivated():
    gluonnlp_snli_plugin.deactivate()
    yield
    gluonnlp_snli_plugin.activate()


def _host_state():
    """Everything of the host that the plugin touches, by identity."""
    return {
        "functions": [
            nlp.data.get_task,
            nlp.data.classification.get_task,
            nlp.model.get_model,
            nlp.model.bert.get_bert_model,
            nlp.data.transforms.SentencepieceTokenizer.__call__,
            mx.gluon.HybridBlock.export,
            mx.gluon.Trainer._init_params,
        ],
        "tables": [
            {key: id(value) for key, value in table.items()}
            for table in (
                mx.registry._REGISTRY[mx.gluon.data.Dataset],
                dataset_registry._REGSITRY_NAME_KWARGS,
                vocabulary_registry._vocab_sha1,
                model_store._model_sha1,
                nlp.model.bert.bert_hparams,
            )
        ],
        "registries": list(mx.registry._REGISTRY),
    }


def test_the_dataset_is_listed_and_created_by_name(shared_data):
    assert nlp.data.list_datasets("SNLI") == {"segment": ["train", "dev", "test"]}
    assert "snli" in nlp.data.list_datasets()
    dataset = nlp.data.create("SNLI", segment="dev", root=str(shared_data / "snli_format"))
    assert isinstance(dataset, SNLI) and len(dataset) == 10


def test_the_task_is_found_under_both_of_gluonnlps_functions():
    assert nlp.data.get_task is nlp.data.classification.get_task
    assert isinstance(nlp.data.get_task("SNLI"), SNLITask)
    assert isinstance(nlp.data.classification.get_task("snli"), SNLITask)
    assert nlp.data.get_task("SNLI") is not nlp.data.get_task("SNLI")


def test_gluonnlps_own_tasks_and_models_are_as_before():
    assert type(nlp.data.get_task("MRPC")).__name__ == "MRPCTask"
    with pytest.raises(ValueError, match="mrpc[^$]*snli"):
        nlp.data.get_task("no such task")
    with pytest.raises(ValueError, match="bert_12_768_12[^$]*snli_bert_classifier"):
        nlp.model.get_model("no_such_model")


def test_deactivating_restores_the_very_same_objects(tiny_name, deactivated):
    before = _host_state()
    gluonnlp_snli_plugin.activate()
    active = _host_state()
    assert all(new is not old for new, old in zip(active["functions"], before["functions"]))
    assert f"bert_2_16_2_{tiny_name}" in model_store._model_sha1
    gluonnlp_snli_plugin.deactivate()
    assert _host_state() == before
    assert all(function.__module__.startswith(("gluonnlp.", "mxnet.")) for function in before["functions"])
    assert "snli" not in nlp.data.list_datasets()
    assert f"bert_2_16_2_{tiny_name}" not in model_store._model_sha1


def test_what_is_looked_up_while_active_is_taken_out_too(tiny_name, deactivated):
    before = _host_state()
    gluonnlp_snli_plugin.activate()
    vocab = nlp.vocab.BERTVocab(nlp.data.count_tokens(["a"]))
    nlp.model.get_model("bert_1_24_3", vocab=vocab, pretrained=False)
    assert "bert_1_24_3" in nlp.model.bert.bert_hparams
    gluonnlp_snli_plugin.deactivate()
    assert _host_state() == before


def test_activating_twice_registers_once_and_warns_of_nothing():
    before = _host_state()
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        gluonnlp_snli_plugin.activate()
        gluonnlp_snli_plugin.activate()
    assert _host_state() == before


@pytest.fixture
def catalogues(monkeypatch):
    """What a test registers is forgotten after it."""
    for catalogue in (registry.dataset, registry.task, registry.model, registry.truncation):
        monkeypatch.setattr(catalogue, "_entries", dict(catalogue._entries))
    yield
    gluonnlp_snli_plugin.deactivate()
    monkeypatch.undo()
    gluonnlp_snli_plugin.activate()


def _register_one_of_each():
    @registry.dataset("Mine", segment=["all"])
    class MyPairs(mx.gluon.data.SimpleDataset):
        pass

    @registry.task("Mine")
    class MyTask:
        pass

    @registry.model("my_classifier")
    def my_classifier(**kwargs):
        return "mine", kwargs

    @registry.truncation("first_words")
    class FirstWords(truncation.Truncation):
        pass

    return MyPairs, MyTask, FirstWords


def test_what_is_registered_after_the_import_is_active_at_once_and_deactivating_takes_it_out(deactivated, catalogues):
    before = _host_state()
    gluonnlp_snli_plugin.activate()
    pairs, task, words = _register_one_of_each()
    assert nlp.data.list_datasets("mine") == {"segment": ["all"]}
    assert type(nlp.data.create("Mine", data=["a row"])) is pairs
    assert type(nlp.data.get_task("mine")) is task
    assert nlp.model.get_model("My_Classifier", root="D") == ("mine", {"root": "D"})
    assert type(truncation.create("first_words")) is words
    gluonnlp_snli_plugin.deactivate()
    assert _host_state() == before
    gluonnlp_snli_plugin.activate()
    assert type(nlp.data.get_task("mine")) is task


def test_a_name_that_is_registered_again_means_the_new_thing(catalogues):
    registry.task("snli")(lambda: "another")
    assert nlp.data.get_task("SNLI") == "another"
    registry.model("bert_12_768_12")(lambda: "another")
    assert nlp.model.get_model("bert_12_768_12") == "another"


def test_a_name_that_is_not_registered_is_an_error_that_lists_those_that_are(catalogues):
    registry.task("Mine")(object)
    assert "mine" in registry.task and registry.task["MINE"] is object
    with pytest.raises(UsageError, match="^no task 'Yours'; there are: ANLI, .*Mine, .*SNLI"):
        registry.task["Yours"]


def test_a_host_function_has_one_replacement():
    with pytest.raises(ValueError, match=r"gluonnlp.model.get_model is replaced already, by .*registry"):
        registry.replacement("gluonnlp.model", "get_model")(lambda original: original)


def test_every_kind_of_thing_has_explicit_names():
    corpora = "ANLI ANLI-R1 ANLI-R2 ANLI-R3 HANS MultiNLI OCNLI SICK SNLI SciTail e-SNLI".split()
    corpora += [f"XNLI-{language}" for language in LANGUAGES]
    assert registry.names() == {
        "datasets": sorted(corpora),
        "tasks": sorted([*corpora, "MNLI", "MRPC", "QNLI", "QQP", "RTE", "WNLI"]),
        "models": ["bert_2_256_4", "bert_6_384_12", "snli_bert_classifier"],
        "truncations": ["equal", "longest_first", "only_first", "only_second", "ratio"],
        "heads": ["mean", "mlp", "pooled", "roberta"],
        "formats": ["gluonnlp", "huggingface", "model", "onnx", "symbol"],
    }


def test_a_fresh_process_needs_nothing_but_the_import():
    lines = """
import gluonnlp as nlp, gluonnlp_snli_plugin
nlp.data.list_datasets('SNLI'); nlp.data.get_task('SNLI'); nlp.data.classification.get_task('SNLI')
print(sorted(set(nlp.model.bert.bert_hparams) & {'bert_2_256_4', 'bert_6_384_12'}))
"""
    done = subprocess.run(
        [sys.executable, "-W", "error::UserWarning", "-c", lines], stdout=subprocess.PIPE, timeout=600
    )
    assert done.returncode == 0 and done.stdout.decode().strip() == "['bert_2_256_4', 'bert_6_384_12']"
