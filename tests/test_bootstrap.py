"""``scripts/bootstrap`` on machines that lack something: stand-ins for Python, cc and uv on a bare ``PATH``."""

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPT = Path(__file__).parent.parent / "scripts" / "bootstrap"
TOOLS = ["awk", "cat", "cut", "dirname", "find", "grep", "head", "mv", "rm", "sed", "sh", "sort", "tail", "tr", "uniq"]

# Runs what the script asks of a Python, in an interpreter that seems to be another; `pip` only notes what it is told.
FAKE_PYTHON = """#!{real} -S
import importlib.util, os, platform, shutil, sys, sysconfig
sys.version_info, sys.executable, sys.prefix = {version}, {path!r}, sys.base_prefix
platform.python_implementation = lambda: {implementation!r}
sysconfig.get_path = lambda name: {include!r}
if not {venv}:
    importlib.util.find_spec = lambda name: None
if sys.argv[1:2] == ["-I"]:
    probe, sys.argv = sys.argv[3], sys.argv[3:]
    exec(probe)
elif sys.argv[1:3] == ["-m", "venv"]:
    shutil.rmtree(sys.argv[-1], ignore_errors=True)
    os.makedirs(sys.argv[-1] + "/bin")
    os.symlink({path!r}, sys.argv[-1] + "/bin/python")
    open(sys.argv[-1] + "/pyvenv.cfg", "w").close()
elif sys.argv[1:4] == ["-m", "pip", "install"]:
    what = [word for word in sys.argv[4:] if not word.startswith("-") or word == "--no-deps"]
    with open({log!r}, "a") as log:
        print("{version[0]}.{version[1]}", *what, file=log)
    sys.exit(os.path.exists({broken!r}))
"""


class Machine:
    """A folder with a project in it and a ``PATH`` to put things on."""

    def __init__(self, folder):
        self.folder, self.bin, self.project = folder, folder / "bin", folder / "project"
        (self.project / "scripts").mkdir(parents=True)
        self.script = self.project / "scripts" / "bootstrap"
        shutil.copy(SCRIPT, self.script)
        for name in ("setup.cfg", "setup.py", "pyproject.toml", "gluonnlp_snli_plugin.pth"):
            (self.project / name).touch()
        self.bin.mkdir()
        for tool in TOOLS:
            (self.bin / tool).symlink_to(shutil.which(tool))
        (folder / "include").mkdir()
        (folder / "include" / "Python.h").touch()
        self.log, self.pip_is_broken = folder / "log", folder / "pip-is-broken"
        self.stamp = self.project / ".venv" / ".bootstrapped"

    def add(self, name, text="#!/bin/sh\nexit 0\n", folder=None):
        path = (folder or self.bin) / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text)
        path.chmod(0o755)
        return path

    def add_python(self, name, version, headers=True, venv=True, implementation="CPython", folder=None):
        text = FAKE_PYTHON.format(
            real=sys.executable,
            version=version,
            path=os.fspath((folder or self.bin) / name),
            implementation=implementation,
            include=os.fspath(self.folder / "include" if headers else self.folder),
            venv=venv,
            log=os.fspath(self.log),
            broken=os.fspath(self.pip_is_broken),
        )
        return self.add(name, text, folder)

    def bootstrap(self, *arguments, path=(), **variables):
        environment = {
            "PATH": os.pathsep.join([*map(os.fspath, path), os.fspath(self.bin)]),
            "HOME": os.fspath(self.folder),
            **variables,
        }
        return subprocess.run(
            [os.fspath(self.script), *arguments],
            cwd=self.project,
            env=environment,
            capture_output=True,
            text=True,
        )

    def error(self, *arguments, **options):
        """The one line that a run fails with."""
        result = self.bootstrap(*(arguments or [".venv"]), **options)
        assert (result.returncode, result.stdout) == (1, "")
        (line,) = result.stderr.splitlines()
        assert line.startswith("bootstrap: error: ")
        assert not self.stamp.exists()
        return line

    def installations(self):
        """What pip was told to install, as 'VERSION NUMPY PROJECT[EXTRAS]'; MXNet by itself follows each time."""
        lines = self.log.read_text().splitlines() if self.log.exists() else []
        assert lines[1::2] == [line.split()[0] + " --no-deps mxnet==1.9.1" for line in lines[::2]]
        return lines[::2]


@pytest.fixture
def bare(tmp_path):
    return Machine(tmp_path)


@pytest.fixture
def machine(bare):
    bare.add("cc")
    return bare


# What is missing ------------------------------------------------------------------------------------------------------


