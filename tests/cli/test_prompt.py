"""``predict OUT`` as somebody meets it who types: on a real pseudo-terminal."""

import json
import os
import pty
import re
import select
import signal
import subprocess
import sys
import time

from gluonnlp_snli_plugin.cli import main

PATIENCE = 600  # seconds until what does not come counts as hanging


class Terminal:
    """A command on a terminal, and what is to be seen there."""

    def __init__(self, *arguments, stdout=None, **variables):
        ours, theirs = pty.openpty()
        self._descriptor, self.seen = ours, ""
        environment = {name: value for name, value in os.environ.items() if name != "NO_COLOR"}
        self.process = subprocess.Popen(
            [sys.executable, "-m", "gluonnlp_snli_plugin", "predict", *map(str, arguments)],
            stdin=theirs,
            stdout=stdout or theirs,
            stderr=theirs,
            start_new_session=True,
            env={**environment, "TERM": "xterm", "PYTHONIOENCODING": "utf-8", **variables},
        )
        os.close(theirs)

    def wait_for(self, text, times=1):
        assert self._sees(text, times, PATIENCE), self.seen

    def _sees(self, text, times, seconds):
        end = time.monotonic() + seconds
        while self.seen.count(text) < times and time.monotonic() < end and self._look():
            pass
        return self.seen.count(text) >= times

    def _look(self):
        """Whether there may be more to see later; what comes within 0.2 seconds is seen now."""
        if select.select([self._descriptor], [], [], 0.2)[0]:
            try:
                self.seen += os.read(self._descriptor, 1 << 16).decode("utf-8", "replace")
            except OSError:  # the other side is closed
                return False
        return True

    def type(self, text):
        os.write(self._descriptor, text if isinstance(text, bytes) else text.encode())

    def interrupt(self):
        """Ctrl-C, and again where it came too early: just before readline waits for keys it would lie there unheard."""
        self._look()
        for _ in range(PATIENCE // 10):
            os.killpg(self.process.pid, signal.SIGINT)
            if self._sees("interrupted", 1, 10):
                break

    def leave(self):
        """End it from wherever it is: a line that was begun is a premise, and an empty one or Ctrl-D are the end."""
        end = time.monotonic() + PATIENCE
        while self._look():
            assert time.monotonic() < end, self.seen
            self.type(b"\r\x04")
        return self.status()

    def status(self):
        try:
            return self.process.wait(PATIENCE)
        finally:
            self.process.kill()
            os.close(self._descriptor)


def _ask(terminal, premise, hypothesis, times=1):
    terminal.wait_for("Premise:", times)
    terminal.type(premise + "\r")
    terminal.wait_for("Hypothesis:", times)
    terminal.type(hypothesis + "\r")
    terminal.wait_for("(entailment ", times)


def test_pairs_are_asked_for_and_answered_an_empty_hypothesis_asked_for_again_and_no_bytes_do_harm(tiny_run):
    terminal = Terminal(tiny_run)
    _ask(terminal, "The dog is running.", "a dog is sleeping")
    _ask(terminal, "The cat is running.", "a cat is sleeping", times=2)
    assert re.search(
        r"(entailment|contradiction|neutral)  \(entailment [01]\.\d{3}  contradiction [01]\.\d{3}", terminal.seen
    )
    terminal.wait_for("Premise:", 3)
    terminal.type("a dog\r")
    terminal.wait_for("Hypothesis:", 3)
    terminal.type("\r")
    terminal.wait_for("Hypothesis:", 4)
    terminal.type("a cat\r")
    terminal.wait_for("Premise:", 4)
    terminal.type(b"caf\xe9\r")  # which of it readline takes is its own affair, the end of the line included
    assert terminal.leave() == 0 and "Traceback" not in terminal.seen


def test_with_explain_words_are_coloured_until_a_premise_is_empty(tiny_run):
    terminal = Terminal(tiny_run, "--explain")
    _ask(terminal, "The dog is running.", "a dog is sleeping")
    terminal.wait_for("\033[0m")
    assert re.search("\033\\[38;5;\\d+;48;5;\\d+m", terminal.seen)
    terminal.wait_for("Premise:", 2)
    terminal.type("\r")
    assert terminal.status() == 0


def test_without_colours_words_have_numbers_and_ctrl_c_ends_it_with_130(tiny_run):
    terminal = Terminal(tiny_run, "--explain", NO_COLOR="1")
    _ask(terminal, "The dog is running.", "a dog is sleeping")
    terminal.wait_for("Premise:", 2)
    assert re.search(r"\w\[[+-]\d\.\d\d\]", terminal.seen) and "48;5" not in terminal.seen
    terminal.type("a cat")
    terminal.wait_for("a cat")
    terminal.interrupt()
    terminal.wait_for("gluonnlp-snli: interrupted")
    assert "Traceback" not in terminal.seen and terminal.status() == 130


def test_questions_stay_out_of_a_file_of_answers(tiny_run, tmp_path):
    with open(tmp_path / "answers.jsonl", "w+") as answers:
        terminal = Terminal(tiny_run, "--json", stdout=answers)
        terminal.wait_for("Premise:")
        terminal.type("The dog is running.\r")
        terminal.wait_for("Hypothesis:")
        terminal.type("a dog is sleeping\r")
        terminal.wait_for("Premise:", 2)
        terminal.type(b"\x04")
        assert terminal.status() == 0
        answers.seek(0)
        assert re.fullmatch(r'\{"sentence1": "The dog is running\.", [^\n]*\}\n', answers.read())


def test_where_nobody_types_there_is_no_prompt(tiny_run, capsys, monkeypatch):
    ours, theirs = os.pipe()
    os.close(theirs)
    for standard_input in (os.devnull, ours):
        with open(standard_input) as file:
            monkeypatch.setattr("sys.stdin", file)
            assert main(["predict", str(tiny_run)]) == 2
        said = capsys.readouterr().err
        assert said.count("\n") == 1 and "give --premise and --hypothesis, or --file F (- for standard input)" in said


def test_explanations_as_text_json_and_html(tiny_run, tmp_path, capsys):
    pair = ["--premise", "The <b>dog</b> is running.", "--hypothesis", "a dog is sleeping"]
    page = tmp_path / "why.html"
    assert main(["predict", str(tiny_run), *pair, "--explain", "--explain-html", str(page)]) == 0
    assert re.search(r"running.*\n  a.*sleeping", capsys.readouterr().out)
    assert "&lt;" in page.read_text() and "<b>dog" not in page.read_text()
    assert main(["predict", str(tiny_run), *pair, "--explain", "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert "".join(part["text"] for part in answer["explanation"]["premise"]) == "The <b>dog</b> is running."
    assert main(["predict", str(tiny_run), *pair, "--explain-html", str(tmp_path / "no" / "where.html")]) == 1
    assert "No such file" in capsys.readouterr().err
