"""A server of an archive that misbehaves, and what a download from it comes to; loaded by the tests of downloads."""

import hashlib
import io
import os
import random
import re
import threading
import zipfile
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer

import pytest

from gluonnlp_snli_plugin.errors import DownloadError
from gluonnlp_snli_plugin.tasks.download import SNLI_ARCHIVE

FILES = SNLI_ARCHIVE.files
# Noise, so that packing does not make it small: the client needs several reads for it.
CONTENT = {name: bytes(random.Random(name).choices(range(256), k=150_000)) for name in FILES}


def zipped(members, compression=zipfile.ZIP_DEFLATED):
    """Bytes of an archive with `members`, a list of (name or ZipInfo, content)."""
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", compression) as archive:
        archive.writestr("README.txt", "not wanted")
        for name, content in members:
            archive.writestr(name, content)
    return buffer.getvalue()


GOOD = [(f"snli_1.0/{name}", content) for name, content in CONTENT.items()]
ARCHIVE = zipped(GOOD)


def sha1(content):
    return hashlib.sha1(content).hexdigest()


class Mirror(ThreadingHTTPServer):
    """A server that gives `archive`, with ranges; `script` says how it answers the first requests instead."""

    def __init__(self, archive=ARCHIVE, script=()):
        self.archive, self.script = archive, list(script)
        self.ranges = []  # the Range header of every request, or None
        super().__init__(("127.0.0.1", 0), _Handler)
        self.url = f"http://127.0.0.1:{self.server_port}/snli_1.0.zip"

    def __enter__(self):
        threading.Thread(target=self.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        return self

    def __exit__(self, *_):
        self.shutdown()
        self.server_close()


class _Handler(BaseHTTPRequestHandler):
    def do_GET(self):
        self.server.ranges.append(self.headers.get("Range"))
        answer = self.server.script.pop(0) if self.server.script else obey_range
        answer(self)

    def log_message(self, *_):
        pass

    def answer(self, status, body=b"", declared=None, **headers):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body) if declared is None else declared))
        for name, value in headers.items():
            self.send_header(name.replace("_", "-"), value)
        self.end_headers()
        self.wfile.write(body)


def start_of(handler):
    return int(re.fullmatch(r"bytes=(\d+)-", handler.headers.get("Range", "bytes=0-")).group(1))


def obey_range(handler, at_most=None):
    whole, start = handler.server.archive, start_of(handler)
    body = whole[start:][:at_most]
    if start >= len(whole):
        handler.answer(416, Content_Range=f"bytes */{len(whole)}")
    elif start:
        content_range = f"bytes {start}-{len(whole) - 1}/{len(whole)}"
        handler.answer(206, body, declared=len(whole) - start, Content_Range=content_range)
    else:
        handler.answer(200, body, declared=len(whole))


def break_off(handler):
    """Promise all, send 100,000 bytes, hang up."""
    obey_range(handler, at_most=100_000)


def ignore_range(handler):
    handler.answer(200, handler.server.archive)


def wrong_range(handler):
    """Say 206, and send the archive from its beginning."""
    whole = handler.server.archive
    handler.answer(206, whole, Content_Range=f"bytes 0-{len(whole) - 1}/{len(whole)}")


def short_range(handler):
    """Give 100,000 bytes of the range that was asked for, and say so, as a server may."""
    whole, start = handler.server.archive, start_of(handler)
    body = whole[start:][:100_000]
    handler.answer(206, body, Content_Range=f"bytes {start}-{start + len(body) - 1}/{len(whole)}")


def status(code):
    return lambda handler: handler.answer(code, b"<html>an error page</html>")


def download_snli(root, url=None, sha1=SNLI_ARCHIVE.sha1, progress=None):
    SNLI_ARCHIVE._replace(sha1=sha1).fetch(root, url, progress)


def fetch(root, mirror, **options):
    options.setdefault("sha1", sha1(mirror.archive))
    download_snli(root, url=mirror.url, **options)


def failure(root, *args, **options):
    """The message of the DownloadError, which is one line that says where to put the file by hand."""
    with pytest.raises(DownloadError) as caught:
        download_snli(root, *args, **options)
    message = str(caught.value)
    assert "\n" not in message
    assert str(root) in message
    return message


def assert_complete(root):
    assert {name: (root / name).read_bytes() for name in FILES} == CONTENT
    assert sorted(os.listdir(root)) == sorted([".lock", *FILES])


def place(root, archive, name="snli_1.0.zip"):
    root.mkdir(parents=True, exist_ok=True)
    (root / name).write_bytes(archive)
    return sha1(archive)
