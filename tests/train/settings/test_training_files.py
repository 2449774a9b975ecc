"""What ``--train-file`` names: several files, of other tasks too, with a share of each."""

from pathlib import Path

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig
from gluonnlp_snli_plugin.train.settings.training_files import TrainingFile, exactly, split_path, training_file


@pytest.mark.parametrize(
    "text, expected",
    [
        ("a.jsonl", ("", "a.jsonl", 1, False)),
        ("a.jsonl=0.5", ("", "a.jsonl", 0.5, False)),
        ("a.jsonl=2", ("", "a.jsonl", 2, False)),
        ("a=0.5=1", ("", "a=0.5", 1, False)),
        ("a=half", ("", "a=half", 1, False)),
        ("=0.5", ("", "=0.5", 1, False)),
        ("ANLI:a.jsonl", ("ANLI", "a.jsonl", 1, False)),
        ("anli:R1/train.jsonl=1e-1", ("anli", "R1/train.jsonl", 0.1, False)),
        ("MultiNLI:train=0.5", ("MultiNLI", "train", 0.5, True)),
        ("XNLI-de:dev", ("XNLI-de", "dev", 1, True)),
        ("MultiNLI:./train", ("MultiNLI", "./train", 1, False)),
        ("MultiNLI:dev", ("MultiNLI", "dev", 1, False)),  # there are dev_matched and dev_mismatched
        ("2024-01-01T10:00.jsonl", ("", "2024-01-01T10:00.jsonl", 1, False)),
        ("./SNLI:train", ("", "./SNLI:train", 1, False)),
    ],
)
def test_a_value_names_a_task_a_file_or_segment_and_a_share(text, expected):
    assert training_file(text) == TrainingFile(*expected)


@pytest.mark.parametrize("path", ["a.jsonl", "a=0.5", "SNLI:train", "b/SNLI:x=3", "a=half", "=1"])
def test_every_name_of_a_file_can_be_written(path):
    found = training_file(exactly(path))
    assert (found.task, found.share, found.is_corpus) == ("", 1, False)
    assert Path(found.place) == Path(path)


@given(st.text(min_size=1).filter(lambda text: "\0" not in text))
@example("SNLI:1=2")
@example("a= 1 ")
@settings(max_examples=200)
def test_any_text_names_something_and_can_be_written_as_a_name(text):
    found = training_file(text)
    assert found.place and split_path(text)[1] in ("", found.place)
    named = training_file(exactly(text))
    assert Path(named.place) == Path(text) and (named.task, named.share) == ("", 1)


@pytest.mark.parametrize("text", ["a.jsonl", "a.jsonl=0.50", "ANLI:a.jsonl=2", "MultiNLI:train=0.5", "SNLI:train"])
def test_the_path_in_a_value_can_be_replaced(text):
    before, path, after = split_path(text)
    assert before + path + after == text
    assert path == ("" if ":train" in text else "a.jsonl")


@pytest.mark.parametrize(
    "given, expected",
    [
        ("a.jsonl=0.5", ("a.jsonl=0.5",)),
        (Path("a=0.5"), ("a=0.5=1",)),
        (["a.jsonl", Path("b.jsonl")], ("a.jsonl", "b.jsonl")),
        ({"a.jsonl": 1, "MultiNLI:train": 0.5}, ("a.jsonl=1.0", "MultiNLI:train=0.5")),
        ({Path("a=2"): 3, Path("SNLI:x"): 1}, ("a=2=3.0", "./SNLI:x=1.0")),
        (None, ()),
    ],
)
def test_python_takes_a_file_a_list_or_shares(given, expected):
    assert FinetuneConfig.typed({"train_file": given})["train_file"] == expected


def test_a_path_with_a_share_of_its_own_is_read_back_as_it_was_given():
    (text,) = FinetuneConfig.typed({"train_file": {Path("a=2"): 3}})["train_file"]
    assert training_file(text) == TrainingFile("", "a=2", 3, False)


def _config(**options):
    return FinetuneConfig.of(**{"output_dir": "out", "dev_file": "dev.jsonl", **options})


