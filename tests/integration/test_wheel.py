"""What users install: sdist and wheel hold the whole package, and commands work from a wheel outside a checkout."""

import importlib.util
import os
import re
import runpy
import shutil
import subprocess
import tarfile
import urllib.request
import zipfile
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.native import operators

CHECKOUT = Path(__file__).parents[2]
PACKAGE = "gluonnlp_snli_plugin"
HOOK = "gluonnlp_snli_plugin.pth"

_spec = importlib.util.spec_from_file_location("wheel_env", CHECKOUT / "scripts" / "wheel_env.py")
wheel_env = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(wheel_env)


def package_files(names):
    """Those of some files that belong to the package: no metadata, nothing else of the checkout."""
    return {name for name in names if name == HOOK or name.startswith(f"{PACKAGE}/")}


@pytest.fixture(scope="module")
def tracked():
    return package_files(map(str, wheel_env.tracked_files()))


@pytest.fixture(scope="module")
def source(tmp_path_factory):
    """A checkout in which Python ran, an older wheel was built, and somebody has just put a file into a new folder."""
    folder = tmp_path_factory.mktemp("source")
    wheel_env.copy(wheel_env.tracked_files(), folder)
    for name in (f"{PACKAGE}/__pycache__/cli.pyc", f"build/lib/{PACKAGE}/gone.py", f"{PACKAGE}/new/folder/page.svg"):
        (folder / name).parent.mkdir(parents=True, exist_ok=True)
        (folder / name).touch()
    return folder


@pytest.fixture(scope="module")
def sdist(source, tmp_path_factory):
    return wheel_env.build("sdist", source, tmp_path_factory.mktemp("sdist"))


@pytest.fixture(scope="module")
def unpacked(sdist, tmp_path_factory):
    return wheel_env.unpack(sdist, tmp_path_factory.mktemp("unpacked"))


@pytest.fixture(scope="module")
def wheel(unpacked, tmp_path_factory):
    """The wheel built from the sdist."""
    return wheel_env.build("wheel", unpacked, tmp_path_factory.mktemp("wheel"))


# What is in them ------------------------------------------------------------------------------------------------------


def test_setup_lists_every_data_file(tracked):
    by_folder = runpy.run_path(str(CHECKOUT / "setup.py"))["DATA_FILES"]
    listed = {str(Path(PACKAGE, folder, name)) for folder, names in by_folder.items() for name in names.split()}
    assert listed == {name for name in tracked if not name.endswith(".py")} - {HOOK}


@pytest.mark.slow
def test_sdist_and_wheel_hold_the_package(tracked, source, sdist, wheel, tmp_path):
    expected = tracked | {f"{PACKAGE}/new/folder/page.svg"}
    with tarfile.open(sdist) as archive:
        names = [member.name.split("/", 1)[1] for member in archive.getmembers() if member.isfile()]
    assert package_files(names) == expected
    for made in (wheel, wheel_env.build("wheel", source, tmp_path)):
        assert package_files(zipfile.ZipFile(made).namelist()) == expected


@pytest.mark.slow
def test_no_wheel_is_built_without_a_data_file(unpacked, tmp_path):
    shutil.copytree(unpacked, tmp_path / "damaged")
    lost = [f"{PACKAGE}/native/src/dense.cc", f"{PACKAGE}/report/templates/run.html"]
    for name in lost:
        (tmp_path / "damaged" / name).unlink()
    with pytest.raises(SystemExit, match=f"error: the package would be incomplete without {', '.join(lost)}$"):
        wheel_env.build("wheel", tmp_path / "damaged", tmp_path)


# What is installed ----------------------------------------------------------------------------------------------------

SCRIPT = "import gluonnlp, sys; print('a script', sys.argv[1:], gluonnlp.data.get_task('SNLI').class_labels)"
COMMANDS = """
import sys, gluonnlp_snli_plugin
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.native import operators
print(gluonnlp_snli_plugin.__file__, operators.are_available())
for arguments in (
    ["evaluate", "out", "--file", sys.argv[1]],
    ["predict", "out", "--premise", "A dog sleeps.", "--hypothesis", "An animal is asleep.", "--explain"],
    ["report", "out", "--to", "page.html"],
    ["export", "out", "--format", "onnx", "--to", "onnx", "--file", sys.argv[1]],
    ["run", "script.py", "two words"],
):
    assert not main(arguments), arguments
"""


@pytest.mark.slow
def test_every_command_works_from_the_wheel(wheel, pairs_file, tmp_path):
    python = wheel_env.install(wheel, tmp_path / "venv")
    program = python.with_name("gluonnlp-snli")
    work = tmp_path / "work"
    work.mkdir()
    (work / "script.py").write_text(SCRIPT)
    environment = {name: value for name, value in os.environ.items() if name != "PYTHONPATH"}

    def run(*command):
        done = subprocess.run(command, cwd=work, env=environment, capture_output=True, text=True)
        assert done.returncode == 0, done.stderr
        return done.stdout

    run(program, *"finetune --sample --backbone bert_2_32_2 --max-len 32 --epochs 1 --output-dir out".split())
    assert "<html" in (work / "out" / "report.html").read_text()
    said = run(python, "-c", COMMANDS, pairs_file)
    where, has_operators = said.split("\n", 1)[0].rsplit(" ", 1)
    assert tmp_path / "venv" in Path(where).parents
    assert has_operators == str(operators.are_available())
    assert "a script ['two words'] ['entailment', 'contradiction', 'neutral']" in said
    assert (work / "page.html").exists() and (work / "onnx" / "model.onnx").exists()

    with subprocess.Popen(
        [program, "serve", "out", "--port", "0"], cwd=work, env=environment, stderr=subprocess.PIPE, text=True
    ) as service:
        try:
            lines = iter(service.stderr.readline, "")
            address = next(filter(None, (re.search(r"http://\S+?:\d+/", line) for line in lines))).group()
            assert "<html" in urllib.request.urlopen(address).read().decode()
        finally:
            service.terminate()
