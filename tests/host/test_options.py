"""The options of a script accept what the plugin registered, and nothing else changes."""

import argparse

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import registry
from gluonnlp_snli_plugin.host.options import extend_options, extended

# As the options of GluonNLP's finetune_classifier.py have them.
TASKS = "MRPC QQP QNLI RTE STS-B CoLA MNLI WNLI SST XNLI LCQMC ChnSentiCorp".split()
ARCHITECTURES = ["bert_12_768_12", "bert_24_1024_16", "roberta_12_768_12", "roberta_24_1024_16"]
DATASETS = ["book_corpus_wiki_en_uncased", "book_corpus_wiki_en_cased", "wiki_cn_cased"]


@pytest.fixture
def changes():
    changes = registry.Changes()
    yield changes
    changes.undo()


@pytest.fixture
def parser(changes):
    extend_options(changes)
    return argparse.ArgumentParser(prog="script.py")


def test_tasks_come_after_those_of_the_script():
    after = extended(TASKS)
    assert after == [*TASKS, *(name for name in registry.names()["tasks"] if name not in TASKS)]
    assert {"SNLI", "MultiNLI", "XNLI-de"} < set(after) and len(set(after)) == len(after)


@pytest.mark.parametrize("name", "MRPC QQP QNLI RTE STS-B CoLA MNLI WNLI SST XNLI".split())
def test_each_task_of_gluonnlp_tells_that_tasks_are_chosen(name):
    assert type(nlp.data.get_task(name)).__module__.startswith("gluonnlp.")
    assert extended([name])[0] == name and "SNLI" in extended([name])


@pytest.mark.parametrize("choices", [["SNLI", "MRPC"], ["bert_2_256_4", "bert_12_768_12"]])
def test_what_the_script_has_already_comes_only_once(choices):
    after = extended(choices)
    assert after[:2] == choices and len(set(after)) == len(after)


def test_architectures_come_after_those_of_the_script():
    after = extended(ARCHITECTURES)
    assert after[:4] == ARCHITECTURES and {"bert_2_256_4", "bert_6_384_12"} < set(after)
    assert all(name.startswith(("bert_", "roberta_")) for name in after[4:])


@pytest.mark.parametrize("name", ["bert_3_12_4", "bert_48_1600_25", "roberta_1_1_1", *ARCHITECTURES])
def test_every_shape_of_the_scripts_families_is_an_architecture(name):
    assert name in extended(ARCHITECTURES)


@pytest.mark.parametrize(
    "name", ["bert_3_13_4", "bert_0_12_4", "bert_3_12", "albert_3_12_4", "distilbert_3_12_4", "SNLI", "", None, 12]
)
def test_other_names_are_not_architectures(name):
    assert name not in extended(ARCHITECTURES)


def test_a_script_that_takes_only_roberta_is_offered_no_other():
    after = extended(["roberta_12_768_12"])
    assert "roberta_3_12_4" in after and "bert_3_12_4" not in after and "bert_2_256_4" not in after


@pytest.mark.parametrize("choices", [TASKS, DATASETS])
def test_a_bert_shape_is_nothing_else(choices):
    assert "bert_3_12_4" not in extended(choices)


def test_names_of_the_store_are_datasets(tiny_name):
    after = extended(DATASETS)
    assert after[:3] == DATASETS and tiny_name in after[3:] and len(set(after)) == len(after)


@pytest.mark.parametrize("choices", [["adam", "sgd"], ("a", "b"), [], [0, 1, None], ["float16", "float32"]])
def test_other_choices_are_left_alone(choices):
    assert extended(choices) is choices


