"""A bounded local cache of cold Parquet, so that a file is fetched once and read at the speed of the disk.

Cold files never change and their manifest carries their SHA-256, so that is their name here: a hit is right by its
name, whichever dataset the file belongs to. A file enters only when its bytes gave that hash; a broken or exchanged
object is an error, never rows. Files of a running query are pinned; of the others the least recently used are
evicted when room is needed. A query that needs more than the whole cache is refused with the remedy.

A few files are downloaded at once, the others in the order in which queries came. Queries that need the same file
share its download. It lives as long as one of them waits: without, it never begins, or stops at its next piece.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import re
import threading
import time
from collections import Counter, OrderedDict
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Protocol
from uuid import uuid4

from traceplane.errors import Overloaded, Refused, TraceError, Unavailable

_NAME = re.compile(r"[0-9a-f]{64}")
DOWNLOADS = 8
"""Downloads at once."""
_STOPPING = "the query service is stopping"


@dataclass(frozen=True, slots=True)
class ColdFile:
    """An immutable object: its key in the bucket, size in bytes and SHA-256 in hex."""

    key: str
    bytes: int
    sha256: str


class Objects(Protocol):
    """Where objects come from."""

    def stream(self, key: str) -> Iterator[bytes]:
        """The object's bytes, in pieces. Raises Unavailable."""


@dataclass(slots=True, eq=False)
class _Download:
    """A file that queries wait for. When it `ended`, the file is here, or `error` says why not."""

    file: ColdFile
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class _Unwanted(Exception):
    """No query waits for this download any more."""


