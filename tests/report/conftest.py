"""Folders as runs leave them; and a real browser, driven over https://chromedevtools.github.io/devtools-protocol/."""

import fcntl
import functools
import json
import os
import shutil
import subprocess
import tempfile

import numpy as np
import pytest

from gluonnlp_snli_plugin.evaluate.predictions import Pairs, Predictions, write_predictions
from gluonnlp_snli_plugin.tasks.snli import LABELS

HOSTILE = [
    "<script>document.title = 'taken'</script><img src=x onerror=\"document.title = 'taken'\">",
    "</p></section></main><style>* { display: none }</style><h1>gone",
    "\u202edlrow olleh \u0007\x1b[31m\x00 {{ 7 * 7 }} {% raw %} &lt;b&gt;",
    "כל הכלבים ישנים, all the dogs sleep",
    "a" * 5000,
    "http://example.invalid/x.png \"' onmouseover='alert(1)",
]

NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
OPTIONS = """--headless --no-sandbox --disable-gpu --disable-quic --no-first-run --disable-background-networking
    --disable-component-update --disable-sync --disable-dev-shm-usage --remote-debugging-pipe""".split()


@pytest.fixture
def make_run(tmp_path, run_in):
    """Makes the folder of a run of some hundred updates, with answers that are right more often than not."""
    return functools.partial(run_in, tmp_path)