def test_no_python(machine):
    assert "(only none on PATH): sudo apt-get install python3 python3-dev python3-venv" in machine.error()


def test_only_pythons_that_will_not_do(machine):
    machine.add_python("python3", (3, 7, 16))
    machine.add_python("python3.8", (3, 8, 18), implementation="PyPy")
    assert "(only 3.8.18 3.7.16 on PATH)" in machine.error()


@pytest.mark.parametrize(
    ("lacks", "packages"),
    [
        ({"headers": False}, "python3.11-dev"),
        ({"venv": False}, "python3.11-venv"),
        ({"headers": False, "venv": False}, "python3.11-dev python3.11-venv"),
    ],
)
def test_a_python_that_lacks_something(machine, lacks, packages):
    path = machine.add_python("python3.11", (3, 11, 2), **lacks)
    line = machine.error()
    assert f"{path} lacks " in line
    assert line.endswith(f": sudo apt-get install {packages}")


def test_no_compiler(bare):
    bare.add_python("python3.11", (3, 11, 2))
    assert bare.error().endswith(": sudo apt-get install build-essential")
    assert bare.error("--list").endswith(": sudo apt-get install build-essential")
    assert not (bare.project / ".venv").exists()


def test_a_compiler_named_in_the_environment_that_does_not_work(machine):
    machine.add_python("python3.11", (3, 11, 2))
    assert "$CC (icc -O2) does not work" in machine.error(CC="icc -O2")


