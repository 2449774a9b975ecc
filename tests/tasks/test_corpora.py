"""The corpora by name, from small files of their official layout."""

import csv
import io
import json
import pickle

import gluonnlp as nlp
import pytest

from gluonnlp_snli_plugin import evaluate, finetune, registry
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError
from gluonnlp_snli_plugin.tasks.corpora.xnli import LANGUAGES
from gluonnlp_snli_plugin.tasks.nli import LABELS
from gluonnlp_snli_plugin.tasks.task import find_task

OF_SNLI = ("gold_label", "sentence1", "sentence2")
PARSES = "sentence1_binary_parse sentence2_binary_parse sentence1_parse sentence2_parse".split()
OF_XNLI = ["language", "gold_label", *PARSES, "sentence1", "sentence2", "promptID", "pairID", "genre"]
OF_XNLI += [*(f"label{i}" for i in range(1, 6)), "sentence1_tokenized", "sentence2_tokenized", "match"]
OF_HANS = ["gold_label", *PARSES, "sentence1", "sentence2", "pairID", "heuristic", "subcase", "template"]
OF_SICK = "pair_ID sentence_A sentence_B entailment_label relatedness_score entailment_AB entailment_BA".split()
OF_SICK += "sentence_A_original sentence_B_original sentence_A_dataset sentence_B_dataset SemEval_set".split()
OF_SEMEVAL = "pair_ID sentence_A sentence_B relatedness_score entailment_judgment".split()
OF_ESNLI = "pairID gold_label Sentence1 Sentence2 Explanation_1 Sentence1_marked_1 Sentence2_marked_1".split()
OF_OCNLI = "level sentence1 sentence2 label label0 label1 label2 label3 label4 genre prem_id id".split()


def lines(columns, rows):
    return "".join(json.dumps(dict(zip(columns, row))) + "\n" for row in rows)


def table(columns, rows):
    """A table; columns that a row does not give hold an 'x'."""
    rows = [[row.get(name, "x") for name in columns] for row in rows]
    return "".join("\t".join(row) + "\n" for row in (columns, *rows))


def comma_separated(columns, rows):
    text = io.StringIO(newline="")
    csv.writer(text).writerows([columns, *([row.get(name, "x, y\nz") for name in columns] for row in rows)])
    return text.getvalue()


def pairs(labels, names=OF_SNLI, who="man", **more):
    """Rows of a table, two for each label."""
    label, premise, hypothesis = names
    return [
        {label: spelling, premise: f"the {who} is {what} .", hypothesis: f"{spelling} a {who}", **more}
        for what in ("sleeping", "awake")
        for spelling in labels
    ]


def objects(rows):
    return "".join(json.dumps(row) + "\n" for row in rows)


def of_round(number, segment):
    names = ("label", "context", "hypothesis")
    return objects(pairs("enc", names, f"{segment} {number}", uid="0-1", model_label="n", genre="wikipedia", reason=""))


def multinli(kind):
    rows = {segment: pairs((*LABELS, "-"), who=segment) for segment in ("train", "dev_matched", "dev_mismatched")}
    columns = ["gold_label", *PARSES, "sentence1", "sentence2", "promptID", "pairID", "genre", "label1"]
    return {
        f"multinli_1.0/multinli_1.0_{segment}.{kind}": objects(given) if kind == "jsonl" else table(columns, given)
        for segment, given in rows.items()
    }


def xnli(kind):
    rows = {
        segment: [row for code in ("en", "de", "zh") for row in pairs(LABELS, who=f"{segment} {code}", language=code)]
        for segment in ("dev", "test")
    }
    train = pairs((*LABELS[::2], "contradictory"), ("label", "premise", "hypo"), "train de")
    return {
        "XNLI-MT-1.0/multinli/multinli.train.de.tsv": table(["premise", "hypo", "label"], train),
        **{
            f"XNLI-1.0/xnli.{segment}.{kind}": objects(given) if kind == "jsonl" else table(OF_XNLI, given)
            for segment, given in rows.items()
        },
    }


UPPER = [label.upper() for label in LABELS]
SICK_NAMES = ("entailment_label", "sentence_A", "sentence_B")
SEMEVAL_NAMES = ("entailment_judgment", "sentence_A", "sentence_B")
SICK_SETS = {"TRAIN": "train", "TRIAL": "dev", "TEST": "test"}

