"""Files of pairs."""

import pytest


@pytest.fixture
def write(tmp_path):
    """Writes a file of some content, str or bytes; returns its path."""

    def write_file(name, content):
        path = tmp_path / name
        path.write_bytes(content if isinstance(content, bytes) else content.encode())
        return path

    return write_file
