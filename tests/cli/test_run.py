"""``gluonnlp-snli run`` and the options of several ranks, up to where ranks start."""

import argparse
import json
import os

import pytest

from gluonnlp_snli_plugin import host
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.cli import options as cli_options
from gluonnlp_snli_plugin.errors import UsageError
from gluonnlp_snli_plugin.parallel import devices, launch
from gluonnlp_snli_plugin.parallel.place import LAUNCHER, RANK


@pytest.fixture(autouse=True)
def alone(monkeypatch):
    """Nobody has started this process as a rank."""
    for name in list(os.environ):
        if name.startswith(("DMLC_", "HOROVOD_", "OMPI_", "PMI_", "MPI_")) or name == RANK:
            monkeypatch.delenv(name)


@pytest.fixture
def script(tmp_path):
    """Writes a script; returns its path."""

    def write(text):
        path = tmp_path / "script.py"
        path.write_text(text)
        return str(path)

    return write


# Whole commands ------------------------------------------------------------------------------------------------------

_HELP = """
import argparse
import json
parser = argparse.ArgumentParser(description="fine-tunes")
parser.add_argument("--task_name", choices=["MRPC", "QNLI"], help="which of %(choices)s")
parser.parse_args()
"""


def test_the_help_of_a_script_is_its_own_and_has_snli_in_it(command, script):
    done = command("run", script(_HELP), "--help")
    assert done.returncode == 0 and done.stderr == ""
    assert done.stdout.startswith("usage: script.py") and "SNLI" in done.stdout


def test_a_script_that_fails_is_told_by_its_own_lines(command, script):
    path = script("print('so far', flush=True)\nraise ValueError('boom')\n")
    done = command("run", path)
    assert done.returncode == 1 and done.stdout == "so far\n"
    assert done.stderr.splitlines()[:2] == [
        "Traceback (most recent call last):",
        f'  File "{path}", line 2, in <module>',
    ]
    assert done.stderr.endswith("\nValueError: boom\n") and "gluonnlp_snli_plugin" not in done.stderr


# What is refused -----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "arguments, complaint",
    [
        ([], "SCRIPT"),
        (["{tmp}/nowhere.py"], "there is no script {tmp}/nowhere.py"),
        (["--np", "2", "{tmp}/nowhere.py"], "there is no script {tmp}/nowhere.py"),
        (["{tmp}"], "{tmp}: Is a directory"),
        (["{text}"], "{text}, line 1 is not valid Python"),
        (["--np", "0", "{script}"], "--np is 0; it must be at least 1"),
        (["--np", "-2", "{script}"], "--np is -2; it must be at least 1"),
        (["--np", "two", "{script}"], "--np"),
        (["--np", "2", "--gpus", "0", "{script}"], "--np 2 with --gpus 0: each rank needs a device of its own"),
        (["--gpus", "99", "--engine", "mxnet", "{script}"], "MXNet cannot compute on gpu(99)"),
        (["--engine", "xla", "--no-native", "{script}"], "--no-native is about MXNet's operators on CPU"),
        (["--gpus", "0,0", "{script}"], "twice"),
        (["--comm", "dist_sync", "{script}"], "--comm needs several ranks: give --np N too"),
        (["--comm", "horovod", "--np", "1", "{script}"], "--comm needs several ranks: give --np N too"),
        (["--port", "9000", "{script}"], "--port needs several ranks: give --np N too"),
        (["--comm", "mpi", "--np", "2", "{script}"], "mpi"),
        (["--comm", "horovod", "--np", "2", "--engine", "xla", "{script}"], "--comm horovod is for MXNet: "),
        (["--comm", "dist_sync", "--np", "2", "--engine", "xla", "{script}"], "omit it or give --comm jax"),
        (["--comm", "horovod", "--np", "2", "--port", "9000", "{script}"], "--port is for --comm dist_sync and jax"),
        (["--np", "2", "--port", "70000", "{script}"], "--port 70000: "),
        (["--train-file", "{pairs}", "{script}"], "--train-file and --dev-file go together"),
        (["--dev-file", "{pairs}", "{script}"], "--train-file and --dev-file go together"),
        (["--test-file", "{pairs}", "{script}"], "--train-file and --dev-file go together"),
        (
            ["--snli-root", "{tmp}", "--train-file", "{pairs}", "--dev-file", "{pairs}", "{script}"],
            "--corpus-root names all",
        ),
        (["--glue-root", "{tmp}", "--train-file", "{pairs}", "--dev-file", "{pairs}", "{script}"], "--glue-root names"),
        (["--glue-root", "{tmp}", "--corpus-root", "{tmp}", "{script}"], "--glue-root names the files of GLUE's tasks"),
        (["--glue-root", "{tmp}/nowhere", "{script}"], "--glue-root {tmp}/nowhere: there is no such folder"),
        (
            ["--glue-root", "{tmp}", "{script}", "--task_name", "SNLI"],
            "but the script is told --task_name SNLI: omit it",
        ),
        (
            ["--glue-root", "{tmp}", "{script}", "--task_name", "XNLI"],
            "but the script is told --task_name XNLI: omit it",
        ),
        (["--truncation", "none", "{script}"], "none"),
        (["--unknown", "{script}"], "--unknown"),
    ],
)
def test_a_request_that_makes_no_sense_is_one_line_and_status_2(
    capsys, script, pairs_file, tmp_path, arguments, complaint
):
    text = tmp_path / "text.txt"
    text.write_text("This is text.\n")
    filling = {"tmp": tmp_path, "text": text, "pairs": pairs_file, "script": script("print('never')")}
    assert main(["run", *(argument.format(**filling) for argument in arguments)]) == 2
    said = capsys.readouterr()
    assert said.out == "" and said.err.startswith("gluonnlp-snli: error: ") and said.err.count("\n") == 1
    assert complaint.format(**filling) in said.err