def test_a_python_named_in_the_environment_that_will_not_do(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.add_python("python3.7", (3, 7, 16))
    assert "$PYTHON (python3.7) is Python 3.7.16; this project needs CPython 3.8 to 3.13" in machine.error(
        PYTHON="python3.7"
    )
    assert "$PYTHON (python4) does not run" in machine.error(PYTHON="python4")


def test_a_folder_that_is_no_virtual_environment_stays_as_it_is(machine):
    machine.add_python("python3.11", (3, 11, 2))
    (machine.project / "work").mkdir()
    (machine.project / "work" / "thesis.tex").touch()
    assert "work is there and is no virtual environment" in machine.error("work")
    assert (machine.project / "work" / "thesis.tex").exists()


# What is there --------------------------------------------------------------------------------------------------------


def test_a_python_that_lacks_something_is_passed_over(machine):
    machine.add_python("python3.12", (3, 12, 1), headers=False)
    machine.add_python("python3.9", (3, 9, 18), venv=False)
    machine.add_python("python3", (3, 8, 18))
    assert machine.bootstrap(".venv").returncode == 0
    assert machine.installations() == ["3.8 numpy ."]


def test_the_newest_python_wins_wherever_it_is(machine):
    machine.add_python("python3", (3, 11, 2))
    machine.add_python("python", (3, 9, 18), folder=machine.folder / ".pyenv" / "versions" / "3.9.18" / "bin")
    newest = machine.add_python("python3", (3, 13, 0), folder=machine.folder / ".local/share/uv/python/cpython/bin")
    said = machine.bootstrap(".venv").stderr.splitlines()
    assert said == [
        f"bootstrap: making {machine.project / '.venv'} with Python 3.13.0 ({newest})",
        "bootstrap: installing MXNet and the project, and numpy",
    ]
    assert machine.installations() == ["3.13 numpy ."]


def test_a_python_newer_than_any_that_was_tried_is_the_last_choice(machine):
    machine.add_python("python3.15", (3, 15, 0))
    machine.add_python("python3.14", (3, 14, 2))
    said = machine.bootstrap(".venv").stderr
    assert "bootstrap: Python 3.14.2 is newer than any that this project was tried on (3.13)\n" in said
    assert machine.bootstrap(".venv").stderr == ""
    machine.add_python("python3.8", (3, 8, 18))
    machine.bootstrap("other")
    assert machine.installations() == ["3.14 numpy .", "3.8 numpy ."]


def test_a_shim_that_fails_does_not_hide_a_python_later_on_the_path(machine):
    shims = machine.folder / "shims"
    machine.add("python3.12", "#!/bin/sh\nexit 127\n", shims)
    machine.add_python("python3.12", (3, 12, 1))
    assert machine.bootstrap(".venv", path=[shims]).returncode == 0
    assert machine.installations() == ["3.12 numpy ."]


def test_uv_brings_its_own_python_where_no_other_will_do(machine):
    machine.add_python("python3.12", (3, 12, 1), headers=False)
    uv = machine.add_python("python", (3, 12, 9), folder=machine.folder / "uv")
    machine.add(
        "uv", f'#!/bin/sh\nfor venv; do :; done\n[ "$UV_PYTHON_PREFERENCE" = only-managed ] && {uv} -m venv "$venv"\n'
    )
    assert machine.bootstrap(".venv").returncode == 0
    assert machine.installations() == ["3.12 numpy ."]
    assert machine.bootstrap(".venv").stderr == ""


def test_list_has_every_suitable_python_once_and_the_newest_first(machine):
    pyenv = machine.folder / "pyenv" / "versions"
    nine = machine.add_python("python", (3, 9, 18), folder=pyenv / "3.9.18" / "bin")
    ten = machine.add_python("python", (3, 10, 13), folder=pyenv / "3.10.13" / "bin")
    machine.add_python("python", (3, 7, 16), folder=pyenv / "3.7.16" / "bin")
    eight = machine.add_python("python3.8", (3, 8, 9))
    (machine.bin / "python3").symlink_to(eight)
    machine.add_python("python3.12", (3, 12, 1), venv=False)
    result = machine.bootstrap("--list", PYENV_ROOT=os.fspath(pyenv.parent))
    assert (result.returncode, result.stderr) == (0, "")
    assert result.stdout.splitlines() == [f"3.10.13 {ten}", f"3.9.18 {nine}", f"3.8.9 {eight}"]


# The second time ------------------------------------------------------------------------------------------------------


def test_the_second_run_does_nothing(machine):
    machine.add_python("python3.11", (3, 11, 2))
    assert "making" in machine.bootstrap(".venv", "test,dev").stderr
    second = machine.bootstrap(".venv", "dev")
    assert (second.returncode, second.stdout, second.stderr) == (0, "", "")
    assert machine.installations() == ["3.11 numpy .[test,dev]"]


@pytest.mark.parametrize("name", ["setup.cfg", "setup.py", "pyproject.toml", "scripts/bootstrap"])
def test_a_changed_file_means_another_installation_in_the_same_environment(machine, name):
    machine.add_python("python3.11", (3, 11, 2))
    machine.bootstrap(".venv")
    later = machine.stamp.stat().st_mtime + 10
    os.utime(machine.project / name, (later, later))
    assert "making" not in machine.bootstrap(".venv").stderr
    assert len(machine.installations()) == 2


def test_more_extras_are_added_to_those_that_are_there(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.bootstrap(".venv")
    machine.bootstrap(".venv", "test")
    machine.bootstrap(".venv", "hub,dev")
    assert machine.installations() == ["3.11 numpy .", "3.11 numpy .[test]", "3.11 numpy .[dev,hub,test]"]
    assert machine.bootstrap(".venv", "test").stderr == ""


def test_another_numpy_means_another_installation_in_the_same_environment(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.bootstrap(".venv")
    assert "making" not in machine.bootstrap(".venv", NUMPY="numpy<2").stderr
    assert machine.bootstrap(".venv").stderr == ""
    machine.bootstrap(".venv", "test")
    assert machine.installations() == ["3.11 numpy .", "3.11 numpy<2 .", "3.11 numpy<2 .[test]"]


def test_another_python_gets_the_newest_numpy_again(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.add_python("python3.13", (3, 13, 0))
    machine.bootstrap(".venv", PYTHON="python3.11", NUMPY="numpy<2")
    machine.bootstrap(".venv", PYTHON="python3.13")
    assert machine.installations() == ["3.11 numpy<2 .", "3.13 numpy ."]


def test_another_python_means_another_environment(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.add_python("python3.8", (3, 8, 18))
    machine.bootstrap(".venv")
    assert machine.bootstrap(".venv", PYTHON="python3.11").stderr == ""
    machine.bootstrap(".venv", PYTHON="python3.8")
    assert machine.installations() == ["3.11 numpy .", "3.8 numpy ."]
    assert machine.bootstrap(".venv", PYTHON="python3.8").stderr == ""


def test_a_failed_installation_is_tried_again(machine):
    machine.add_python("python3.11", (3, 11, 2))
    machine.pip_is_broken.touch()
    failed = machine.bootstrap(".venv")
    assert failed.returncode == 1
    assert "error: pip could not install the project" in failed.stderr
    assert not machine.stamp.exists()
    machine.pip_is_broken.unlink()
    assert machine.bootstrap(".venv").returncode == 0
    assert machine.stamp.exists()


def test_usage():
    result = subprocess.run([os.fspath(SCRIPT)], capture_output=True, text=True)
    assert result.returncode == 2
    assert "scripts/bootstrap VENV [EXTRAS]" in result.stderr
