"""Pairs for nets whose answers are compared."""

import pytest

from gluonnlp_snli_plugin.tasks.snli import SNLI


@pytest.fixture
def encoded(model, pairs_file):
    """Some pairs, encoded for a test module's own `model`."""
    pairs = SNLI(file=pairs_file)
    return model.encoder().encode(pairs.premises[:48], pairs.hypotheses[:48], pairs.labels[:48])
