"""Downloads from servers that break off, or give something else than the archive."""

import os
import re
import socket
import threading

import pytest
from mirrors import (
    ARCHIVE,
    Mirror,
    assert_complete,
    break_off,
    failure,
    fetch,
    ignore_range,
    place,
    sha1,
    short_range,
    status,
    wrong_range,
)

from gluonnlp_snli_plugin.tasks import download

# Connections that break off.


def test_broken_download_goes_on_where_it_stopped(root):
    with Mirror(script=[break_off]) as mirror:
        fetch(root, mirror)
        assert_complete(root)
        first, second = mirror.ranges
        assert first is None
        assert 50_000 < int(re.fullmatch(r"bytes=(\d+)-", second).group(1)) <= 100_000


def test_later_run_goes_on_where_the_earlier_gave_up(root):
    with Mirror(script=[break_off] * 3) as mirror:
        message = failure(root, mirror.url, sha1(ARCHIVE))
        assert f"of {len(ARCHIVE)} bytes" in message or "more expected" in message
        assert len(mirror.ranges) == 3
        part = (root / "snli_1.0.zip.part").stat().st_size
        assert part > 150_000
        fetch(root, mirror)
        assert mirror.ranges[3:] == [f"bytes={part}-"]
    assert_complete(root)


def test_server_that_ignores_the_range_makes_it_start_again(root):
    with Mirror(script=[break_off, ignore_range]) as mirror:
        fetch(root, mirror)
        assert mirror.ranges[1] is not None
    assert_complete(root)


def test_answer_with_another_range_is_not_trusted(root):
    with Mirror(script=[break_off, wrong_range]) as mirror:
        fetch(root, mirror)
        assert mirror.ranges[1] is not None and mirror.ranges[2] is None
    assert_complete(root)


def test_range_that_is_shorter_than_asked_for_is_continued(root):
    with Mirror(script=[break_off, short_range]) as mirror:
        fetch(root, mirror)
        assert len(mirror.ranges) == 3
    assert_complete(root)


def test_part_that_is_too_long_starts_again(root):
    place(root, b"x" * (len(ARCHIVE) + 5), "snli_1.0.zip.part")
    with Mirror() as mirror:
        fetch(root, mirror)
        assert mirror.ranges == [f"bytes={len(ARCHIVE) + 5}-", None]
    assert_complete(root)


# Servers that give something else, or nothing.


def test_wrong_bytes_are_thrown_away(root):
    with Mirror(archive=b"<html>Please log in</html>") as mirror:
        message = failure(root, mirror.url, sha1(ARCHIVE))
    assert sha1(ARCHIVE) in message and sha1(mirror.archive) in message and "SNLI_URL" in message
    assert os.listdir(root) == [".lock"]


def test_404_is_said_at_once(root):
    with Mirror(script=[status(404)] * 3) as mirror:
        message = failure(root, mirror.url)
        assert len(mirror.ranges) == 1
    assert "404" in message and mirror.url in message and f"into {root} by hand" in message
    assert os.listdir(root) == [".lock"]


def test_503_is_tried_again(root):
    with Mirror(script=[status(503)]) as mirror:
        fetch(root, mirror)
        assert len(mirror.ranges) == 2
    assert_complete(root)


def test_503_is_not_tried_for_ever(root):
    with Mirror(script=[status(503)] * 9) as mirror:
        message = failure(root, mirror.url)
        assert len(mirror.ranges) == 3
    assert "503" in message and "3 attempts" in message and mirror.url in message


def test_nobody_listens(root):
    with socket.socket() as taken:  # bound and not listening: nobody else gets this port meanwhile
        taken.bind(("127.0.0.1", 0))
        url = f"http://127.0.0.1:{taken.getsockname()[1]}/snli_1.0.zip"
        message = failure(root, url)
    assert "Connection refused" in message and url in message and f"into {root} by hand" in message


def test_server_that_falls_silent(root, monkeypatch):
    monkeypatch.setattr(download, "TIMEOUT", (1, 0.1))
    has_failed = threading.Event()
    with Mirror(script=[lambda handler: has_failed.wait(600)] * 3) as mirror:
        try:
            assert "timed out" in failure(root, mirror.url).lower()
        finally:
            has_failed.set()


def test_endless_answer_is_cut_off(root, monkeypatch):
    monkeypatch.setattr(download, "MAX_BYTES", 200_000)
    with Mirror() as mirror:
        assert "more than 200000 bytes" in failure(root, mirror.url)
    assert (root / "snli_1.0.zip.part").stat().st_size == 0


@pytest.mark.parametrize("url", ["snli_1.0.zip", "ftp://127.0.0.1/snli_1.0.zip", "http://", "http://[", "file:///etc"])
def test_address_that_makes_no_sense(root, url):
    assert url in failure(root, url)


def test_password_of_a_mirror_is_not_shown(root, caplog):
    with Mirror(script=[status(404)]) as mirror:
        message = failure(root, mirror.url.replace("http://", "http://me:se@cret@"))
    assert "cret" not in message + caplog.text
    assert mirror.url in message
