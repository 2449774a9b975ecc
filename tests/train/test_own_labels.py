"""Classes of the user's own, named by ``--labels``: from training to every place where their names are shown."""

import json
import re
import subprocess
import urllib.request

import pytest

from gluonnlp_snli_plugin import Predictor, evaluate, finetune
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.errors import DataError, Stopped, UsageError
from gluonnlp_snli_plugin.evaluate.predictions import read_predictions
from gluonnlp_snli_plugin.formats import export
from gluonnlp_snli_plugin.formats.model_folder import load_model
from gluonnlp_snli_plugin.train.settings.finetune_config import FinetuneConfig

CLASSES = ("supports", "refutes", "not enough info")
PAIR = ("The man is sleeping.", "a man is sleeping")


@pytest.fixture(scope="module")
def claims(pairs_file, tmp_path_factory):
    """The pairs of the tests with labels of other names, in several spellings: a file for each."""
    folder = tmp_path_factory.mktemp("claims")
    rows = [json.loads(line) for line in pairs_file.read_text().splitlines()]
    spellings = {
        "names": ("SUPPORTS", "Refutes", "not enough info"),
        "numbers": (2, 0, 1),
        "codes": ("S", "R", "NEI"),
    }
    for name, labels in spellings.items():
        named = dict(zip(("entailment", "contradiction", "neutral"), labels))
        lines = [{"evidence": r["sentence1"], "claim": r["sentence2"], "label": named[r["gold_label"]]} for r in rows]
        (folder / f"{name}.jsonl").write_text("\n".join(map(json.dumps, lines)) + "\n")
    return folder


@pytest.fixture(scope="module")
def train(claims, tiny_name, tmp_path_factory):
    """Fine-tune the tiny BERT on one of the files; returns (summary, folder)."""

    def start(file="names", **options):
        folder = tmp_path_factory.mktemp("own-labels") / "out"
        files = {"train_file": claims / f"{file}.jsonl", "dev_file": claims / f"{file}.jsonl"}
        settings = {"max_len": 32, "lr": 3e-3, "epochs": 12, "batch_size": 16, "seed": 1, "head": "pooled"}
        given = {"dataset_name": tiny_name, "output_dir": folder, **files, **settings, **options}
        return finetune(**given), folder

    return start


@pytest.fixture(scope="module")
def run(train):
    return train(labels=list(CLASSES))


def test_the_model_learns_the_classes_in_the_order_in_which_they_are_named(run):
    summary, folder = run
    assert summary["dev_accuracy"] > 0.9
    assert (load_model(folder).settings.labels, load_model(folder).settings.task) == (CLASSES, "")
    config = json.loads((folder / "config.json").read_text())
    assert config["settings"]["labels"] == "supports,refutes,not enough info"
    assert config["repeat"][config["repeat"].index("--labels") + 1] == "supports,refutes,not enough info"


def test_scores_predictions_and_report_name_them_without_another_option(run, claims, capsys):
    summary, folder = run
    scores = evaluate(folder, claims / "names.jsonl")
    assert scores.labels == CLASSES and scores.accuracy == pytest.approx(summary["dev_accuracy"])
    assert main(["evaluate", str(folder), "--file", str(claims / "names.jsonl")]) == 0
    assert re.search(r"not enough info +\d\.\d{4}", capsys.readouterr().out)
    assert read_predictions(folder, "dev").pairs.labels == CLASSES
    page = (folder / "report.html").read_text(encoding="utf-8")
    assert '<th scope="row">not enough info</th>' in page and "natural language inference" not in page


def test_predict_knows_them_in_a_file(run, claims, capsys):
    spelt = ["--file", str(claims / "numbers.jsonl"), "--labels", "2=supports,0=refutes,1=not enough info"]
    assert main(["predict", str(run[1]), *spelt]) == 0
    answers = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert len(answers) == 120 and set(answers[0]["probabilities"]) == set(CLASSES)


def test_an_explanation_is_of_a_class_by_its_name(run):
    predictor = Predictor.load(run[1])
    (prediction,) = predictor([PAIR])
    assert list(prediction.probabilities) == list(CLASSES)
    assert predictor.explain(*PAIR, label="not enough info").label == "not enough info"


