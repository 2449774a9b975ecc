"""A script runs as the program it is, inside this process, and fails as one."""

import json
import subprocess
import sys
import textwrap

import pytest

from gluonnlp_snli_plugin.errors import DataError, UsageError
from gluonnlp_snli_plugin.host.script import Script


@pytest.fixture
def script(tmp_path):
    """Writes a file and makes a Script of it."""

    def write(text, name="script.py"):
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else textwrap.dedent(text).encode())
        return Script(str(path))

    yield write
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", "")).startswith(str(tmp_path)):
            del sys.modules[name]


def test_a_script_sees_what_it_would_see_as_a_program(script, capsys):
    it = script(
        """
        'What it does.'
        import json, sys
        own = sys.modules["__main__"]
        print(json.dumps([
            sys.argv, __file__, __name__, __doc__, __package__, __spec__, sys.path[0], vars(own) is globals(),
        ]))
        """
    )
    arguments = ["--flag", "two words", ""]
    as_program = subprocess.run([sys.executable, it.path, *arguments], stdout=subprocess.PIPE, check=True)
    assert it.run(arguments) == 0
    assert json.loads(capsys.readouterr().out) == json.loads(as_program.stdout.decode())


def test_a_script_finds_the_functions_of_python_where_a_program_does(script, capsys):
    assert script("print(__builtins__.__name__)").run([]) == 0
    assert capsys.readouterr().out == "builtins\n"


def test_a_relative_path_stays_what_it_is(script, capsys, monkeypatch, tmp_path):
    script("import sys, helper; print(sys.argv[0], sys.path[0], helper.name)")
    script("name = 'beside'", "helper.py")
    monkeypatch.chdir(tmp_path)
    assert Script("script.py").run([]) == 0
    assert capsys.readouterr().out.split() == ["script.py", str(tmp_path), "beside"]


def test_a_script_imports_from_its_own_folder_first(script, capsys):
    script("name = 'my own'", "colorsys.py")
    sys.modules.pop("colorsys", None)
    assert script("import colorsys; print(colorsys.name)").run([]) == 0
    assert capsys.readouterr().out == "my own\n"


@pytest.mark.parametrize("end", ["", "sys.exit(3)", "raise ValueError", "import gluonnlp.models"])
def test_afterwards_this_process_is_as_before(script, end):
    before = sys.argv, sys.path, sys.path[:], sys.modules["__main__"]
    it = script(f"import sys\nsys.argv.append('more')\nsys.path.insert(0, 'elsewhere')\n{end}\n")
    try:
        it.run(["one"])
    except UsageError:
        assert "models" in end
    after = sys.argv, sys.path, sys.path[:], sys.modules["__main__"]
    assert all(new is old for i, (new, old) in enumerate(zip(after, before)) if i != 2) and after[2] == before[2]
    assert "more" not in sys.argv


@pytest.mark.parametrize(
    "call, status, said",
    [
        ("sys.exit()", 0, ""),
        ("sys.exit(None)", 0, ""),
        ("sys.exit(0)", 0, ""),
        ("sys.exit(3)", 3, ""),
        ("sys.exit('no such thing')", 1, "no such thing\n"),
        ("raise SystemExit", 0, ""),
    ],
)
def test_a_script_ends_with_the_status_it_chooses(script, capsys, call, status, said):
    it = script(f"import sys\n{call}\nprint('never')\n")
    assert it.run([]) == status and it.has_exited
    assert capsys.readouterr() == ("", said)


def test_a_script_that_comes_to_its_end_has_not_exited(script):
    it = script("x = 1")
    assert it.run([]) == 0 and not it.has_exited


def test_a_failure_is_told_from_the_scripts_own_first_line_on(script, capsys):
    it = script("def fail():\n    raise ValueError('boom')\n\nfail()\n")
    assert it.run([]) == 1 and not it.has_exited
    said = capsys.readouterr()
    lines = said.err.splitlines()
    assert said.out == "" and lines[0] == "Traceback (most recent call last):"
    assert [line for line in lines if line.startswith("  File ")] == [
        f'  File "{it.path}", line 4, in <module>',
        f'  File "{it.path}", line 2, in fail',
    ]
    assert lines[-1] == "ValueError: boom"


def test_a_failure_reads_as_python_would_tell_it(script, capsys):
    it = script("try:\n    {}['key']\nexcept KeyError as error:\n    raise RuntimeError('no key') from error\n")
    as_program = subprocess.run([sys.executable, it.path], stderr=subprocess.PIPE)
    assert it.run([]) == as_program.returncode == 1
    assert capsys.readouterr().err == as_program.stderr.decode()


@pytest.mark.parametrize("helper", ["raise ValueError('boom')\n", "def call():\n    raise ValueError('boom')\n"])
def test_a_failure_in_a_module_beside_the_script_names_both(script, capsys, helper):
    script(helper, "helper.py")
    it = script("import helper\nhelper.call()\n")
    assert it.run([]) == 1
    error = capsys.readouterr().err
    files = [line.split('"')[1] for line in error.splitlines() if line.startswith("  File ")]
    assert files == [it.path, str(it.path).replace("script.py", "helper.py")]
    assert error.endswith("ValueError: boom\n")