@pytest.fixture(scope="session")
def run_in():
    """As `make_run`, in a place that is given first."""

    def make(place, name="out", num_pairs=300, sets=("dev",), seed=0, texts=(), labels=LABELS, fields=(), **settings):
        random = np.random.default_rng(seed)
        folder = place / name
        folder.mkdir()
        settings = {"output_dir": name, "backbone": "bert_2_16_2", "epochs": 3, "lr": 5e-5, "seed": seed, **settings}
        record = {
            "settings": settings,
            "repeat": ["gluonnlp-snli", "finetune", "--seed", str(seed), "--output-dir", "it's here"],
            "working_folder": "/tmp",
            "devices": "cpu:0",
            "data": {"train": {"source": "train.jsonl", "pairs": 3200, "truncated": 3}},
            "versions": {"mxnet": "1.9.1"},
        }
        (folder / "config.json").write_text(json.dumps(record))
        lines = []
        for update in range(50, 301, 50):
            figures = {"loss": 1 / update + random.random() / 9, "accuracy": 0.5 + update / 900}
            lines.append(
                {"kind": "train", "epoch": 1, "update": update, "lr": 1e-5, "pairs_per_second": 20.5, **figures}
            )
            if update % 100 == 0:
                lines.append({"kind": "dev", "epoch": update // 100, "update": update, **figures})
        (folder / "metrics.jsonl").write_text("".join(json.dumps(line) + "\n" for line in lines))
        summary = {"dev_accuracy": lines[-1]["accuracy"], "best_epoch": 3, "best_update": 300, "updates": 300}
        (folder / "summary.json").write_text(json.dumps({**summary, "train_pairs_per_second": 20.5, "seconds": 61.2}))
        for which in sets:
            premises = [f"A man plays the {i}th guitar." for i in range(num_pairs)]
            premises[: len(texts)] = texts
            size = len(labels)
            gold, tokens = random.integers(0, size, num_pairs), random.integers(9, 80, num_pairs)
            weights = random.dirichlet([1] * size, num_pairs)
            weights += 1.2 * np.eye(size)[gold] * random.random((num_pairs, 1))
            if texts:  # they are to be shown
                weights[: len(texts)] = np.eye(size)[(gold[: len(texts)] + 1) % size]
            values = {field: [f"{field} {i % 3}" for i in range(num_pairs)] for field in fields}
            pairs = Pairs(premises, premises[::-1], gold, tokens, tokens > 64, tuple(labels), values)
            answers = Predictions.of(
                pairs, weights / weights.sum(axis=1, keepdims=True), weights=None, source="f.jsonl"
            )
            write_predictions(folder, which, answers)
        return folder

    return make


@pytest.fixture(scope="session")
def hostile():
    """Texts that want to be more than texts."""
    return HOSTILE


class Browser:
    """A headless Chromium; a context manager.

    Attributes
    ----------
    complaints : list of str
        What pages have said on the console, and what was forbidden to them.
    requests : list of str
        The addresses that were asked for.
    """

    def __init__(self, program):
        self._program = program
        self.complaints, self.requests = [], []
        self._loaded = False
        self._number = 0
        self._rest = b""

    def __enter__(self):
        self._home = tempfile.TemporaryDirectory(prefix="chromium-")
        command_read, self._command = os.pipe()
        self._answer, answer_write = os.pipe()

        def connect():  # DevTools reads commands from descriptor 3 and answers on descriptor 4
            spare = [fcntl.fcntl(end, fcntl.F_DUPFD, 5) for end in (command_read, answer_write)]
            os.dup2(spare[0], 3)
            os.dup2(spare[1], 4)

        self._process = subprocess.Popen(
            [self._program, *OPTIONS, f"--user-data-dir={self._home.name}"],
            stdin=subprocess.DEVNULL,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            close_fds=False,
            preexec_fn=connect,
        )
        os.close(command_read)
        os.close(answer_write)
        target = self._ask("Target.createTarget", url="about:blank")["targetId"]
        self._session = self._ask("Target.attachToTarget", targetId=target, flatten=True)["sessionId"]
        for domain in ("Page", "Runtime", "Log", "Network"):
            self.ask(f"{domain}.enable")
        return self

    def __exit__(self, *_):
        self._ask("Browser.close")
        self._process.wait(600)
        os.close(self._command)
        os.close(self._answer)
        shutil.rmtree(self._home.name, ignore_errors=True)

    def open(self, path, width, is_dark=False):
        """Load a file in a window of this width; waits until it is there."""
        self.ask("Emulation.setDeviceMetricsOverride", width=width, height=900, deviceScaleFactor=1, mobile=width < 600)
        scheme = {"name": "prefers-color-scheme", "value": "dark" if is_dark else "light"}
        self.ask("Emulation.setEmulatedMedia", features=[scheme])
        self._loaded = False
        self.ask("Page.navigate", url=path.resolve().as_uri())
        while not self._loaded:
            self._note(self._receive())

    def evaluate(self, expression):
        """The value of a JavaScript expression in the page, whatever the page's policy."""
        answer = self.ask("Runtime.evaluate", expression=expression, returnByValue=True, awaitPromise=True)
        assert "exceptionDetails" not in answer, answer
        return answer["result"].get("value")

    def ask(self, method, **parameters):
        return self._ask(method, session=self._session, **parameters)

    def _ask(self, method, session=None, **parameters):
        self._number += 1
        message = {"id": self._number, "method": method, "params": parameters}
        os.write(self._command, json.dumps({**message, **({"sessionId": session} if session else {})}).encode() + b"\0")
        while True:
            answer = self._receive()
            if answer.get("id") == self._number:
                assert "error" not in answer, answer
                return answer["result"]
            self._note(answer)

    def _receive(self):
        while b"\0" not in self._rest:
            block = os.read(self._answer, 1 << 16)
            assert block, "the browser has gone"
            self._rest += block
        message, self._rest = self._rest.split(b"\0", 1)
        return json.loads(message)

    def _note(self, event):
        method, what = event.get("method"), event.get("params", {})
        if method == "Page.loadEventFired":
            self._loaded = True
        elif method in ("Log.entryAdded", "Runtime.consoleAPICalled", "Runtime.exceptionThrown"):
            self.complaints.append(json.dumps(what))
        elif method == "Network.requestWillBeSent":
            self.requests.append(what["request"]["url"])


@pytest.fixture(scope="session")
def browser():
    """A headless Chromium, where there is one."""
    program = next(filter(None, map(shutil.which, NAMES)), None)
    if program is None:
        pytest.skip("no Chromium: apt-get install chromium")
    with Browser(program) as running:
        yield running
