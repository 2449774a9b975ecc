"""Reads labelled pairs of sentences from the files that people have.

How the bytes of a file become rows is in ``formats.py`` and ``tables.py``, which columns of a row count in
``columns.py``, what its label means in ``labels.py``; ``pairs.py`` puts these together.
"""

from .pairs import PairReader

__all__ = ["PairReader"]