def test_a_script_for_another_gluonnlp_is_one_line_and_status_2(capsys, script):
    assert main(["run", script("from gluonnlp.models import get_backbone")]) == 2
    line = capsys.readouterr().err
    assert line.count("\n") == 1 and "not for GluonNLP 0.10" in line and "1.x" in line


# On one rank ---------------------------------------------------------------------------------------------------------


def test_what_follows_the_script_is_the_scripts(capsys, script):
    path = script("import sys; print(sys.argv[1:])")
    arguments = ["--np", "7", "--train-file", "a", "--help", "--", "-x", "--gpus=9"]
    assert main(["run", "--np", "1", path, *arguments]) == 0
    assert capsys.readouterr().out == f"{arguments}\n"


@pytest.mark.parametrize("end, status", [("sys.exit(5)", 5), ("sys.exit('why')", 1), ("pass", 0), ("1 / 0", 1)])
def test_the_status_of_the_script_is_the_commands(capsys, script, end, status):
    assert main(["run", script(f"import sys\n{end}\n")]) == status


def test_a_script_reads_the_files_and_truncates_as_asked(capsys, script, pairs_file):
    path = script(
        "import gluonnlp as nlp\n"
        "from gluonnlp.data.bert.glue import truncate_seqs_equal\n"
        "task = nlp.data.get_task('SNLI')\n"
        "print(*(len(get()[1]) for get in (task.dataset_train, task.dataset_dev, task.dataset_test)))\n"
        "print(*map(len, truncate_seqs_equal([[0] * 9, [0] * 4], 5)))\n"
    )
    files = ["--train-file", str(pairs_file), "--dev-file", str(pairs_file)]
    assert main(["run", *files, "--truncation", "only_first", path]) == 0
    assert capsys.readouterr().out == "120 120 0\n1 4\n"


# On several ranks ----------------------------------------------------------------------------------------------------


@pytest.fixture
def launched(monkeypatch):
    """What would have been launched, as a list of the launcher's arguments."""
    calls = []
    monkeypatch.setattr(launch, "launch", lambda *arguments: calls.append(arguments) or 7)
    monkeypatch.setattr(cli_options, "follow_parent", lambda: calls.append("follows its parent"))
    return calls


def _run_on_ranks(default=1, **options):
    """The status, and the backends that the work was done with in this process."""
    backends = []
    options = argparse.Namespace(**{"np": None, "comm": None, "port": None, "arguments": ["run", "x"], **options})
    status = cli_options.run_on_ranks(options, lambda backend: backends.append(backend) or 5, default)
    return status, backends


@pytest.mark.parametrize("options", [{}, {"np": 1}, {"np": 1, "default": 3}])
def test_a_single_rank_is_this_process(launched, options):
    assert _run_on_ranks(**options) == (5, [None]) and not launched


@pytest.mark.parametrize(
    "options, arguments",
    [
        ({"np": 2}, (2, "dist_sync", None)),
        ({"np": 3, "comm": "horovod"}, (3, "horovod", None)),
        ({"np": 2, "comm": "dist_sync", "port": 9000}, (2, "dist_sync", 9000)),
        ({"default": 4}, (4, "dist_sync", None)),
        ({"default": 4, "np": 2, "comm": "horovod"}, (2, "horovod", None)),
        ({"default": 2, "comm": "horovod"}, (2, "horovod", None)),
    ],
)
def test_several_ranks_are_launched_with_the_whole_command(launched, options, arguments):
    assert _run_on_ranks(**options) == (7, [])
    assert launched == [(["run", "x"], *arguments)]


