"""Contenders of the benchmark as processes, measured in turn: while one has its slice of time, the others wait."""

import json
import os
import subprocess
import sys
import tempfile
import threading
import time
from pathlib import Path
from typing import Dict, List

from gluonnlp_snli_plugin import PluginError

from . import machine

FOLDER = Path(__file__).parents[1] / "contenders"
_SECONDS_TO_SETTLE = 0.3  # threads of MXNet and torch look for more work for a while before they sleep
_SECONDS_TO_END = 20
_ELSEWHERE = ("PYTHONPATH", "PYTHONHOME")


class Contender:
    """A process that obeys the lines that ``contenders/worker.py`` describes; a context manager.

    Parameters
    ----------
    name : str
    python : str or Path
        The Python of its environment.
    module : str
        Its program in the folder ``contenders``.
    job : dict
        What the program is told.
    environment : dict of str to str
    timeout : float
        Seconds after which it is killed if it has not answered.

    Attributes
    ----------
    hello : dict
        What it said when it was ready.
    timeout : float
        Of the answers to come.

    Raises
    ------
    PluginError
        If it fails, with the last lines that it wrote; so does every method.
    """

    def __init__(self, name, python, module, job, environment, timeout=3600):
        self.name = name
        self.timeout = timeout
        self._is_late = False
        self._errors = tempfile.TemporaryFile("w+", encoding="utf-8", errors="replace")  # noqa: SIM115  closed with the process
        command = [str(python), str(FOLDER / module), json.dumps(job)]
        pipe = subprocess.PIPE
        try:
            self._process = subprocess.Popen(
                command, stdin=pipe, stdout=pipe, stderr=self._errors, env=environment, text=True, bufsize=1
            )
        except OSError as error:
            raise PluginError(f"{name}: {command[0]}: {error.strerror}") from None
        try:
            self.hello = self._answer()
        except BaseException:
            self.close()
            raise

    def ask(self, command):
        """Let it obey a line; what it answers, a dict."""
        time.sleep(_SECONDS_TO_SETTLE)
        try:
            self._process.stdin.write(f"{command}\n")
        except OSError:
            raise self._failure() from None
        return self._answer()

    def close(self):
        """End the process, at once if it does not end itself."""
        if self._errors.closed:
            return
        try:
            self._process.communicate("quit\n", timeout=_SECONDS_TO_END)
        except (OSError, ValueError, subprocess.TimeoutExpired):
            self._process.kill()
            self._process.wait()
        self._errors.close()

    def __enter__(self):
        return self

    def __exit__(self, *_):
        self.close()

    def _answer(self):
        timer = threading.Timer(self.timeout, self._kill)
        timer.start()
        try:
            line = self._process.stdout.readline()
        finally:
            timer.cancel()
        if not line:
            raise self._failure()
        return json.loads(line)

    def _kill(self):
        self._is_late = True
        self._process.kill()

    def _failure(self):
        status = self._process.wait()
        if self._is_late:
            return PluginError(f"{self.name} has not answered within {self.timeout:.0f} seconds")
        self._errors.seek(0)
        words = [line.strip() for line in self._errors if line.strip()][-3:]
        return PluginError(f"{self.name} failed (exit status {status}): {' | '.join(words) or 'no message'}")


def environment(mxnet_home, threads=None):
    """The variables of a contender's process: the model store of the benchmark, and nothing that points elsewhere."""
    variables = {name: value for name, value in os.environ.items() if name not in _ELSEWHERE}
    variables.update(MXNET_HOME=str(mxnet_home), HF_HUB_OFFLINE="1", TOKENIZERS_PARALLELISM="true")
    variables.update(PYTHONNOUSERSITE="1", PYTHONWARNINGS="ignore", **machine.caps())
    if threads:
        variables.update(OMP_NUM_THREADS=str(threads), RAYON_NUM_THREADS=str(threads))
    return variables


def race(contenders, rounds, steps, warmup, leave_out):
    """Measure contenders in turn, round by round.

    Parameters
    ----------
    contenders : dict of str to Contender
        One that fails is taken out.
    rounds : int
    steps : int
        Optimizer steps a round.
    warmup : int
        Steps before the first round, which do not count.
    leave_out : callable
        Is told the name and the error of a contender that fails.

    Returns
    -------
    dict of str to list
        For each contender and round a dict of the answers to 'train', 'evaluate' and 'encode'.
    """
    answers: Dict[str, List[dict]] = {name: [] for name in contenders}
    for number in range(rounds + 1):
        names = list(contenders)
        first = number % max(len(names), 1)
        for name in names[first:] + names[:first]:  # nobody is always the first
            try:
                if number == 0:
                    contenders[name].ask(f"train {warmup}")
                    continue
                ask = contenders[name].ask
                answers[name].append(
                    {"train": ask(f"train {steps}"), "evaluate": ask("evaluate"), "encode": ask("encode")}
                )
            except PluginError as error:
                del contenders[name]
                leave_out(name, error)
                del answers[name]
        print(f"round {number} of {rounds}" if number else "warmed up", file=sys.stderr)
    return answers
