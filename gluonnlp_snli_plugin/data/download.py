"""The official SNLI archive, fetched once and unpacked into the data folder."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import re
import stat
import struct
import sys
import time
import zipfile
import zlib
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

import requests
from tqdm import tqdm

from ..errors import DownloadError
from ..files import digest

SNLI_URL = "https://nlp.stanford.edu/projects/snli/snli_1.0.zip"
SNLI_SHA1 = "9fcde07509c7e87ec61c640c1b2753d9041758e4"
FILES = tuple(f"snli_1.0_{segment}.jsonl" for segment in ("train", "dev", "test"))
RETRY_DELAYS = (1.0, 4.0)  # seconds before the second and the third attempt
TIMEOUT = (10, 60)  # seconds for the connection, and between two pieces of the answer
MAX_BYTES = 1 << 30  # for the archive and for each file in it; the largest real one has 487 MB
_CHUNK = 1 << 16
_RETRIED_STATUSES = (408, 429, 500, 502, 503, 504)
# What zipfile raises for damaged archives; OSError too, for a seek to before the beginning.
_BAD_ARCHIVE = (
    zipfile.BadZipFile,
    zlib.error,
    struct.error,
    EOFError,
    OSError,
    OverflowError,
    RuntimeError,
    ValueError,
)

logger = logging.getLogger("gluonnlp_snli_plugin")


class _BrokenOff(Exception):
    """An attempt failed in a way that another attempt may mend."""


def download_snli(
    root: str | os.PathLike[str], url: str | None = None, sha1: str = SNLI_SHA1, progress: bool | None = None
) -> None:
    """Make sure that ``root/snli_1.0_{train,dev,test}.jsonl`` exist, downloading the official archive if need be.

    Files that are already there are left as they are. ``root/snli_1.0.zip``, put there by hand, is used and kept. A
    download that breaks off is continued, by this call and by later ones. Several processes may call this at once.

    Parameters
    ----------
    root : str or path
        The data folder; it is made if it is not there.
    url : str, optional
        Address of the archive; default: the environment variable ``SNLI_URL``, else the corpus's own page.
    sha1 : str
        What the archive must have, wherever it comes from.
    progress : bool, optional
        Show a progress bar on stderr; default: only if that is a terminal. Without the bar, a line is logged.

    Raises
    ------
    DownloadError
        The archive cannot be had, is not the official one, or cannot be unpacked into `root`.
    """
    root = Path(root)
    if not _missing(root):
        return
    url = url or os.environ.get("SNLI_URL") or SNLI_URL
    progress = sys.stderr.isatty() if progress is None else progress
    by_hand, part = root / "snli_1.0.zip", root / "snli_1.0.zip.part"
    try:
        root.mkdir(parents=True, exist_ok=True)
        with _locked(root / ".lock"):
            if not _missing(root):  # another process has done it while this one waited
                return
            if by_hand.exists():
                _check_placed(by_hand, sha1)
                _extract(by_hand, root)
            else:
                # The download never takes the name of a file put there by hand, so it is clear which one may go.
                _download(url, part, sha1, progress)
                _extract(part, root)
            part.unlink(missing_ok=True)
    except (OSError, ValueError) as error:  # ValueError: a NUL in the name
        raise _failure(f"cannot get the SNLI files from {url}: {error}", root) from error


def _missing(root: Path) -> list[str]:
    return [name for name in FILES if not os.path.isfile(root / name)]


def _failure(what: str, root: Path) -> DownloadError:
    one_line = " ".join(_public(what).split())
    return DownloadError(f"{one_line}; put snli_1.0.zip (or the unpacked files) into {root} by hand")


def _public(text: str) -> str:
    """Take a mirror's user name and password out of its address."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


@contextlib.contextmanager
def _locked(path: Path) -> Iterator[None]:
    """Hold a lock that ends with the process; the file stays, because removing it would break the lock of a waiter."""
    with open(path, "a") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            logger.warning("waiting for another process that is downloading SNLI to %s", path.parent)
            fcntl.flock(file, fcntl.LOCK_EX)
        try:
            yield
        finally:
            fcntl.flock(file, fcntl.LOCK_UN)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _check_placed(path: Path, sha1: str) -> None:
    actual = digest(path, "sha1")
    if actual != sha1.lower():
        raise DownloadError(
            f"{path} is not the official archive or is damaged: its sha1 is {actual}, expected {sha1.lower()}; "
            "replace it, or remove it to have it downloaded"
        )


def _download(url: str, part: Path, sha1: str, progress: bool) -> None:
    """Complete `part` in a few attempts, each going on where the one before broke off."""
    if _size(part) and digest(part, "sha1") == sha1.lower():
        return  # complete since an earlier run, which could not unpack it
    if not progress:
        # A warning, because that shows where logging is not set up: a download is never silent.
        logger.warning("downloading SNLI (about 95 MB) from %s to %s", _public(url), part.parent)
    for delay in (*RETRY_DELAYS, None):
        try:
            _attempt(url, part, progress)
            break
        except _BrokenOff as error:
            if delay is None:
                tries = len(RETRY_DELAYS) + 1
                raise _failure(f"cannot download {url}: {error} ({tries} attempts)", part.parent) from error
            logger.info("SNLI download: %s; trying again", error)
            time.sleep(delay)
    actual = digest(part, "sha1")
    if actual != sha1.lower():
        part.unlink()
        what = f"{url} is not the official archive or was damaged on its way: its sha1 is {actual}, expected "
        raise _failure(f"{what}{sha1.lower()}; try again, or set SNLI_URL to a mirror of it", part.parent)