@pytest.mark.parametrize(
    "options, told",
    [
        ({"train_file": "a=0"}, "--train-file a=0: the share must be above 0 and at most 1000, not 0$"),
        ({"train_file": "a=-0.5"}, "the share must be above 0 and at most 1000, not -0.5"),
        ({"train_file": ["a", "b=nan"]}, "--train-file b=nan: the share must be above 0"),
        ({"train_file": "a=1e9"}, "at most 1000, not 1e9"),
        ({"train_file": {"a": "half"}}, "--train-file a: the share is 'half'; it must be a number, such as 0.5"),
        ({"train_file": {"a": True}}, "the share is True"),
        ({"train_file": [1]}, "--train-file names 1, which is not a path"),
        ({"train_file": 1}, "--train-file is 1; it must be a file, or a list of files"),
        ({"train_file": ""}, "--train-file is empty: name a file"),
        ({"train_file": []}, r"--train-file is \[\]: name a file, or omit it"),
        ({"train_file": {}}, r"--train-file is {}: name a file, or omit it"),
        ({"train_file": "a", "test_file": []}, r"--test-file is \[\]: name a file, or omit it"),
        ({"train_file": ["a", "./a"]}, "--train-file names ./a twice; to take its pairs twice, write ./a=2"),
        ({"train_file": ["a=0.5", "a=0.5"]}, "--train-file names a twice"),
        ({"train_file": ["SNLI:train", "SNLI:train"]}, "--train-file names SNLI:train twice"),
        ({"train_file": "{tmp}/is=half"}, "is=half: the share 'half' is not a number; write .*/is=0.5"),
        (
            {"train_file": "{tmp}/x=0.5"},
            "means the file .*/x, which is missing; for the file .*/x=0.5 write .*/x=0.5=1",
        ),
        ({"train_file": ["SNLI:train", "a"], "dev_file": None}, "--train-file and --dev-file go together"),
        ({"train_file": "MutliNLI:train", "dev_file": None}, "no task 'MutliNLI'; there are: .*MultiNLI"),
        (
            {"train_file": "SNLI:trian", "dev_file": None},
            "--train-file SNLI:trian: there is no file trian, and SNLI has no segment of that name; there are train, "
            "dev, test",
        ),
        ({"train_file": "SNLI:a.jsonl", "dev_file": None}, "--train-file and --dev-file go together"),
        ({"train_file": "a", "corpus_root": "d"}, "--corpus-root is for corpora, and only files are given: omit it, "),
        ({"train_file": "SNLI:a.jsonl", "corpus_root": "d"}, "--corpus-root is for corpora, and only files are given"),
        (
            {"train_file": ["a", "HANS:train"]},
            "--train-file HANS:train: HANS has the classes entailment, non-entailment, this run has entailment, "
            "contradiction, neutral; only files with the same classes are mixed",
        ),
        ({"train_file": ["a", "SNLI:b.jsonl"], "labels": "yes,no"}, "SNLI has the classes .*, this run has yes, no"),
        ({"corpus_root": "d", "snli_root": "e", "dev_file": None}, "the same setting: omit snli_root"),
    ],
)
def test_what_makes_no_sense_is_one_line(options, told, tmp_path):
    for name in ("is", "x=0.5"):
        (tmp_path / name).write_text("")
    if isinstance(options.get("train_file"), str):
        options = {**options, "train_file": options["train_file"].replace("{tmp}", str(tmp_path))}
    with pytest.raises(UsageError, match=told) as refused:
        _config(**options)
    assert "\n" not in str(refused.value)


def test_corpora_alone_need_no_files_and_may_have_a_folder():
    config = _config(train_file=["SNLI:train", "MultiNLI:train=0.5"], dev_file=None, corpus_root="corpora")
    assert [str(file) for file in config.training_files] == ["SNLI:train", "MultiNLI:train"]
    assert (config.dev_file, config.corpus_root) == ((), "corpora")
    with_files = _config(train_file=["SNLI:train", "a"], corpus_root="corpora")
    assert [file.is_corpus for file in with_files.training_files] == [True, False]


def test_the_old_name_of_the_folder_is_understood():
    assert _config(snli_root="d", dev_file=None).corpus_root == "d"


def test_a_record_of_one_file_means_the_file_of_exactly_that_name():
    recorded = {"train_file": "SNLI:train=2", "dev_file": "SNLI:dev.jsonl", "test_file": None}
    assert FinetuneConfig.upgraded(recorded) == {
        "train_file": ["./SNLI:train=2=1"],
        "dev_file": ["./SNLI:dev.jsonl"],
        "test_file": [],
    }
    assert FinetuneConfig.upgraded({"dev_file": ["SNLI:dev"], "test_file": "t.jsonl"})["dev_file"] == ["SNLI:dev"]


def test_a_task_with_the_classes_in_another_order_is_one_with_the_same_classes():
    assert _config(train_file=["a", "MNLI:b.tsv"]).training_files[1].task == "MNLI"


def test_the_command_line_takes_values_after_one_option_or_after_several():
    import argparse

    from gluonnlp_snli_plugin.cli.commands import finetune

    parser = argparse.ArgumentParser()
    finetune.add_arguments(parser)
    for words in (
        ["--train-file", "a", "b=0.5", "SNLI:c"],
        ["--train-file", "a", "--train-file", "b=0.5", "--train-file", "SNLI:c"],
        ["--train-file", "a", "b=0.5", "--train-file=SNLI:c"],
    ):
        assert parser.parse_args(words).train_file == ["a", "b=0.5", "SNLI:c"]
    config = _config(train_file=["-a", "b=0.5"])
    words = config.command_line()[2:]
    assert parser.parse_args(words).train_file == ["-a", "b=0.5"]
    words = _config(train_file=["a", "b=0.5"]).command_line()
    place = words.index("--train-file")
    assert words[place + 1 : place + 4] == ["a", "b=0.5", "--dev-file"]