def test_a_module_beside_the_script_that_is_no_python_is_the_scripts_failure(script, capsys, tmp_path):
    (tmp_path / "helper.py").write_text("a b\n")
    assert script("import helper").run([]) == 1
    assert "SyntaxError" in capsys.readouterr().err


@pytest.mark.parametrize(
    "content, complaint",
    [
        (b"x = 1\ny = = 2\n", "script.py, line 2 is not valid Python"),
        (b"if True:\nx = 1\n", "script.py, line 2 is not valid Python"),
        (bytes(range(256)), "script.py is not valid Python"),
        (b"x = 1\n\0\n", "script.py.* is not valid Python.*null bytes"),
        (b"# one\n# two\n# three: \xff\n", "script.py is not valid Python.*0xff"),
        (b"# coding: nonsense\nx = 1\n", "script.py is not valid Python: unknown encoding: nonsense"),
        (b"\x7fELF\x02\x01\x01\0\0\0", "script.py.* is not valid Python"),
        pytest.param(
            b"# coding: hex\nx = 1\n",
            "script.py is not valid Python.*hex",
        ),
    ],
)
def test_what_is_no_python_is_refused_in_one_line(script, content, complaint):
    with pytest.raises(UsageError, match=complaint) as refused:
        script(content)
    assert "\n" not in str(refused.value)


def test_a_missing_script_says_where_there_are_some(tmp_path):
    with pytest.raises(UsageError, match=r"no script .*/nowhere\.py.*dmlc/gluon-nlp at tag v0\.10\.0$"):
        Script(f"{tmp_path}/nowhere.py")


def test_a_folder_is_no_script(tmp_path):
    with pytest.raises(UsageError, match="Is a directory$"):
        Script(str(tmp_path))


def test_an_encoding_that_the_script_declares_is_its_encoding(script, capsys):
    assert script("# coding: latin-1\nprint('\u00e9')\n".encode("latin-1")).run([]) == 0
    assert capsys.readouterr().out == "\u00e9\n"


@pytest.mark.parametrize(
    "line",
    [
        "import gluonnlp.models",
        "from gluonnlp.models import bert",
        "from gluonnlp import models",
        "from gluonnlp.data import no_such_thing",
    ],
)
def test_a_script_for_another_gluonnlp_is_refused_in_one_line(script, capsys, line):
    it = script(line)
    with pytest.raises(UsageError, match=r"script\.py is not for GluonNLP 0\.10 .*perhaps for 1\.x") as refused:
        it.run([])
    assert "\n" not in str(refused.value) and capsys.readouterr().err == ""


@pytest.mark.parametrize(
    "line",
    [
        "import no_such_module",
        "from json import no_such_thing",
        "import gluonnlp_no_such_module",
        "import gluonnlp_snli_plugin.no_such_module",
        "raise ImportError('no reason')",
    ],
)
def test_another_import_that_fails_is_the_scripts_own_failure(script, capsys, line):
    it = script(line)
    assert it.run([]) == 1
    assert f'File "{it.path}", line 1' in capsys.readouterr().err


@pytest.mark.parametrize("error", [DataError("pairs.txt, line 3: no label"), KeyboardInterrupt()])
def test_what_the_plugin_or_the_user_says_is_no_failure_of_the_script(script, capsys, monkeypatch, error):
    monkeypatch.setattr(sys, "the_error", error, raising=False)
    with pytest.raises(type(error)) as raised:
        script("import sys\nraise sys.the_error\n").run([])
    assert raised.value is error and capsys.readouterr().err == ""


def test_functions_of_the_script_can_be_sent_to_workers(script, capsys):
    it = script(
        """
        import multiprocessing, pickle

        def double(number):
            return 2 * number

        if __name__ == "__main__":
            with multiprocessing.get_context("fork").Pool(1) as workers:
                print(workers.map(double, [1, 2, 3]), pickle.loads(pickle.dumps(double)) is double)
        """
    )
    assert it.run([]) == 0
    assert capsys.readouterr().out == "[2, 4, 6] True\n"


def test_a_script_runs_twice_without_a_trace_of_the_first_time(script, capsys):
    it = script("print('first' in globals()); first = True")
    assert [it.run([]), it.run([])] == [0, 0]
    assert capsys.readouterr().out == "False\nFalse\n"


@pytest.mark.filterwarnings("ignore:Conversion of an array with ndim > 0:DeprecationWarning")
def test_a_script_may_take_rows_of_one_number_for_numbers(script, capsys):
    """As GluonNLP's finetune_classifier.py does with the classes that it predicts, and many with the mean loss."""
    it = script(
        """
        import mxnet as mx

        class_labels = ["entailment", "contradiction", "neutral"]
        out = mx.nd.array([[0, 1, 2], [3, 1, 2]])
        indices = mx.nd.topk(out, k=1, ret_typ="indices", dtype="int32").asnumpy()
        print([class_labels[int(index)] for index in indices])
        step_loss = 0
        for loss in (1.5, 2):
            step_loss += mx.nd.full((1, 1), loss).asnumpy()
        print("loss=%.4f" % (step_loss / 2))
        """
    )
    assert it.run([]) == 0
    assert capsys.readouterr().out == "['neutral', 'entailment']\nloss=1.7500\n"
