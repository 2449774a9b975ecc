"""The archives of SNLI and WikiText-2, fetched once and unpacked into a data folder."""

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
from typing import BinaryIO, NamedTuple

import requests
from tqdm import tqdm

from ..errors import DownloadError
from ..system.files import digest
from ..system.reading import open_regular

RETRY_DELAYS = (1.0, 4.0)  # seconds before the second and the third attempt
TIMEOUT = (10, 60)  # seconds for the connection, and between two pieces of the answer
MAX_BYTES = 1 << 30  # for the archive and for each file in it; the largest real one has 487 MB
_CHUNK = 1 << 16
# One server of WikiText refuses clients that seem to be Python.
_HEADERS = {"User-Agent": "gluonnlp-snli-plugin", "Accept-Encoding": "identity"}  # a range counts bytes of the archive
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


class Archive(NamedTuple):
    """A corpus that comes as one zip file.

    Parameters
    ----------
    corpus : str
        Its name, for messages.
    url : str
        Where it is.
    url_variable : str
        The environment variable that names another place.
    sha1 : str
        What the zip file must have, wherever it comes from.
    megabytes : int
        Its size.
    folder : str
        The folder in it.
    files : tuple of str
        What is wanted of that folder.
    """

    corpus: str
    url: str
    url_variable: str
    sha1: str
    megabytes: int
    folder: str
    files: tuple[str, ...]

    def fetch(self, root: str | os.PathLike[str], url: str | None = None, progress: bool | None = None) -> None:
        """Make sure that the files exist in `root`, downloading the archive if need be.

        Files that are already there are left as they are. The zip file under its own name, put into `root` by hand, is
        used and kept. A download that breaks off is continued, by this call and by later ones. Several processes may
        call this at once.

        Parameters
        ----------
        root : str or path
            The data folder; it is made if it is not there.
        url : str, optional
            Address of the archive; default: the environment variable, else `self.url`.
        progress : bool, optional
            Show a progress bar on stderr; default: only if that is a terminal. Without the bar, a line is logged.

        Raises
        ------
        DownloadError
            The archive cannot be had, is not the one meant, or cannot be unpacked into `root`.
        """
        url = url or os.environ.get(self.url_variable) or self.url
        _Download(self, Path(root), url, sys.stderr.isatty() if progress is None else progress).run()


SNLI_ARCHIVE = Archive(
    corpus="SNLI",
    url="https://nlp.stanford.edu/projects/snli/snli_1.0.zip",
    url_variable="SNLI_URL",
    sha1="9fcde07509c7e87ec61c640c1b2753d9041758e4",
    megabytes=95,
    folder="snli_1.0",
    files=tuple(f"snli_1.0_{segment}.jsonl" for segment in ("train", "dev", "test")),
)
# Its first address, which other programs still ask, has been dead since 2024; this is a copy that its author keeps.
WIKITEXT2_ARCHIVE = Archive(
    corpus="WikiText-2",
    url="https://wikitext.smerity.com/wikitext-2-v1.zip",
    url_variable="WIKITEXT2_URL",
    sha1="3c914d17d80b1459be871a5039ac23e752a53cbe",
    megabytes=4,
    folder="wikitext-2",
    files=tuple(f"wiki.{segment}.tokens" for segment in ("train", "valid", "test")),
)


