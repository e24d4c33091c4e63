"""A bounded local cache of cold Parquet, so that a file is fetched once and read at the speed of the disk.

Cold files never change and their manifest carries their SHA-256, so that is their name here: a hit is right by
its name, whatever dataset asked. A file enters only when its bytes gave that hash; a broken or exchanged
object is an error, never rows. Files of a running query are pinned; the least recently used of the others leave
when room is needed. A query that needs more than the whole cache is refused with the remedy.

A few files are downloaded at once, and queries that wait for some take turns (see `turns`). A download lives as
long as somebody waits for it: when the last one leaves, it never begins, or stops at its next piece.
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
from traceplane.query.files.turns import Turns

_NAME = re.compile(r"[0-9a-f]{64}")
FETCHES = 8
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
class _Coming:
    """A file that is waited for. When it `ended`, it is here, or `error` says why not."""

    file: ColdFile
    begun: bool = False
    ended: threading.Event = field(default_factory=threading.Event)
    error: BaseException | None = None


class _Unwanted(Exception):
    """Nobody waits for this download any more."""


class Cache:
    """Files below `folder`, at most `limit_bytes` of them."""

    def __init__(self, folder: Path, limit_bytes: int, objects: Objects) -> None:
        self._folder = folder
        self._limit = limit_bytes
        self._objects = objects
        self._lock = threading.Lock()
        self._sizes: OrderedDict[str, int] = OrderedDict()
        self._pins: Counter[str] = Counter()
        self._coming: dict[str, _Coming] = {}
        self._turns = Turns[_Coming]()
        self._running = 0
        self._closed = False
        self._total = 0
        self._workers = ThreadPoolExecutor(FETCHES, thread_name_prefix="fetch")
        folder.mkdir(parents=True, exist_ok=True)
        self._adopt()

    @contextmanager
    def held(self, files: Sequence[ColdFile], stop: threading.Event, deadline: float) -> Iterator[list[Path]]:
        """Local paths of `files`, in order, pinned while the context is open.

        Waiting for downloads ends early when `stop` is set, and with TimeoutError at `deadline` (monotonic).
        """
        distinct = {file.sha256: file for file in files}
        caller = object()
        waits = self._pin(caller, distinct)
        try:
            for coming in waits:
                _await(coming, stop, deadline)
            yield [self._folder / file.sha256 for file in files]
        finally:
            self._unpin(caller, distinct)

    @property
    def bytes(self) -> int:
        """Bytes cached now."""
        return self._total

    def close(self) -> None:
        """Stop downloading; who waits hears of it."""
        with self._lock:
            self._closed = True
            for coming in list(self._coming.values()):
                self._over(coming, Unavailable(_STOPPING))
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

    def _pin(self, caller: object, files: dict[str, ColdFile]) -> list[_Coming]:
        """Keep `files` from leaving, line up the downloads that lack, and return every download to wait for.

        Taken under one lock: a download that fails between the two would leave a name here and no file.
        """
        needed = sum(file.bytes for file in files.values())
        if needed > self._limit:
            raise Refused(
                f"the query reads {needed} bytes of files and the cache holds {self._limit}: narrow the range",
                code="ScanTooLarge",
            )
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
                    self._coming[file.sha256] = _Coming(file)
                self._sizes.move_to_end(file.sha256)
            waits = [self._coming[name] for name in files if name in self._coming]
            self._turns.add(caller, [coming for coming in waits if not coming.begun])
            self._begin()
            return waits

    def _unpin(self, caller: object, files: dict[str, ColdFile]) -> None:
        with self._lock:
            self._turns.leave(caller)
            self._pins.subtract(files.keys())
            self._pins += Counter()
            for name in files:
                coming = self._coming.get(name)
                if coming is not None and not coming.begun and self._pins[name] <= 0:
                    self._over(coming, _Unwanted())

    def _begin(self) -> None:
        """Give free workers the downloads whose turn it is. Holds the lock."""
        while self._running < FETCHES and (coming := self._turns.next()) is not None:
            if not coming.begun and not coming.ended.is_set():  # else another caller's turn brought it
                coming.begun = True
                self._running += 1
                self._workers.submit(self._fetch, coming)

    def _over(self, coming: _Coming, error: BaseException | None) -> None:
        """The file is here, or will not be, and its room is free. Holds the lock: a file without its download must
        not look as if it were here."""
        if not coming.ended.is_set():
            del self._coming[coming.file.sha256]
            if error is not None:
                self._total -= self._sizes.pop(coming.file.sha256)
            coming.error = error
            coming.ended.set()

    def _evict(self, room: int) -> bool:
        """Delete unpinned files, least recently used first, until `room` more bytes fit. Holds the lock."""
        for name in list(self._sizes):
            if self._total + room <= self._limit:
                break
            if self._pins[name] <= 0 and name not in self._coming:
                self._total -= self._sizes.pop(name)
                (self._folder / name).unlink(missing_ok=True)
        return self._total + room <= self._limit

    def _fetch(self, coming: _Coming) -> None:
        error: BaseException | None = None
        try:
            self._download(coming)
        except BaseException as failed:  # is raised where it is waited for
            error = failed
        with self._lock:
            self._over(coming, error)
            self._running -= 1
            if not self._closed:
                self._begin()

    def _go_on(self, coming: _Coming) -> None:
        """Raises _Unwanted where nobody waits for the file; whoever wants it from then on has it fetched anew."""
        with self._lock:
            if self._pins[coming.file.sha256] <= 0:
                self._over(coming, _Unwanted())
            if coming.ended.is_set():
                raise _Unwanted

    def _download(self, coming: _Coming) -> None:
        file = coming.file
        target = self._folder / f"{file.sha256}.{uuid4().hex}"
        digest, size = hashlib.sha256(), 0
        try:
            with target.open("wb") as out:
                for piece in self._objects.stream(file.key):
                    size += len(piece)
                    if size > file.bytes:
                        break
                    self._go_on(coming)
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


def _await(coming: _Coming, stop: threading.Event, deadline: float) -> None:
    """Wait for a download, looking at `stop` and the clock now and then."""
    while not stop.is_set():
        if coming.ended.wait(0.1):
            if coming.error is not None:
                raise coming.error
            return
        if time.monotonic() >= deadline:
            raise TimeoutError
