"""The real service as a process."""

import contextlib
import http.client
import json
import os
import re
import resource
import signal
import subprocess
import sys
import threading

import pytest


class Service:
    """A running ``gluonnlp-snli serve``, which may have so many files open."""

    def __init__(self, folder, *options, open_files=None):
        pytest.importorskip("starlette")
        pytest.importorskip("uvicorn")
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gluonnlp_snli_plugin", "serve", str(folder), "--port", "0", *map(str, options)],
            stderr=subprocess.PIPE,
            env={**os.environ, "OMP_NUM_THREADS": "1"},
            preexec_fn=open_files and (lambda: resource.setrlimit(resource.RLIMIT_NOFILE, (open_files, open_files))),
        )
        self.said = []
        for line in self.process.stderr:
            self.said.append(line.decode())
            found = re.search(r"http://(?:\S+?):(\d+)/", self.said[-1])
            if found:
                self.port = int(found.group(1))
                break
        else:
            raise AssertionError(f"no service: {self.said}")
        threading.Thread(target=self._listen, daemon=True).start()

    def _listen(self):
        for line in self.process.stderr:
            self.said.append(line.decode())

    def ask(self, content, path="/predict", method="POST", timeout=600, headers=(), kind="application/json"):
        """Status, JSON and headers of an answer; `content` is sent as it is if it is bytes, declared as `kind`."""
        body = content if content is None or isinstance(content, bytes) else json.dumps(content).encode()
        connection = http.client.HTTPConnection("127.0.0.1", self.port, timeout=timeout)
        with contextlib.closing(connection):
            connection.request(method, path, body, {**({"Content-Type": kind} if kind else {}), **dict(headers)})
            response = connection.getresponse()
            return response.status, json.loads(response.read()), dict(response.getheaders())

    def resident_mib(self):
        with open(f"/proc/{self.process.pid}/status") as status:
            return next(int(line.split()[1]) for line in status if line.startswith("VmRSS")) / 1024

    def stop(self, number=signal.SIGTERM, timeout=600):
        """Exit status."""
        self.process.send_signal(number)
        return self.process.wait(timeout)


@pytest.fixture(scope="session")
def start():
    """Starts a :class:`Service`."""
    services = []

    def run(*arguments, **more):
        services.append(Service(*arguments, **more))
        return services[-1]

    yield run
    for service in services:
        service.process.kill()
        service.process.wait()
        service.process.stderr.close()


@pytest.fixture(scope="session")
def service(start, tiny_run):
    """A service with settings as they come."""
    return start(tiny_run)