class _Download:
    """One archive on its way into one folder."""

    def __init__(self, archive: Archive, root: Path, url: str, progress: bool):
        self._archive, self._root, self._url, self._progress = archive, root, url, progress
        self._by_hand = root / archive.url.rpartition("/")[2]
        # The download never takes the name of a file put there by hand, so it is clear which one may go.
        self._part = self._by_hand.with_suffix(".zip.part")

    def run(self) -> None:
        if not self._missing():
            with contextlib.suppress(OSError):  # left by a process that was killed after it had unpacked everything
                self._part.unlink()
            return
        try:
            self._root.mkdir(parents=True, exist_ok=True)
            with self._locked():
                if not self._missing():  # another process has done it while this one waited
                    return
                if self._by_hand.exists():
                    self._check_placed()
                    self._extract(self._by_hand)
                else:
                    self._download()
                    self._extract(self._part)
                self._part.unlink(missing_ok=True)
        except (OSError, ValueError) as error:  # ValueError: a NUL in the name
            raise self._failure(f"cannot get the {self._archive.corpus} files from {self._url}: {error}") from error

    def _missing(self) -> list[str]:
        return [name for name in self._archive.files if not os.path.isfile(self._root / name)]

    def _failure(self, what: str) -> DownloadError:
        one_line = " ".join(_public(what).split())
        name = self._by_hand.name
        return DownloadError(f"{one_line}; put {name} (or the unpacked files) into {self._root} by hand")

    @contextlib.contextmanager
    def _locked(self) -> Iterator[None]:
        """Hold a lock that ends with the process; the file stays, as removing it would break the lock of a waiter."""
        with open_regular(self._root / ".lock", "a") as file:
            try:
                fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                corpus = self._archive.corpus
                logger.warning("waiting for another process that is downloading %s to %s", corpus, self._root)
                fcntl.flock(file, fcntl.LOCK_EX)
            try:
                yield
            finally:
                fcntl.flock(file, fcntl.LOCK_UN)

    def _check_placed(self) -> None:
        actual = digest(self._by_hand, "sha1")
        if actual != self._archive.sha1:
            raise DownloadError(
                f"{self._by_hand} is not the official archive or is damaged: its sha1 is {actual}, expected "
                f"{self._archive.sha1}; replace it, or remove it to have it downloaded"
            )

    def _download(self) -> None:
        """Complete the part in a few attempts, each going on where the one before broke off."""
        archive, part = self._archive, self._part
        if _size(part) and digest(part, "sha1") == archive.sha1:
            return  # complete since an earlier run, which could not unpack it
        if not self._progress:
            # A warning, because that shows where logging is not set up: a download is never silent.
            line = "downloading %s (about %d MB) from %s to %s"
            logger.warning(line, archive.corpus, archive.megabytes, _public(self._url), self._root)
        for delay in (*RETRY_DELAYS, None):
            try:
                self._attempt()
                break
            except _BrokenOff as error:
                if delay is None:
                    tries = len(RETRY_DELAYS) + 1
                    raise self._failure(f"cannot download {self._url}: {error} ({tries} attempts)") from error
                logger.info("%s download: %s; trying again", archive.corpus, error)
                time.sleep(delay)
        actual = digest(part, "sha1")
        if actual != archive.sha1:
            part.unlink()
            raise self._failure(
                f"{self._url} is not the official archive or was damaged on its way: its sha1 is {actual}, expected "
                f"{archive.sha1}; try again, or set {archive.url_variable} to a mirror of it"
            )

    def _attempt(self) -> None:
        """Ask once for what the part lacks and write what comes."""
        part = self._part
        offset = _size(part)
        headers = {**_HEADERS, "Range": f"bytes={offset}-"} if offset else _HEADERS
        try:
            with requests.get(self._url, headers=headers, stream=True, timeout=TIMEOUT) as response:
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
                    raise self._failure(f"cannot download {self._url}: {status}")
                with open(part, "ab" if offset else "wb") as file:
                    self._receive(response, file, offset, total)
        except (
            ValueError
        ) as error:  # an address that makes no sense, InvalidURL and its kind: not worth another attempt
            raise self._failure(f"cannot download {self._url}: {error}") from error
        except requests.RequestException as error:
            raise _BrokenOff(_root_cause(error)) from error
        if total is not None and _size(part) < total:  # requests before 2.32 does not notice
            raise _BrokenOff(f"the connection broke off after {_size(part)} of {total} bytes")

    def _receive(self, response: requests.Response, file: BinaryIO, offset: int, total: int | None) -> None:
        corpus = self._archive.corpus
        with tqdm(
            desc=corpus, total=total, initial=offset, unit="B", unit_scale=True, disable=not self._progress
        ) as bar:
            for chunk in response.iter_content(_CHUNK):
                offset += len(chunk)
                if offset > MAX_BYTES:
                    file.truncate(0)  # not worth continuing later
                    raise OSError(f"more than {MAX_BYTES} bytes: this is not the {corpus} archive")
                file.write(chunk)
                bar.update(len(chunk))

    def _extract(self, path: Path) -> None:
        """Unpack what is missing; only the wanted names are looked at, and all of them before anything is written."""
        try:
            with zipfile.ZipFile(path) as archive:
                members = {name: _member(archive, f"{self._archive.folder}/{name}") for name in self._missing()}
                for name, member in members.items():
                    _unpack(archive, member, self._root / name)
        except _BAD_ARCHIVE as error:
            raise self._failure(f"cannot unpack {path}: {error or type(error).__name__}") from error


def _public(text: str) -> str:
    """Take a mirror's user name and password out of its address."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


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


def _root_cause(error: BaseException | None) -> str:
    """Say what the innermost network error says: "Connection refused" rather than the pool and retries around it."""
    cause = error
    while error:
        if isinstance(error, (OSError, http.client.HTTPException)):  # not a TypeError that urllib3 1 passes through
            cause = error
        error = error.__cause__ or error.__context__
    return str(cause) or type(cause).__name__


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