def test_a_parser_accepts_what_is_registered(parser, tiny_name):
    parser.add_argument("--task_name", type=str, choices=TASKS)
    parser.add_argument("--bert_model", choices=tuple(ARCHITECTURES), default="bert_12_768_12")
    parser.add_argument("--bert_dataset", choices=DATASETS, default=DATASETS[0])
    given = parser.parse_args(["--task_name", "SNLI", "--bert_model", "bert_2_16_2", "--bert_dataset", tiny_name])
    assert (given.task_name, given.bert_model, given.bert_dataset) == ("SNLI", "bert_2_16_2", tiny_name)
    default = parser.parse_args([])
    assert (default.task_name, default.bert_model, default.bert_dataset) == (None, "bert_12_768_12", DATASETS[0])


def _group(parser):
    return parser.add_argument_group("what to learn")


def _either(parser):
    return parser.add_mutually_exclusive_group()


def _either_in_a_group(parser):
    return parser.add_argument_group("what to learn").add_mutually_exclusive_group(required=True)


def _command(parser):
    return parser.add_subparsers().add_parser("train")


@pytest.mark.parametrize("part", [lambda parser: parser, _group, _either, _either_in_a_group])
def test_every_part_of_a_parser_knows_snli_and_shows_it(parser, part):
    part(parser).add_argument("--task", choices=TASKS)
    assert parser.parse_args(["--task", "SNLI"]).task == "SNLI"
    assert ",".join(extended(TASKS)) in "".join(parser.format_help().split())


def test_a_subcommand_knows_snli(parser):
    _command(parser).add_argument("task", choices=TASKS)
    assert parser.parse_args(["train", "SNLI"]).task == "SNLI"


def test_several_values_are_each_accepted(parser):
    parser.add_argument("--tasks", nargs="+", choices=TASKS)
    assert parser.parse_args(["--tasks", "MRPC", "SNLI"]).tasks == ["MRPC", "SNLI"]


@pytest.mark.parametrize("arguments", [["--task", "SNLJ"], ["--model", "bert_3_13_4"], ["--model", "SNLI"]])
def test_what_is_nowhere_is_refused_as_ever(parser, capsys, arguments):
    parser.add_argument("--task", choices=TASKS)
    parser.add_argument("--model", choices=ARCHITECTURES)
    with pytest.raises(SystemExit) as end:
        parser.parse_args(arguments)
    assert end.value.code == 2 and f"invalid choice: '{arguments[1]}'" in capsys.readouterr().err


def test_the_scripts_own_list_is_not_written_to(parser):
    own = list(TASKS)
    parser.add_argument("--task", choices=own)
    assert own == TASKS


@pytest.mark.parametrize(
    "names, settings, default",
    [
        (("--gpu",), {"type": int, "default": None}, 3),
        (("--gpus",), {"type": str, "default": "0"}, "3"),
        (("--gpus",), {}, "3"),
        (("-g", "--gpu"), {"type": int}, 3),
        (("--gpu_memory",), {"type": int, "default": 1}, 1),
    ],
)
def test_the_gpu_of_a_rank_is_the_scripts_default(changes, names, settings, default):
    extend_options(changes, gpu=3)
    parser = argparse.ArgumentParser()
    parser.add_argument(*names, dest="it", **settings)
    assert parser.parse_args([]).it == default
    assert str(parser.parse_args([names[-1], "5"]).it) == "5"


def test_gpu_0_is_a_gpu(changes):
    extend_options(changes, gpu=0)
    parser = argparse.ArgumentParser()
    parser.add_argument("--gpu", type=int)
    assert parser.parse_args([]).gpu == 0


def test_without_gpus_the_scripts_default_stays(parser):
    parser.add_argument("--gpu", type=int, default=None)
    parser.add_argument("--gpus", default="0")
    assert vars(parser.parse_args([])) == {"gpu": None, "gpus": "0"}


def test_it_is_undone_to_the_letter():
    original = argparse._ActionsContainer.add_argument
    changes = registry.Changes()
    extend_options(changes, gpu=1)
    assert argparse._ActionsContainer.add_argument is not original
    changes.undo()
    assert argparse._ActionsContainer.add_argument is original
    parser = argparse.ArgumentParser()
    assert parser.add_argument("--task", choices=TASKS).choices is TASKS
    assert parser.add_argument("--gpu").default is None