def _attempt(url: str, part: Path, progress: bool) -> None:
    """Ask once for what `part` lacks and write what comes."""
    offset = _size(part)
    headers = {"Accept-Encoding": "identity"}  # a range counts bytes of the archive, not of a compressed form of it
    if offset:
        headers["Range"] = f"bytes={offset}-"
    try:
        with requests.get(url, headers=headers, stream=True, timeout=TIMEOUT) as response:
            if response.status_code == 200:  # the whole archive, even where a part was asked for
                offset, total = 0, _number(response.headers.get("Content-Length"))
            elif response.status_code == 206:
                total = _total_of_range(response, offset, part)
            elif response.status_code == 416:
                part.unlink(missing_ok=True)
                raise _BrokenOff("the server has no such range (status 416)")
            else:
                status = f"the server answered {response.status_code} {response.reason}"
                if response.status_code in _RETRIED_STATUSES:
                    raise _BrokenOff(status)
                raise _failure(f"cannot download {url}: {status}", part.parent)
            with open(part, "ab" if offset else "wb") as file:
                _receive(response, file, offset, total, progress)
    except ValueError as error:  # an address that makes no sense, InvalidURL and its kind: not worth another attempt
        raise _failure(f"cannot download {url}: {error}", part.parent) from error
    except requests.RequestException as error:
        raise _BrokenOff(_root_cause(error)) from error
    if total is not None and _size(part) < total:  # requests before 2.32 does not notice
        raise _BrokenOff(f"the connection broke off after {_size(part)} of {total} bytes")


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]+", text) else None


def _total_of_range(response: requests.Response, offset: int, part: Path) -> int | None:
    """Give the size of the whole archive, having checked that the answer is the range that was asked for."""
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", content_range)
    if not match or int(match.group(1)) != offset:
        part.unlink(missing_ok=True)  # so that the next attempt asks for the whole
        raise _BrokenOff(f"the server sent another range than the one from byte {offset}: {content_range!r}")
    return _number(match.group(2))


def _receive(response: requests.Response, file: BinaryIO, offset: int, total: int | None, progress: bool) -> None:
    with tqdm(desc="SNLI", total=total, initial=offset, unit="B", unit_scale=True, disable=not progress) as bar:
        for chunk in response.iter_content(_CHUNK):
            offset += len(chunk)
            if offset > MAX_BYTES:
                file.truncate(0)  # not worth continuing later
                raise OSError(f"more than {MAX_BYTES} bytes: this is not the SNLI archive")
            file.write(chunk)
            bar.update(len(chunk))


def _root_cause(error: BaseException | None) -> str:
    """Say what the innermost network error says: "Connection refused" rather than the pool and retries around it."""
    cause = error
    while error:
        if isinstance(error, (OSError, http.client.HTTPException)):  # not a TypeError that urllib3 1 passes through
            cause = error
        error = error.__cause__ or error.__context__
    return str(cause) or type(cause).__name__


def _extract(path: Path, root: Path) -> None:
    """Unpack what `root` lacks; only the wanted names are looked at, and all of them before anything is written."""
    try:
        with zipfile.ZipFile(path) as archive:
            members = {name: _member(archive, f"snli_1.0/{name}") for name in _missing(root)}
            for name, member in members.items():
                _unpack(archive, member, root / name)
    except _BAD_ARCHIVE as error:
        raise _failure(f"cannot unpack {path}: {error or type(error).__name__}", root) from error


def _member(archive: zipfile.ZipFile, name: str) -> zipfile.ZipInfo:
    try:
        info = archive.getinfo(name)
    except KeyError:
        raise zipfile.BadZipFile(f"it has no {name}") from None
    if stat.S_IFMT(info.external_attr >> 16) not in (0, stat.S_IFREG) or info.external_attr & 0x10:
        raise zipfile.BadZipFile(f"{name} is no plain file")
    if info.flag_bits & 0x41:
        raise zipfile.BadZipFile(f"{name} is encrypted")
    if info.compress_type not in (zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED):
        raise zipfile.BadZipFile(f"{name} is compressed in an unusual way")
    if info.file_size > MAX_BYTES:
        raise zipfile.BadZipFile(f"{name} would have {info.file_size} bytes, which is too many")
    return info


def _unpack(archive: zipfile.ZipFile, member: zipfile.ZipInfo, target: Path) -> None:
    """Write one file under a temporary name, and give it its own only when it is safely on the disk."""
    temporary = target.with_name(f".{target.name}.tmp")
    temporary.unlink(missing_ok=True)  # left by a killed process; nobody writes it now, for the lock is held
    try:
        with archive.open(member) as source, open(temporary, "xb") as file:
            written = 0
            for chunk in iter(lambda: source.read(1 << 20), b""):
                written += len(chunk)
                if written > MAX_BYTES:
                    raise zipfile.BadZipFile(f"{member.filename} has more than {MAX_BYTES} bytes")
                file.write(chunk)
            file.flush()
            os.fsync(file.fileno())
        os.replace(temporary, target)
    finally:
        temporary.unlink(missing_ok=True)