def test_the_service_answers_with_them(run, program):
    pytest.importorskip("uvicorn")
    words = [*program, "serve", str(run[1]), "--port", "0"]
    with subprocess.Popen(words, stderr=subprocess.PIPE, text=True) as service:
        try:
            address = next(found[0] for found in (re.search(r"http://[^/]+", line) for line in service.stderr) if found)
            body = json.dumps({"premise": PAIR[0], "hypothesis": PAIR[1]}).encode()
            request = urllib.request.Request(f"{address}/predict", body, {"Content-Type": "application/json"})
            with urllib.request.urlopen(request, timeout=600) as answer:
                assert set(json.load(answer)["probabilities"]) == set(CLASSES)
            with urllib.request.urlopen(address, timeout=600) as page:
                assert "not enough info" in page.read().decode()
        finally:
            service.terminate()


@pytest.mark.parametrize("format", ["onnx", "huggingface", "model"])
def test_an_export_that_is_read_back_names_them(run, claims, tmp_path, format):
    if format == "onnx":
        pytest.importorskip("onnxruntime")
    export(run[1], format, tmp_path / "to", claims / "names.jsonl")
    predictor = Predictor.load(tmp_path / "to")
    assert predictor.labels == CLASSES
    assert evaluate(predictor, claims / "names.jsonl").accuracy == pytest.approx(run[0]["dev_accuracy"])


def test_an_export_for_other_programs_names_them(run, claims, tmp_path):
    export(run[1], "symbol", tmp_path / "symbol", claims / "names.jsonl")
    assert json.loads((tmp_path / "symbol" / "settings.json").read_text())["labels"] == list(CLASSES)
    export(run[1], "huggingface", tmp_path / "hf", claims / "names.jsonl")
    config = json.loads((tmp_path / "hf" / "config.json").read_text())
    assert list(config["id2label"].values()) == list(CLASSES)
    card = (tmp_path / "hf" / "README.md").read_text()
    assert "supports, refutes, not enough info" in card and "language-inference" not in card


def test_gluonnlps_file_comes_with_code_that_loads_it_for_these_classes(run, claims, tmp_path, monkeypatch):
    export(run[1], "gluonnlp", tmp_path / "to", claims / "names.jsonl")
    readme = (tmp_path / "to" / "README.md").read_text()
    assert "--task_name" not in readme  # the script has no such task
    code = re.search("```python\n(.*?)```", readme, re.DOTALL)[1].replace("NAME_", "own_labels_")
    monkeypatch.chdir(tmp_path / "to")
    found = {}
    exec(code, found)
    assert found["labels"] == list(CLASSES)
    assert found["net"].classifier[1].weight.shape == (3, 16)


@pytest.mark.parametrize(
    "file, labels",
    [
        ("numbers", {"2": "supports", "0": "refutes", "1": "not enough info"}),
        ("codes", "s=supports,r=refutes,nei=not enough info"),
    ],
)
def test_classes_and_spellings_together_give_the_same_model(run, train, claims, file, labels):
    summary, folder = train(file, classes=CLASSES, labels=labels)
    assert summary["dev_accuracy"] == run[0]["dev_accuracy"]
    assert load_model(folder).settings.labels == CLASSES
    with pytest.raises(DataError, match="unknown label"):
        evaluate(folder, claims / f"{file}.jsonl")
    assert evaluate(folder, claims / f"{file}.jsonl", labels=labels).accuracy == summary["dev_accuracy"]


def test_a_resumed_run_has_them(train, run, tmp_path):
    folder = tmp_path / "broken"
    with pytest.raises(Stopped):
        train(labels=",".join(CLASSES), max_seconds=1e-9, output_dir=folder)
    assert finetune(resume=str(folder), max_seconds=0)["dev_accuracy"] == run[0]["dev_accuracy"]
    assert load_model(folder).settings.labels == CLASSES