# Name of the task, and the files of its corpus in the folder into which archive or repository is unpacked.
LAYOUTS = {
    "MultiNLI": multinli("jsonl"),
    "MultiNLI, tables": multinli("txt"),
    **{
        f"ANLI-R{i}": {f"anli_v1.0/R{i}/{segment}.jsonl": of_round(i, segment) for segment in ("train", "dev", "test")}
        for i in (1, 2, 3)
    },
    "ANLI": {
        f"anli_v1.0/R{i}/{segment}.jsonl": of_round(i, segment)
        for i in (1, 2, 3)
        for segment in ("train", "dev", "test")
    },
    "XNLI-de": xnli("jsonl"),
    "XNLI-de, tables": xnli("tsv"),
    "SICK": {
        "SICK.txt": table(
            OF_SICK,
            [row for chosen, who in SICK_SETS.items() for row in pairs(UPPER, SICK_NAMES, who, SemEval_set=chosen)],
        )
    },
    "SICK, of SemEval": {
        f"SICK_{name}.txt": table(OF_SEMEVAL, pairs(UPPER, SEMEVAL_NAMES, segment))
        for name, segment in (("train", "train"), ("trial", "dev"), ("test_annotated", "test"))
    },
    "SciTail": {
        f"SciTailV1.1/snli_format/scitail_1.0_{segment}.txt": objects(pairs(("entailment", "neutral"), who=segment))
        for segment in ("train", "dev", "test")
    },
    "HANS": {
        f"heuristics_{name}_set.txt": table(OF_HANS, pairs(("entailment", "non-entailment"), who=segment))
        for name, segment in (("train", "train"), ("evaluation", "dev"))
    },
    "e-SNLI": {
        f"dataset/esnli_{name}.csv": comma_separated(
            OF_ESNLI, pairs(LABELS, ("gold_label", "Sentence1", "Sentence2"), name.replace("_", " "))
        )
        for name in ("train_1", "train_2", "dev", "test")
    },
    "OCNLI": {
        f"data/ocnli/{name}.json": objects(
            pairs((*LABELS, "-"), ("label", "sentence1", "sentence2"), segment, label0="")
        )
        for name, segment in (("train.50k", "train"), ("dev", "dev"))
    },
}
every_layout = pytest.mark.parametrize("layout", LAYOUTS)


@pytest.fixture
def place(tmp_path, monkeypatch):
    """Puts the files of a corpus into its default folder, or another; returns the name of the task."""

    def put(layout, folder=None):
        name = layout.partition(",")[0]
        if folder is None:
            monkeypatch.setenv("MXNET_HOME", str(tmp_path / "home"))
            folder = tmp_path / "home" / "datasets" / (find_task(name).folder or name.lower())
        for file, text in LAYOUTS[layout].items():
            path = folder / file
            path.parent.mkdir(parents=True, exist_ok=True)
            path.write_bytes(text.encode())
        return name

    return put


@every_layout
def test_gluonnlp_creates_every_segment_by_name(place, layout):
    name = place(layout)
    segments = nlp.data.list_datasets(name)["segment"]
    assert segments == list(find_task(name).files)
    for segment in segments:
        dataset = nlp.data.create(name, segment=segment)
        num_files = 3 if name == "ANLI" else 2 if (name, segment) == ("e-SNLI", "train") else 1
        labels = list(find_task(name).class_labels)
        assert len(dataset) == 2 * len(labels) * num_files
        assert set(dataset.labels) == set(labels)
        assert all(segment in premise and premise.startswith("the ") for premise in dataset.premises)


@every_layout
def test_gluonnlp_finds_the_task_with_its_segments(place, layout):
    task = nlp.data.get_task(place(layout))
    assert task.is_pair and task.dataset_train()[0] == "train" and len(task.dataset_train()[1][0]) == 3
    dev = task.dataset_dev()
    assert {segment for segment, _ in (dev if isinstance(dev, list) else [dev])} <= {
        "dev",
        "dev_matched",
        "dev_mismatched",
    }
    test = task.dataset_test()
    assert test == [] or all(len(row) == 2 for row in test[1])


