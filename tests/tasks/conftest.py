"""Files of pairs, and a place for downloads."""

import pytest

from gluonnlp_snli_plugin.tasks import download


@pytest.fixture
def write(tmp_path):
    """Writes a file of the given name and content (str or bytes) and returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file


@pytest.fixture(scope="module")
def folder(tmp_path_factory):
    """One for all examples of a property."""
    return tmp_path_factory.mktemp("snli")


@pytest.fixture(autouse=True)
def quick_and_local(monkeypatch):
    """Failed downloads are tried again at once, and only from local servers that a test names."""
    monkeypatch.setattr(download, "RETRY_DELAYS", (0.01, 0.01))
    monkeypatch.delenv("SNLI_URL", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")


@pytest.fixture
def root(tmp_path):
    """Where SNLI is downloaded to."""
    return tmp_path / "datasets" / "snli"