def test_classes_of_the_task_keep_its_spellings_and_get_the_order_in_which_they_are_named(pairs_file):
    labels = ["neutral", "entailment", "contradiction"]
    config = FinetuneConfig.of(labels=labels, train_file=pairs_file, dev_file=pairs_file, output_dir="out")
    assert config.schema.labels == tuple(labels) and config.schema.label_alias["e"] == "entailment"


def test_two_classes_are_enough_and_a_comma_in_a_name_is_quoted(train, tmp_path):
    rows = [{"premise": "a man", "hypothesis": f"a {w}", "label": w} for w in ("dog", "no, cat")] * 8
    (tmp_path / "pairs.jsonl").write_text("\n".join(map(json.dumps, rows)) + "\n")
    file = str(tmp_path / "pairs.jsonl")
    _, folder = train(labels='dog,"no, cat"', train_file=file, dev_file=file, epochs=1)
    assert load_model(folder).settings.labels == ("dog", "no, cat")


def test_a_label_that_is_not_named_is_an_error_that_lists_those_that_are(train):
    with pytest.raises(DataError, match=r"names.jsonl, line 3: unknown label 'not enough info'; expected one of "
                       r"supports, refutes, or - for none"):  # fmt: skip
        train(labels="supports,refutes")


def test_a_class_without_a_pair_to_train_on_is_told(train):
    with pytest.raises(DataError, match="names.jsonl: no pair has the label disputed"):
        train(labels=[*CLASSES, "disputed"])


FILES = {"train_file": "a.jsonl", "dev_file": "a.jsonl"}


@pytest.mark.parametrize(
    "options, told",
    [
        ({"labels": "0=yes,no"}, "--labels mixes names .'no'. and assignments .'0=yes'.; write --labels NAME,NAME,..."),
        ({"labels": "yes"}, "--labels names one class, 'yes'; a classifier needs at least 2 .spellings are"),
        ({"classes": "yes", "labels": "0=yes"}, "--classes names one class, 'yes'; a classifier needs at least 2$"),
        ({"labels": "yes,no,Yes"}, "--labels names a class twice"),
        ({"labels": "yes,,no"}, "--labels yes,,no: a name is empty"),
        ({"labels": ["yes", "n\x1bo"]}, r"--labels has a name that cannot be printed, \('yes', 'n\\x1bo'\)"),
        ({"labels": "yes,-"}, r"--labels names a class as files mark a pair without label \(-, -1\)"),
        ({"labels": "yes,no", "train_file": None, "dev_file": None}, "no corpus with the classes yes, no: give"),
        ({"labels": "yes,no", "task": "Other"}, "--task Other has classes of its own: omit --task"),
        ({"labels": '"yes'}, '--labels "yes: unexpected end of data; write --labels NAME'),
        ({"classes": "yes,no"}, "--classes goes with --labels SPELLING=CLASS,...; where files spell the classes"),
        ({"classes": "yes,no", "labels": "yes,no"}, "--labels and --classes both name classes: omit --classes"),
        ({"classes": "0=yes", "labels": "0=yes"}, "--classes names classes: write --classes NAME,NAME,..."),
        ({"classes": "yes,no", "labels": "0=maybe"}, "there is no class 'maybe', only no, yes$"),
        ({"labels": "0=yes,1=no"}, "no class 'yes', only con.* .--classes NAME,NAME,... names classes of your"),
        ({"classes": "yes,yes", "labels": "0=yes"}, "--classes names a class twice"),
    ],
)  # fmt: skip
def test_what_makes_no_sense_is_one_line(options, told):
    with pytest.raises(UsageError, match=told) as refused:
        FinetuneConfig.of(**{"output_dir": "out", **FILES, **options})
    assert "\n" not in str(refused.value)


def test_the_command_line_of_own_classes_makes_the_same_settings():
    config = FinetuneConfig.of(labels={"0": "a, b", "1": "c"}, classes=["a, b", "c"], output_dir="out", **FILES)
    words = config.command_line()
    assert words[words.index("--classes") + 1] == '"a, b",c'
    assert words[words.index("--labels") + 1] == '"0=a, b",1=c'
    assert config.own_classes == ("a, b", "c")
