"""Pages are looked at in test_report.py alone."""

import pytest


@pytest.fixture(autouse=True)
def _empty_figures(empty_figures):
    """For all tests in this folder."""
