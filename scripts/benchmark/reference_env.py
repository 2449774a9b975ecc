"""The environment of what the benchmarks and some tests compare with: torch and transformers, apart from MXNet.

    python scripts/benchmark/reference_env.py

makes it, where it is not there.
"""

import os
import subprocess
import sys
from pathlib import Path

from gluonnlp_snli_plugin import PluginError

REQUIREMENTS = ("torch==2.13.0", "transformers==5.23.0", "accelerate==1.15.0")
DEFAULT_FOLDER = ".venv-reference"


def add_arguments(parser):
    """Let the user of a benchmark say where the environment is."""
    parser.add_argument(
        "--reference-env", default=DEFAULT_FOLDER, metavar="DIR", help="where transformers is, or goes (%(default)s)"
    )
    parser.add_argument("--reference-python", default=sys.executable, help="Python 3.10 or later to make it with")


def reference_python(folder, python):
    """The Python of an environment with REQUIREMENTS, made if it is not there; a Path."""
    folder = Path(folder).absolute()
    mark = folder / "requirements.txt"
    there = folder / "bin" / "python"
    if not is_made(folder):
        print(f"installing {', '.join(REQUIREMENTS)} into {folder}; this takes minutes ...", file=sys.stderr)
        run(python, "-m", "venv", folder)
        run(there, "-I", "-m", "pip", "install", "--disable-pip-version-check", "--quiet", *REQUIREMENTS)
        mark.write_text("\n".join(REQUIREMENTS))
    return there


def is_made(folder):
    """Whether the environment is there already, with the versions wanted."""
    mark = Path(folder, "requirements.txt")
    return mark.is_file() and mark.read_text() == "\n".join(REQUIREMENTS)


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
        reference_python(DEFAULT_FOLDER, sys.executable)
    except PluginError as error:
        sys.exit(f"reference_env.py: error: {error}")
