"""Kills commands at each of their file-system operations, and shows what is left: a program of its own for tests.

Reads JSON objects from standard input, one a line: ``command``, the arguments of ``gluonnlp-snli``; ``again``, commands
of which one follows the killed one each in turn; ``before``, commands that make what is there at first; ``folder``, one
that is emptied each time, in which all of them work, named ``{}`` in them; ``points``, how many operations to be killed
at (0 for all). For each it writes a list of records, one line of JSON: each has the point, the command that followed,
its exit status and output, and the files that are there in the end. The first is of a command that nothing happened to.

MXNet is imported once; each command runs in a fork, and the figures of its pages are empty.
"""

import json
import os
import shutil
import signal
import sys
import tempfile

from markupsafe import Markup

import gluonnlp_snli_plugin.report.page  # noqa: F401  # matplotlib too is imported once
from gluonnlp_snli_plugin.cli import main
from gluonnlp_snli_plugin.report import svg

_OPERATIONS = {"os.rename", "os.remove", "os.rmdir", "os.mkdir", "os.truncate", "os.chmod", "fcntl.flock"}


def _watch(folder, counter, limit):
    """Count operations that change the folder, and die at the one of the given number."""

    def hook(event, arguments):
        if event == "open":
            path, _, flags = arguments
            changes = flags & (os.O_CREAT | os.O_TRUNC | os.O_WRONLY | os.O_RDWR)
        else:
            path, changes = arguments[0] if arguments else None, event in _OPERATIONS
        if not changes or not (event == "fcntl.flock" or folder in str(path)):
            return
        counter[0] += 1
        if counter[0] == limit:
            os.kill(os.getpid(), signal.SIGKILL)

    sys.addaudithook(hook)


def _run(arguments, folder, limit=None):
    """Run a command in a fork; returns its exit status (-9 where it was killed), output, and operations."""
    reading, writing = os.pipe()
    with tempfile.TemporaryFile() as output:
        child = os.fork()
        if child == 0:
            status = 70
            try:
                os.dup2(output.fileno(), 1)
                os.dup2(output.fileno(), 2)
                counter = [0]
                _watch(folder, counter, limit)
                status = main([argument.replace("{}", folder) for argument in arguments])
                os.write(writing, str(counter[0]).encode())
            finally:
                sys.stdout.flush()
                sys.stderr.flush()
                os._exit(status)
        os.close(writing)
        _, wait_status = os.waitpid(child, 0)
        status = -os.WTERMSIG(wait_status) if os.WIFSIGNALED(wait_status) else os.WEXITSTATUS(wait_status)
        with os.fdopen(reading, "rb") as pipe:
            operations = int(pipe.read() or 0)
        output.seek(0)
        return status, output.read().decode(errors="replace"), operations


def _files(folder):
    return sorted(os.path.relpath(os.path.join(at, name), folder) for at, _, names in os.walk(folder) for name in names)


def _records(request):
    folder, before = request["folder"], request["before"]

    def begin():
        shutil.rmtree(folder, ignore_errors=True)
        os.mkdir(folder)
        for command in before:
            status, output, _ = _run(command, folder)
            assert status == 0, output

    begin()
    status, output, number = _run(request["command"], folder)
    records = [{"status": status, "output": output, "files": _files(folder), "operations": number}]
    points = request["points"] or number
    for i in range(1, points + 1):
        point = max(1, number * i // points)
        begin()
        status, output, _ = _run(request["command"], folder, point)
        assert status == -signal.SIGKILL, (point, status, output)
        again = request["again"][i % len(request["again"])]
        status, output, _ = _run(again, folder)
        records.append({"point": point, "again": again, "status": status, "output": output, "files": _files(folder)})
    return records


if __name__ == "__main__":
    svg.plot = lambda name, description, draw: Markup("<svg></svg>")
    for line in sys.stdin:
        print(json.dumps(_records(json.loads(line))), flush=True)
