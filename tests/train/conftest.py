"""What these runs come to is in their files; nobody looks at their pages."""

import pytest


@pytest.fixture(autouse=True)
def _empty_figures(empty_figures):
    """For all tests in this folder."""
