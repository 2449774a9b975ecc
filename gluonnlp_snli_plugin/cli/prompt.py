"""Asks for pairs of sentences, one after the other."""

import contextlib
import sys
from typing import Iterator, Optional, Tuple


def typed_pairs() -> Iterator[Tuple[str, str]]:
    """The pairs that the user types, until a premise is empty or the input ends (Ctrl-D).

    Yields
    ------
    premise, hypothesis : str
    """
    with contextlib.suppress(ImportError):
        import readline  # noqa: F401  # from here on, input() can edit lines and remember them
    print("Enter a premise and a hypothesis; an empty premise ends the session.", file=sys.stderr)
    while True:
        premise = _ask("Premise:    ")
        if not premise:
            return
        hypothesis: Optional[str] = ""
        while hypothesis == "":
            hypothesis = _ask("Hypothesis: ")
        if hypothesis is None:
            return
        yield premise, hypothesis


def _ask(question: str) -> Optional[str]:
    """What the user types, without spaces around it; None at the end of the input."""
    while True:
        try:
            if sys.stdout.isatty():  # where readline has to know the question
                text = input(question).strip()
            else:  # only the answers go elsewhere
                print(question, end="", file=sys.stderr, flush=True)
                text = input().strip()
            text.encode()  # half characters stand for bytes that are not UTF-8
            return text
        except UnicodeError:
            print("that is not valid UTF-8", file=sys.stderr)
        except EOFError:
            print(file=sys.stderr)
            return None
        except KeyboardInterrupt:
            print(file=sys.stderr)
            raise
