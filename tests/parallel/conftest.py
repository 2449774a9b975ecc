"""Processes that stand in for ranks, and looking at them."""

import subprocess
import sys
import time
from pathlib import Path

import pytest

from gluonnlp_snli_plugin.parallel import launch, processes


@pytest.fixture(scope="session")
def start_python():
    """Starts a program, in a session of its own."""

    def start(code, **kwargs):
        return subprocess.Popen([sys.executable, "-c", code], start_new_session=True, **kwargs)

    return start


@pytest.fixture(scope="session")
def runs():
    """Whether there is a process of a number that has not ended."""

    def look(process):
        try:
            state = Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()[0]
        except (FileNotFoundError, ProcessLookupError):
            return False
        return state not in "ZX"

    return look


@pytest.fixture(scope="session")
def soon():
    """Whether something happens, once it does or ten minutes have passed."""

    def wait(happens):
        deadline = time.monotonic() + 600
        while not happens() and time.monotonic() < deadline:
            time.sleep(0.02)
        return happens()

    return wait


@pytest.fixture
def hurry(monkeypatch):
    """Lets ranks that fail or are asked to end have little time for it."""
    monkeypatch.setattr(launch, "_GRACE", 0.3)
    monkeypatch.setattr(processes, "PATIENCE", 2.0)