@pytest.mark.parametrize(
    "options, complaint",
    [
        ({"np": 0}, "--np is 0"),
        ({"np": -1, "comm": "horovod"}, "--np is -1"),
        ({"comm": "horovod"}, "--comm needs several ranks"),
        ({"np": 1, "port": 0}, "--port needs several ranks"),
    ],
)
def test_ranks_that_make_no_sense_are_refused(launched, options, complaint):
    with pytest.raises(UsageError, match=complaint):
        _run_on_ranks(**options)
    assert not launched


@pytest.mark.parametrize(
    "variable, value, backend", [("DMLC_ROLE", "worker", "dist_sync"), ("HOROVOD_RANK", "1", "horovod")]
)
@pytest.mark.parametrize("option", ["np", "comm"])
def test_a_rank_does_its_share_and_follows_its_launcher(launched, monkeypatch, variable, value, backend, option):
    monkeypatch.setenv(variable, value)
    if option == "np":  # as this program's own launcher starts it
        monkeypatch.setenv(LAUNCHER, "1:1")  # whom it follows from its first moment on
    assert _run_on_ranks(**{option: 2 if option == "np" else backend}) == (5, [backend])

    assert launched == ([] if option == "np" else ["follows its parent"])


def test_ranks_are_started_inside_a_job_of_another_launcher(launched, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    assert _run_on_ranks(np=2) == (7, [])


def test_a_process_under_somebodys_mpi_that_asks_for_no_ranks_is_alone(launched, monkeypatch):
    monkeypatch.setenv("PMI_RANK", "0")
    assert _run_on_ranks() == (5, [None]) and not launched


def test_the_command_is_launched_as_it_was_given(launched, script):
    arguments = ["run", "--np", "2", "--comm", "horovod", script("print('never')"), "--epochs", "3"]
    assert main(arguments) == 7
    assert launched == [(arguments, 2, "horovod", None)]


@pytest.fixture
def four_gpus(monkeypatch):
    """As if this machine had GPUs that MXNet has code for; what scripts would have been run with."""
    calls = []
    monkeypatch.setattr(devices, "_why_mxnet_cannot", lambda places: None)
    monkeypatch.setattr(
        host,
        "run_script",
        lambda *arguments, **_: calls.append((*arguments[:-1], arguments[-1] and str(arguments[-1]))),
    )
    return calls


def test_each_gpu_gets_a_rank(launched, four_gpus, script):
    path = script("")
    assert main(["run", "--gpus", "1,3", path]) == 7
    assert launched == [(["run", "--gpus", "1,3", path], 2, "dist_sync", None)] and not four_gpus


def test_where_xla_computes_the_ranks_meet_through_jax(launched, script):
    path = script("")
    arguments = ["run", "--engine", "xla", "--devices", "cpu:0,cpu:1", path]
    assert main(arguments) == 7
    assert launched == [(arguments, 2, "jax", None)]


@pytest.mark.parametrize(
    "arguments, gpu", [(["--gpus", "2"], "gpu:2"), (["--gpus", "3,1", "--np", "1"], "gpu:3,gpu:1"), ([], None)]
)
def test_a_single_rank_has_all_gpus(launched, four_gpus, script, arguments, gpu):
    path = script("")
    assert main(["run", *arguments, path, "--lr", "1"]) == 0
    files = {"train": None, "dev": None, "test": None}
    assert four_gpus == [(path, ["--lr", "1"], files, None, None, None, gpu)] and not launched


@pytest.mark.parametrize("arguments, native", [([], True), (["--no-native"], False)])
def test_a_script_uses_the_cpp_operators_unless_told_not_to(monkeypatch, script, arguments, native):
    calls = []
    monkeypatch.setattr(host, "run_script", lambda *_, native, **__: calls.append(native) or 0)
    assert main(["run", *arguments, script("")]) == 0
    assert calls == [native]


def test_a_rank_learns_of_all_gpus_of_its_machine(launched, four_gpus, monkeypatch, script):
    for name, value in {"RANK": 1, "SIZE": 2, "LOCAL_RANK": 1, "LOCAL_SIZE": 2}.items():
        monkeypatch.setenv(f"HOROVOD_{name}", str(value))
    assert main(["run", "--comm", "horovod", "--gpus", "3,1", script("")]) == 0
    assert [arguments[-2:] for arguments in four_gpus] == [("horovod", "gpu:3,gpu:1")]


# Files of pairs ------------------------------------------------------------------------------------------------------

_READS = """
import sys
import gluonnlp as nlp
task = nlp.data.get_task(sys.argv[1])
transform = nlp.data.BERTSentenceTransform(str.split, 8, nlp.vocab.BERTVocab(nlp.data.count_tokens("abc")), pair=True)
for *pair, label in task.dataset_train()[1]:
    transform(pair)
    print(label)
"""


@pytest.fixture
def numbered(tmp_path):
    """Options that name files which have to be explained."""
    path = tmp_path / "pairs.csv"
    path.write_text('p,h,l\n"a b, c",a,0\na,b,1\na b c a b c,a b,1\n')
    return ["--train-file", str(path), "--dev-file", str(path), "--columns", "premise=p,hypothesis=h,label=l"]


def test_the_files_of_a_script_are_explained_and_its_losses_told(capsys, script, numbered):
    path = script(_READS)
    assert main(["run", *numbered, "--labels", "0=neutral,1=entails", path, "SNLI"]) == 0
    said = capsys.readouterr()
    assert said.out.split() == ["neutral", "entailment", "entailment"]
    assert said.err.splitlines() == [
        f"{numbered[1]}: no pair has the label contradiction",
        f"{path}: 1 of 3 pairs (33.3%) were longer than the script's max_len and were cut",
    ]
    assert main(["run", *numbered, path, "SNLI"]) == 1
    assert "line 2: unknown l '0': corpora number" in capsys.readouterr().err


@pytest.mark.parametrize("option", [["--task_name", "RTE"], ["--task_name=rte"], ["--task", "MNLI"]])
@pytest.mark.parametrize("ranks", [[], ["--np", "2"]])
def test_files_for_another_task_are_refused_before_anything_starts(launched, capsys, script, numbered, option, ranks):
    assert main(["run", *ranks, *numbered, script("print('started')"), *option]) == 2
    said = capsys.readouterr()
    assert said.out == "" and not launched and said.err.count("\n") == 1
    assert "name data of the task SNLI or another of gluonnlp-snli list datasets, but" in said.err
    assert "told --task_name " in said.err and "--glue-root DIR" in said.err


@pytest.mark.parametrize("text", ["print('no data')", "import gluonnlp as nlp\nnlp.data.get_task('RTE')"])
def test_a_script_that_reads_no_file_of_those_given_is_told(capsys, script, numbered, text):
    path = script(text)
    assert main(["run", *numbered, path, "--task_nam"]) == 0
    assert (
        capsys.readouterr().err
        == f"{path} has read none of the files that --train-file, --dev-file or --test-file name\n"
    )
    assert main(["run", path]) == 0
    assert capsys.readouterr().err == ""


def test_files_are_those_of_the_task_that_the_script_is_told(capsys, script, numbered):
    path = script("import sys\nimport gluonnlp as nlp\nprint(nlp.data.get_task(sys.argv[2]).dataset_train()[1].labels)")
    assert main(["run", *numbered, "--labels", "0=neutral,1=entails", path, "--task_name", "SciTail"]) == 0
    assert capsys.readouterr().out == "['neutral', 'entailment', 'entailment']\n"
    assert main(["run", *numbered, "--labels", "0=contradiction", path, "--task_name", "SciTail"]) == 2
    assert "there is no class 'contradiction', only entailment, neutral" in capsys.readouterr().err


@pytest.mark.parametrize("option", ["--corpus-root", "--snli-root"])
def test_a_corpus_is_read_from_the_folder_named(capsys, script, tmp_path, option):
    row = {"context": "A.", "hypothesis": "B.", "label": "c"}
    (tmp_path / "R2").mkdir()
    (tmp_path / "R2" / "train.jsonl").write_text(json.dumps(row))
    path = script("import sys\nimport gluonnlp as nlp\nprint(list(nlp.data.get_task(sys.argv[2]).dataset_train()[1]))")
    assert main(["run", option, str(tmp_path), path, "--task_name", "anli-r2"]) == 0
    assert capsys.readouterr().out == "[['A.', 'B.', 'contradiction']]\n"


def test_a_script_reads_glue_from_the_folder_named(capsys, script, glue_folder, tmp_path):
    path = script("import sys\nimport gluonnlp as nlp\nprint(nlp.data.get_task(sys.argv[2]).dataset_dev()[1][0])")
    assert main(["run", "--glue-root", str(glue_folder), path, "--task_name", "STS-B"]) == 0
    said = capsys.readouterr()
    assert said.out == "['the \"man\" is sleeping', 'a woman is inside', '0.500']\n" and said.err == ""
    assert main(["run", "--glue-root", str(tmp_path), path, "--task_name", "STS-B"]) == 1
    said = capsys.readouterr().err
    assert f"{tmp_path}/STS-B/train.tsv is missing: get STS-B from https://gluebenchmark.com/tasks" in said
    assert said.count("\n") == 1


def test_a_script_that_reads_nothing_of_glue_is_told(capsys, script, glue_folder):
    path = script("print('no data')")
    assert main(["run", "--glue-root", str(glue_folder), path]) == 0
    assert capsys.readouterr().err == f"{path} has read none of the files that --glue-root names\n"


def test_options_about_files_need_files(capsys, script):
    assert main(["run", "--labels", "0=neutral", script("")]) == 2
    assert "give --train-file and --dev-file too" in capsys.readouterr().err