class Cache:
    """Files below `folder`, at most `limit_bytes` of them."""

    def __init__(self, folder: Path, limit_bytes: int, objects: Objects) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._objects = objects
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()  # least recently used first; with files that are to come
        self._pins: Counter[str] = Counter()
        self._downloads: dict[str, _Download] = {}
        # A queue of this class's own: one that loses its last query is taken out, so the cache's size bounds it.
        self._queued: dict[str, _Download] = {}
        self._running = 0
        self._closed = False
        self._total = 0
        self._workers = ThreadPoolExecutor(DOWNLOADS, thread_name_prefix="download")
        folder.mkdir(parents=True, exist_ok=True)
        self._adopt()

    @contextmanager
    def held(self, files: Sequence[ColdFile], stop: threading.Event, deadline: float) -> Iterator[list[Path]]:
        """Local paths of `files`, in order, pinned while the context is open.

        Waiting for downloads ends early when `stop` is set, and with TimeoutError at `deadline` (monotonic).
        """
        distinct = {file.sha256: file for file in files}
        downloads = self._pin(distinct)
        try:
            for download in downloads:
                _await(download, stop, deadline)
            yield [self._folder / file.sha256 for file in files]
        finally:
            self._unpin(distinct)

    @property
    def bytes(self) -> int:
        """Bytes cached now."""
        return self._total

    def close(self) -> None:
        """Stop downloading; queries that wait fail."""
        with self._lock:
            self._closed = True
            for download in list(self._downloads.values()):
                self._end(download, Unavailable(_STOPPING))
        self._workers.shutdown(wait=False, cancel_futures=True)

    def _adopt(self) -> None:
        """Take over what an earlier process left: whole files by their names, oldest use first; drop the rest."""
        found = []
        for path in self._folder.iterdir():
            if _NAME.fullmatch(path.name):
                status = path.stat()
                found.append((status.st_mtime, path.name, status.st_size))
            else:
                path.unlink()
        for _, name, size in sorted(found):
            self._sizes[name] = size
            self._total += size
        with self._lock:
            self._evict(0)

    def _pin(self, files: dict[str, ColdFile]) -> list[_Download]:
        """Keep `files` from eviction, queue the downloads of those that are missing, and return every download to
        wait for."""
        needed = sum(file.bytes for file in files.values())
        if needed > self._limit:
            raise Refused(
                f"the query reads {needed} bytes of files and the cache holds {self._limit}: narrow the range",
                code="ScanTooLarge",
            )
        # All under one lock: a download that failed between two steps would leave a name here and no file.
        with self._lock:
            if self._closed:
                raise Unavailable(_STOPPING)
            self._pins.update(files.keys())
            missing = sum(f.bytes for f in files.values() if f.sha256 not in self._sizes)
            if not self._evict(missing):
                self._pins.subtract(files.keys())
                raise Overloaded("files that queries read, or that arrive, fill the file cache; try again")
            for file in files.values():
                if file.sha256 not in self._sizes:
                    self._sizes[file.sha256] = file.bytes
                    self._total += file.bytes
                    self._downloads[file.sha256] = self._queued[file.sha256] = _Download(file)
                self._sizes.move_to_end(file.sha256)
            self._begin()
            return [self._downloads[name] for name in files if name in self._downloads]

    def _unpin(self, files: dict[str, ColdFile]) -> None:
        with self._lock:
            self._pins.subtract(files.keys())
            self._pins += Counter()  # without the zeros
            for name in files:
                if name in self._queued and self._pins[name] <= 0:
                    self._end(self._queued[name], _Unwanted())

    def _begin(self) -> None:
        """Give the oldest queued downloads to the workers that are free. Holds the lock."""
        while self._running < DOWNLOADS and self._queued:
            download = self._queued.pop(next(iter(self._queued)))
            self._running += 1
            self._workers.submit(self._fetch, download)

    def _end(self, download: _Download, error: BaseException | None) -> None:
        """The file is here, or will not be and its room is free. Holds the lock: a file without its download must
        not look as if it were here."""
        if not download.ended.is_set():
            name = download.file.sha256
            del self._downloads[name]
            self._queued.pop(name, None)
            if error is not None:
                self._total -= self._sizes.pop(name)
            download.error = error
            download.ended.set()

    def _evict(self, room: int) -> bool:
        """Delete unpinned files, least recently used first, until `room` more bytes fit. Holds the lock."""
        for name in list(self._sizes):
            if self._total + room <= self._limit:
                break
            if self._pins[name] <= 0 and name not in self._downloads:
                self._total -= self._sizes.pop(name)
                (self._folder / name).unlink(missing_ok=True)
        return self._total + room <= self._limit

    def _fetch(self, download: _Download) -> None:
        error: BaseException | None = None
        try:
            self._download(download)
        except BaseException as failed:  # is raised where it is waited for
            error = failed
        with self._lock:
            self._end(download, error)
            self._running -= 1
            if not self._closed:
                self._begin()

    def _stop_unwanted(self, download: _Download) -> None:
        """Raise _Unwanted where no query waits for the file; one that needs it later has it downloaded anew."""
        with self._lock:
            if self._pins[download.file.sha256] <= 0:
                self._end(download, _Unwanted())
            if download.ended.is_set():
                raise _Unwanted

    def _download(self, download: _Download) -> None:
        file = download.file
        target = self._folder / f"{file.sha256}.{uuid4().hex}"
        digest, size = hashlib.sha256(), 0
        try:
            with target.open("wb") as out:
                for piece in self._objects.stream(file.key):
                    size += len(piece)
                    if size > file.bytes:
                        break
                    self._stop_unwanted(download)
                    digest.update(piece)
                    out.write(piece)
            if size != file.bytes or digest.hexdigest() != file.sha256:
                raise TraceError("a cold file differs from its manifest", code="DataCorrupt")
            os.chmod(target, 0o400)
            os.rename(target, self._folder / file.sha256)
        except OSError as error:
            raise Unavailable(f"the file cache cannot be written: {error.strerror}") from error
        finally:
            with contextlib.suppress(OSError):
                target.unlink(missing_ok=True)


def _await(download: _Download, stop: threading.Event, deadline: float) -> None:
    """Wait for a download, checking `stop` and the clock now and then."""
    while not stop.is_set():
        if download.ended.wait(0.1):
            if download.error is not None:
                raise download.error
            return
        if time.monotonic() >= deadline:
            raise TimeoutError
