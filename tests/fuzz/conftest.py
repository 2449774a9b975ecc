"""Damage, hostile strings, and the law that all of them are tried against.

The law: what reads something from outside gives what it should, or raises a PluginError of one line that names the
file. Each test runs few examples, always the same ones; ``make fuzz`` sets FUZZ_EXAMPLES, and they are many, and new.
"""

import collections
import json
import os
import re
import select
import subprocess
import sys
from pathlib import Path
from typing import Counter

import orjson
import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st

from gluonnlp_snli_plugin import import_bert
from gluonnlp_snli_plugin.errors import PluginError
from gluonnlp_snli_plugin.tasks.snli import SNLITask

WORKER = Path(__file__).with_name("worker.py")
EXAMPLES = int(os.environ.get("FUZZ_EXAMPLES", "0"))
PATIENCE = 600  # seconds that one case may take in the worker; the slowest takes one

# Files are written anew for each example, so fixtures of a test may be shared among its examples.
_CHECKS = [HealthCheck.function_scoped_fixture, HealthCheck.too_slow, HealthCheck.data_too_large]
_settings = {"suppress_health_check": _CHECKS, "database": None, "derandomize": not EXAMPLES}
settings.register_profile("fuzz", max_examples=EXAMPLES or 25, **_settings)
settings.register_profile("slow fuzz", max_examples=EXAMPLES // 4 or 8, **_settings)


# Strings ------------------------------------------------------------------------------------------------------------

NASTY = {
    "NUL": "a\0b",
    "surrogate": "a \ud800 dog",
    "undecodable byte": "caf\udce9",
    "BiDi": "\u202edog\u202c \u2066cat\u2069 \u200f",
    "only spaces": " \t\u3000\u00a0\u2028",
    "only punctuation": "?!.,;:-_()[]{}'\"\\/@#$%^&*+=<>|~`" * 3,
    "line ends": "a\nb\rc\u2028d\x85e\x0bf\x0cg",
    "terminal": "\x1b[2J\x1b]0;owned\x07",
    "special tokens": "[CLS] a [SEP] [MASK] [PAD] [UNK] ##s",
    "combining": "e" + "\u0301" * 500,
    "format": "%s %(prog)s {0} {} $HOME `id` ~nobody-of-that-name *",
    "path": "/proc/1/nowhere/../x",
    "option": "--help-me",
    "JSON": '{"sentence1": "a", "sentence2": "b", "gold_label": "neutral"}',
    "astral": "\U0001f600\U0010ffff\ufeff\ufffe",
    "digits of elsewhere": "\u0664\u0662",
    "number": "1e999",
    "digits": "9" * 5000,
    "empty": "",
}
LONG = {
    "10,000 tokens": "dog " * 10_000,
    "a megabyte of a letter": "a" * (1 << 20),
    "a megabyte of a sign": "\u4e2d" * (1 << 18),
    "a megabyte of points": "." * (1 << 17),
    "a megabyte of accents": "\u0301" * (1 << 19),
}


class Damage:
    """Strategies for what may come from outside."""

    nasty, long = NASTY, LONG

    def text(self):
        """Any string; often one that somebody once stumbled over."""
        return st.one_of(st.sampled_from(sorted(NASTY.values())), st.text(max_size=40), st.sampled_from("a b".split()))

    def content(self, whole, others=()):
        """Bytes that were `whole` once: cut, flipped, spliced with themselves or others; or of anything.

        Small files only: what is drawn stays small, and hypothesis can show it.
        """
        whole, donors = bytes(whole), [bytes(whole), *map(bytes, others)]
        place = st.integers(0, len(whole))
        pieces = st.tuples(st.sampled_from(donors), place, st.integers(0, 64)).map(lambda p: p[0][p[1] : p[1] + p[2]])
        numbers = st.sampled_from([0, 1, 2, 255, 1 << 31, (1 << 31) - 1, 1 << 60, (1 << 63) - 1, (1 << 64) - 1])
        words = st.one_of(
            numbers.map(lambda n: n.to_bytes(8, "little")),
            numbers.map(lambda n: (n % (1 << 32)).to_bytes(4, "little")),
            st.binary(min_size=1, max_size=8),
            pieces,
        )
        edits = st.tuples(st.sampled_from(["flip", "put", "insert", "remove", "cut", "double"]), place, words)
        edited = st.lists(edits, min_size=1, max_size=4).map(lambda edits: _edited(whole, edits))
        return st.one_of(edited, edited, edited, st.binary(max_size=64), st.just(whole))

    def json(self, value, more=()):
        """JSON values that were `value` once, with something else at some places, however deep."""
        return st.lists(st.tuples(st.integers(0, 1 << 30), self.scalar(more)), min_size=1, max_size=3).map(
            lambda edits: _planted(value, edits)
        )

    def scalar(self, more=()):
        """Anything that JSON can hold, and what Python's json takes for it."""
        return st.one_of(
            st.sampled_from(
                [
                    None,
                    True,
                    False,
                    0,
                    -1,
                    1,
                    2.5,
                    5e-324,
                    1e400,
                    -1e400,
                    float("nan"),
                    10**30,
                    -(10**30),
                    1 << 24,
                    1 << 62,
                ]
            ),
            st.sampled_from([[], {}, [[]], {"": None}, [0] * 100, *more]),
            st.integers(),
            self.text(),
            st.just(REMOVED),
        )

    def json_bytes(self, value, more=()):
        """The same as bytes, or a JSON file that is damaged, or nested as deep as nobody means it."""
        whole = json.dumps(value).encode()
        deep = st.sampled_from([b"[" * 100_000, b'{"a":' * 100_000, b"[" * 5000 + b"]" * 5000])
        planted = self.json(value, more).map(lambda changed: json.dumps(changed).encode())
        return st.one_of(planted, planted, planted, self.content(whole), deep)


REMOVED = "(removed)"


def _edited(content, edits):
    for kind, place, word in edits:
        if kind == "flip" and content:
            place %= len(content)
            content = content[:place] + bytes([content[place] ^ 1 << word[0] % 8 if word else 0]) + content[place + 1 :]
        elif kind == "put":
            content = content[:place] + word + content[place + len(word) :]
        elif kind == "insert":
            content = content[:place] + word + content[place:]
        elif kind == "remove":
            content = content[:place] + content[place + len(word) :]
        elif kind == "cut":
            content = content[:place]
        elif kind == "double":
            content = content[:place] + content[place // 2 :]
    return content


def _planted(value, edits):
    """A copy of a JSON value with other values at places that are given by their number."""
    value = json.loads(json.dumps(value))
    for number, other in edits:
        other = json.loads(json.dumps(other))  # a copy too: it may be edited next
        places = list(_places(value))
        if not places:
            return value if other == REMOVED else other
        owner, key = places[number % len(places)]
        if other == REMOVED:
            del owner[key]
        else:
            owner[key] = other
    return value


def _places(value):
    for key in list(value) if isinstance(value, dict) else range(len(value)):
        yield value, key
        if isinstance(value[key], (dict, list)):
            yield from _places(value[key])


@pytest.fixture(scope="session")
def damage():
    """See :class:`Damage`."""
    return Damage()


_answers: Counter[str] = collections.Counter()


def pytest_terminal_summary(terminalreporter):
    if _answers:
        terminalreporter.write_line(f"fuzz: {_answers['inputs']} inputs, {_answers['refused']} of them refused")


# The law ------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def lawful():
    """Calls `read`; returns what it gives, or None if it refused as it should, naming `path`."""

    def run(read, path):
        _answers["inputs"] += 1
        try:
            return read()
        except PluginError as error:
            _answers["refused"] += 1
            check_complaint(str(error), path)
        return None

    return run


def check_complaint(message, path):
    assert message.splitlines() == [message] and message.isprintable(), message
    if path is not None:
        assert str(path) in message, message


# Pairs --------------------------------------------------------------------------------------------------------------


@pytest.fixture(scope="session")
def expected_pairs():
    """What a file of pairs holds, read as simply as can be: a list with an item for each line that is not blank.

    An item is ``(premise, hypothesis, label)``, '-' for a row without gold label, or the number of a bad line. None for
    a table without header.
    """

    def read(content, is_table, is_labelled):
        if content.startswith(b"\xef\xbb\xbf"):
            content = content[3:]
        lines = [(number, line) for number, line in enumerate(content.split(b"\n"), 1) if line.strip()]
        names = None
        if is_table:
            try:
                names = lines.pop(0)[1].decode().rstrip("\r\n").split("\t")
            except (IndexError, UnicodeDecodeError):
                return None
            if None in [_column(names, role) for role in ("premise", "hypothesis", "label")[: 2 + is_labelled]]:
                return None
        return [_pair(line, number, names, is_labelled) for number, line in lines]

    return read


def _column(names, role):
    """The one column of a role, or None."""
    found = [name for name in names if re.sub(r"[\s_-]", "", name).lower() in _NAMES[role]]
    return found[0] if len(found) == 1 else None


_NAMES = {role: {name.replace("_", "") for name in names} for role, names in SNLITask.columns.items()}
_LABELS = {**{label: label for label in SNLITask.class_labels}, **SNLITask.label_alias, "-": "-", "-1": "-"}


def _pair(line, number, names, is_labelled):
    try:
        if names is None:
            row = orjson.loads(line)
        else:
            cells = line.decode().rstrip("\r\n").split("\t")
            row = dict(zip(names, cells))
            if len(cells) != len(names):
                return number
    except ValueError:
        return number
    if not isinstance(row, dict):
        return number
    premise, hypothesis, label = (row.get(_column(list(row), role)) for role in ("premise", "hypothesis", "label"))
    if isinstance(label, float) and label.is_integer():
        label = int(label)
    label = _LABELS.get(str(label).strip().lower()) if isinstance(label, (str, int)) else None
    if is_labelled and label == "-":
        return "-"
    if any(not isinstance(text, str) or not text.strip() for text in (premise, hypothesis)):
        return number
    if is_labelled and label is None:
        return number
    return premise, hypothesis, None if label == "-" else label


class Worker:
    """A process in which C++ may fall over; it does one case after the other.

    A case that ends it, hangs or takes memory out of proportion fails, and the next one gets a new process.
    """

    def __init__(self, environment):
        self._environment, self._process = environment, None

    def __call__(self, what, path, names_path=True, mebibytes=48, **arguments):
        """What reading gives, as JSON holds it; None if it was refused as it should, naming `path`."""
        process = self._started()
        case = json.dumps({"what": what, "path": str(path), **arguments})
        process.stdin.write(case + "\n")
        process.stdin.flush()
        if not select.select([process.stdout], [], [], PATIENCE)[0]:
            self.stop()
            raise AssertionError(f"no answer after {PATIENCE} s: {case}")
        line = process.stdout.readline()
        if not line:
            self.stop()
            raise AssertionError(f"the process died, with status {process.returncode}: {case}")
        answer = json.loads(line)
        assert "traceback" not in answer, answer["traceback"]
        assert answer["mebibytes"] <= mebibytes, f"{answer['mebibytes']} MiB: {case}"
        _answers["inputs"] += 1
        if "refused" in answer:
            _answers["refused"] += 1
            check_complaint(answer["refused"], path if names_path else None)
            return None
        return answer["result"]

    def _started(self):
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, str(WORKER)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                universal_newlines=True,
                env=self._environment,
            )
            assert self._process.stdout.readline() == "ready\n"
        return self._process

    def stop(self):
        if self._process is not None:
            self._process.kill()
            self._process.wait()
            self._process.stdin.close()
            self._process.stdout.close()
            self._process = None


@pytest.fixture(scope="session")
def worker(tmp_path_factory):
    """See :class:`Worker`."""
    home = tmp_path_factory.mktemp("fuzz-home")
    process = Worker({**os.environ, "MXNET_HOME": str(home), "HF_HUB_OFFLINE": "1", "OMP_NUM_THREADS": "1"})
    yield process
    process.stop()


@pytest.fixture(scope="session")
def store_root(tiny_bert, tmp_path_factory):
    """A model store with the tiny BERT as tiny_uncased."""
    root = tmp_path_factory.mktemp("store")
    import_bert(tiny_bert, "tiny_uncased", root=root)
    return root