@every_layout
def test_fine_tuning_takes_the_task(place, layout, tiny_name, tmp_path, empty_figures):
    name, out = place(layout, tmp_path / "corpus"), tmp_path / "out"
    settings = {"dataset_name": tiny_name, "epochs": 1, "max_len": 32, "batch_size": 4, "no_native": True}
    summary = finetune(task=name, corpus_root=str(tmp_path / "corpus"), output_dir=str(out), **settings)
    task = find_task(name)
    assert summary["dev_accuracy"] >= 0 and ("test_accuracy" in summary) == bool(task.segments("test"))
    recorded = json.loads((out / "config.json").read_text())["data"]
    assert set(recorded) == {"train", "dev", *task.segments("dev")[1:], *task.segments("test")}
    own = [{**row, "gold_label": task.class_labels[0]} for row in pairs("a")]
    (tmp_path / "own.jsonl").write_text(objects(own))
    assert evaluate(out, tmp_path / "own.jsonl").labels == tuple(task.class_labels)


_SCRIPT = """
import argparse
import gluonnlp as nlp
parser = argparse.ArgumentParser()
parser.add_argument("--task_name", choices=["MRPC", "XNLI"])
task = nlp.data.get_task(parser.parse_args().task_name)
print(task.class_labels, len(task.dataset_train()[1]))
"""


@every_layout
def test_a_script_takes_the_task(place, layout, tmp_path, capsys):
    name = place(layout)
    (tmp_path / "script.py").write_text(_SCRIPT)
    assert main(["run", str(tmp_path / "script.py"), "--task_name", name]) == 0
    task = find_task(name)
    assert capsys.readouterr().out == f"{list(task.class_labels)} {len(nlp.data.create(name, segment='train'))}\n"


@every_layout
def test_the_corpus_may_be_in_another_folder(place, layout, tmp_path):
    name = place(layout, tmp_path / "elsewhere")
    assert len(nlp.data.create(name, segment="train", root=str(tmp_path / "elsewhere"))) > 0


@pytest.mark.parametrize("name", sorted({layout.partition(",")[0] for layout in LAYOUTS}))
def test_a_missing_file_is_one_line_that_names_it_and_the_page_of_the_corpus(name, tmp_path):
    task = find_task(name)
    with pytest.raises(DataError, match="is missing: get .* from https://") as info:
        nlp.data.create(name, segment="train", root=str(tmp_path))
    message = str(info.value)
    assert message.startswith(f"{tmp_path}/") and task.page in message and "\n" not in message


def test_all_rounds_of_anli_are_read_in_order(place):
    place("ANLI")
    premises = nlp.data.create("ANLI", segment="test").premises
    assert [premise.split()[2] for premise in premises] == 6 * ["1"] + 6 * ["2"] + 6 * ["3"]
    assert list(nlp.data.create("ANLI-R2", segment="test")) == list(nlp.data.create("ANLI", segment="test"))[6:12]


def test_a_round_of_anli_that_is_missing_is_named(place, tmp_path):
    place("ANLI-R1", tmp_path)
    with pytest.raises(DataError, match="/anli_v1.0/R2/train.jsonl is missing: get ANLI from https"):
        nlp.data.create("ANLI", segment="train", root=str(tmp_path))


def test_xnli_is_a_task_for_each_language_and_gluonnlps_own_stays(place):
    place("XNLI-de")
    assert {f"XNLI-{language}" for language in LANGUAGES} < set(registry.task.names())
    assert len(nlp.data.create("XNLI-zh", segment="dev")) == 6
    assert "xnli" not in registry.task
    assert type(nlp.data.get_task("XNLI")).__module__ == "gluonnlp.data.classification"


def test_hans_reads_three_way_labels_as_two_only_where_it_is_told(tmp_path):
    (tmp_path / "a.tsv").write_text(table(OF_HANS, pairs(LABELS)))
    file = {"segment": "dev", "file": str(tmp_path / "a.tsv")}
    with pytest.raises(DataError, match="unknown gold_label 'contradiction'; expected one of entailment, non-entail"):
        nlp.data.create("HANS", **file)
    meaning = {"contradiction": "non-entailment", "neutral": "non-entailment"}
    labels = nlp.data.create("HANS", labels=meaning, **file).labels
    assert labels[:3] == ["entailment", "non-entailment", "non-entailment"]


@pytest.mark.parametrize("kind", ["datasets", "tasks"])
def test_the_names_are_listed(kind, capsys):
    main(["list", kind])
    names = capsys.readouterr().out.split()
    assert {layout.partition(",")[0] for layout in LAYOUTS} < set(names) and "SNLI" in names


@pytest.mark.parametrize("name", ["ANLI", "ANLI-R1", "XNLI-de", "HANS", "MultiNLI"])
def test_tasks_can_be_pickled(name):
    assert type(pickle.loads(pickle.dumps(find_task(name)))) is type(find_task(name))
