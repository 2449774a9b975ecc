"""The environment of what the benchmarks and some tests compare with: torch and transformers, apart from MXNet.

    python scripts/benchmark/lib/reference_env.py

makes it, where it is not there, with the first Python for which there is a CPU build of torch: the one that runs this,
then the others of this machine. PyPI's own build of torch brings CUDA, several gigabytes that nothing here uses.
"""

import os
import subprocess
import sys
from pathlib import Path

from gluonnlp_snli_plugin import PluginError

TORCH = "torch==2.13.0+cpu"
REQUIREMENTS = ("transformers==5.23.0", "accelerate==1.15.0")
OLDEST_PYTHON = (3, 10)
TORCH_INDEX = "https://download.pytorch.org/whl/cpu"
DEFAULT_FOLDER = ".venv-reference"
FOLDER = Path(__file__).parent
BOOTSTRAP = FOLDER.parents[1] / "bootstrap"


def add_arguments(parser):
    """Let the user of a benchmark say where the environment is."""
    parser.add_argument(
        "--reference-env", default=DEFAULT_FOLDER, metavar="DIR", help="where transformers is, or goes (%(default)s)"
    )
    parser.add_argument("--reference-python", help="Python 3.10 or later to make it with (looked for otherwise)")


def reference_python(folder, python=None):
    """The Python of an environment with TORCH and REQUIREMENTS, made if it is not there; a Path."""
    folder = Path(folder).absolute()
    there = folder / "bin" / "python"
    if is_made(folder):
        return there
    if folder.exists() and not (folder / "pyvenv.cfg").exists():
        raise PluginError(f"{folder} is not a virtual environment; move it away or name another folder")
    print(f"installing {_contents()} into {folder}; this takes minutes ...", file=sys.stderr)
    pip = [there, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
    failure = PluginError("no Python 3.10 or later found")
    for candidate in [python] if python else candidates():
        try:
            run(candidate, "-m", "venv", "--clear", folder)
            run(*pip, "--extra-index-url", TORCH_INDEX, TORCH)
            break
        except PluginError as error:
            failure = error
            print(f"{candidate} will not do: {error}", file=sys.stderr)
    else:
        raise failure
    run(*pip, *REQUIREMENTS)
    (folder / "requirements.txt").write_text(_contents())
    return there


def candidates():
    """The Pythons to try: the one that runs this, then the others of this machine, the newest first."""
    pythons = [sys.executable] if sys.version_info >= OLDEST_PYTHON else []
    for line in run(BOOTSTRAP, "--list").splitlines():
        version, path = line.split(" ", 1)
        minor = tuple(map(int, version.split(".")[:2]))
        if minor >= OLDEST_PYTHON and minor != sys.version_info[:2]:
            pythons.append(path)
    return pythons


def _contents():
    return ", ".join((TORCH, *REQUIREMENTS))


def is_made(folder):
    """Whether the environment is there already, with the versions wanted."""
    mark = Path(folder, "requirements.txt")
    return mark.is_file() and mark.read_text() == _contents()


def run(*command):
    """Run a program that must succeed; its last words become the error otherwise."""
    command = list(map(str, command))
    try:
        done = subprocess.run(command, capture_output=True, text=True, env={**os.environ, "HF_HUB_OFFLINE": "1"})
    except OSError as error:
        raise PluginError(f"{command[0]}: {error.strerror}") from None
    if done.returncode:
        words = [line for line in (done.stdout + done.stderr).splitlines() if line.strip()] or ["no message"]
        reason = next((line for line in words if line.startswith("ERROR")), words[-1])
        reason = reason.split(" (from versions")[0]  # pip lists them all
        raise PluginError(f"{' '.join(command[:5])} ... failed: {reason}")
    return done.stdout


if __name__ == "__main__":
    try:
        reference_python(DEFAULT_FOLDER)
    except PluginError as error:
        sys.exit(f"reference_env.py: error: {error}")
