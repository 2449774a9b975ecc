"""The archives of SNLI and WikiText-2, fetched once and unpacked into a data folder."""

from __future__ import annotations

import contextlib
import fcntl
import http.client
import logging
import os
import re
import shutil
import sys
import time
import zipfile
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO, NamedTuple

import requests
from tqdm import tqdm

from ..errors import DownloadError
from ..system.files import digest, replacing
from ..system.reading import open_regular

RETRY_DELAYS = (1.0, 4.0)  # seconds before the second and the third attempt
TIMEOUT = (10, 60)  # seconds to connect, and between two pieces of the answer
MAX_BYTES = 1 << 30  # of an archive; the larger one has 95 MB
_CHUNK = 1 << 16
# One server of WikiText refuses clients that seem to be Python.
_HEADERS = {"User-Agent": "gluonnlp-snli-plugin", "Accept-Encoding": "identity"}  # a range counts bytes of the archive
_RETRIED_STATUSES = (408, 429, 500, 502, 503, 504)

logger = logging.getLogger("gluonnlp_snli_plugin")


class _BrokenOff(Exception):
    """An attempt failed, and another may succeed."""


class Archive(NamedTuple):
    """A corpus that comes as one zip file.

    Parameters
    ----------
    corpus : str
        Its name, for messages.
    url : str
        Its address.
    url_variable : str
        The environment variable that names another address.
    sha1 : str
        Of the zip file, wherever it comes from.
    megabytes : int
        Its size.
    folder : str
        The folder in it.
    files : tuple of str
        The files to take from that folder.
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

        Existing files are left as they are. A zip file that the user has put into `root` under its own name is used and
        kept. A broken download is resumed, by this call and by later ones. Several processes may call this at once.

        Parameters
        ----------
        root : str or path
            The data folder; it is made if need be.
        url : str, optional
            Address of the archive; default: the environment variable, else `self.url`.
        progress : bool, optional
            Show a progress bar on stderr; default: only if that is a terminal. Without the bar, a line is logged.

        Raises
        ------
        DownloadError
            If the archive cannot be downloaded, has another hash, or cannot be unpacked into `root`.
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
# The author's copy; the original address has been dead since 2024.
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
    """The download of one archive into one folder."""

    def __init__(self, archive: Archive, root: Path, url: str, progress: bool):
        self._archive, self._root, self._url, self._progress = archive, root, url, progress
        self._by_hand = root / archive.url.rpartition("/")[2]
        # Another name than that of a file put there by hand, which is never removed.
        self._part = self._by_hand.with_suffix(".zip.part")

    def run(self) -> None:
        if not self._missing():
            with contextlib.suppress(OSError):  # left by a process that was killed after unpacking
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
        """Hold a lock that ends with the process; the file stays, as another process may wait for it."""
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
        """Complete the part in a few attempts, each resuming the previous one."""
        archive, part = self._archive, self._part
        if _size(part) and digest(part, "sha1") == archive.sha1:
            return  # downloaded by an earlier run, which could not unpack it
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
        """Request the rest of the part once and write what arrives."""
        part = self._part
        offset = _size(part)
        headers = {**_HEADERS, "Range": f"bytes={offset}-"} if offset else _HEADERS
        try:
            with requests.get(self._url, headers=headers, stream=True, timeout=TIMEOUT) as response:
                if response.status_code == 200:  # the whole archive, even if a part was requested
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
        except ValueError as error:  # InvalidURL and the like: not worth another attempt
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
        """Unpack what is missing, each file atomically; the archive's hash has been verified."""
        with zipfile.ZipFile(path) as archive:
            for name in self._missing():
                member = f"{self._archive.folder}/{name}"
                with replacing(self._root / name) as temporary, open(temporary, "wb") as file:
                    shutil.copyfileobj(archive.open(member), file, 1 << 20)


def _public(text: str) -> str:
    """Remove user name and password from a mirror's address."""
    return re.sub(r"(?<=://)[^/\s]*@", "", text)


def _size(path: Path) -> int:
    return path.stat().st_size if path.exists() else 0


def _number(text: str | None) -> int | None:
    return int(text) if text and re.fullmatch("[0-9]+", text) else None


def _total_of_range(response: requests.Response, offset: int, part: Path) -> int | None:
    """The size of the whole archive; raises _BrokenOff unless the answer is the range that was requested."""
    content_range = response.headers.get("Content-Range", "")
    match = re.fullmatch(r"bytes ([0-9]+)-[0-9]+/([0-9]+|\*)", content_range)
    if not match or int(match.group(1)) != offset:
        part.unlink(missing_ok=True)  # so that the next attempt requests all of it
        raise _BrokenOff(f"the server sent another range than the one from byte {offset}: {content_range!r}")
    return _number(match.group(2))


def _root_cause(error: BaseException | None) -> str:
    """The message of the innermost network error: "Connection refused" rather than the pool and retries around it."""
    cause = error
    while error:
        if isinstance(error, (OSError, http.client.HTTPException)):  # not a TypeError that urllib3 1 passes through
            cause = error
        error = error.__cause__ or error.__context__
    return str(cause) or type(cause).__name__
