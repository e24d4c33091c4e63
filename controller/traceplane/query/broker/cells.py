"""The broker's side of cells: the zygote process, a few ready cells, and the certain end of each.

A cell is used once. `Cells` keeps `ready` of them waiting, so that a query does not pay for a fork and its
confinement. While a query has it, its memory is watched (see `memory_watch`). It is killed through its pidfd, never
by number, as soon as its query is over, and reaped. The zygote is started anew when it dies; queries that run then
fail, later ones do not.
"""

from __future__ import annotations

import contextlib
import os
import shutil
import signal
import socket
import subprocess
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from queue import Full, Queue

import structlog

from traceplane.errors import Unavailable
from traceplane.query import wire
from traceplane.query.broker.cell_process import END_SECONDS, CellProcess
from traceplane.query.broker.memory_watch import MemoryWatch
from traceplane.query.sandbox import spawn
from traceplane.query.wire import Limits

ENTRY = "traceplane.query.cell.zygote:main"
"""By name: the broker's side never imports the cell's."""
MAX_UNREAPED = 8
"""Killed cells that wait to be reaped; beyond them a query waits for its place."""
_ENVIRONMENT = {
    "ARROW_DEFAULT_MEMORY_POOL": "system",
    "LC_ALL": "C.UTF-8",
    "MALLOC_ARENA_MAX": "2",
    "MALLOC_MMAP_THRESHOLD_": str(32 * 1024**2),
    "MALLOC_TOP_PAD_": str(64 * 1024**2),
    "MALLOC_TRIM_THRESHOLD_": str(4 * 1024**3),
    "OPENBLAS_NUM_THREADS": "1",  # numpy's: a zygote has one thread
}
"""A process that ends with its query keeps what it freed: a page of new memory costs a page fault (malloc(3)).
Arrow takes its memory there, too: its own allocator sets a GiB of addresses aside, and a cell's are limited."""
PROOF_SECONDS = 1.0
"""A cell that could not confine itself has ended by then."""

log = structlog.get_logger("trace.query")


class Cells:
    """Gives out ready cells, one per query. `entry` is what the zygote's process runs."""

    def __init__(self, folder: Path, limits: Limits, ready: int, entry: str = ENTRY) -> None:
        self._entry = entry
        self._folder = folder
        self._limits = limits
        self._ready = ready
        self._lock = threading.Lock()
        self._waiting: list[CellProcess] = []
        self._all: dict[int, CellProcess] = {}
        self._next = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._control: socket.socket | None = None
        self._closed = False
        self._memory = MemoryWatch()
        # Bounds the cells whose memory is not free again yet.
        self._killed: Queue[CellProcess | None] = Queue(MAX_UNREAPED)
        self._reaper = threading.Thread(target=self._reap_killed, name="cell-reaper", daemon=True)
        self._reaper.start()
        self._rehearsal = folder.with_name(f"{folder.name}-rehearsal")  # beside them: cells link its file
        for place in (folder, self._rehearsal):
            shutil.rmtree(place, ignore_errors=True)  # what a killed broker left behind
            place.mkdir(parents=True, mode=0o700)

    def check(self) -> None:
        """Return when a waiting cell lives. Raises Unavailable where they all end by themselves, unable to confine
        themselves, or do not start."""
        self.fill()
        with self._lock:
            waiting = list(self._waiting)
        if waiting and not any(cell.survives(PROOF_SECONDS) for cell in waiting):
            raise Unavailable("processes for queries do not start, or end as soon as they do; the log says why")

    def fill(self) -> None:
        """Make sure that enough cells wait. Raises Unavailable."""
        with self._lock:
            dead = [cell for cell in self._waiting if cell.code is not None]
            self._waiting = [cell for cell in self._waiting if cell.code is None]
        for cell in dead:
            self._reap(cell)
        with self._lock:
            while len(self._waiting) < self._ready and not self._closed:
                self._waiting.append(self._spawn(self._limits))

    @contextmanager
    def one(self, limits: Limits | None = None) -> Iterator[CellProcess]:
        """A cell for one query; it is killed when the context ends, and reaped soon after.

        With `limits` of its own it is made now; else it is one of those that wait.
        """
        cell = self._ready_one() if limits is None else self._new(limits)
        try:
            with self._memory.watching(cell, (limits or self._limits).memory_bytes):
                yield cell
        finally:
            cell.kill()
            if self._closed:  # the reaper ends, or has ended
                self._reap(cell)
            else:  # not here: the time the kernel takes to free its memory is no part of the query
                try:
                    self._killed.put_nowait(cell)
                except Full:  # many end at once: this query waits for the end of its own cell
                    self._reap(cell)

    def close(self) -> None:
        """End every cell and the zygote."""
        with self._lock:
            self._closed = True
            cells = list(self._all.values())
            control = self._control
            self._waiting.clear()
        for cell in cells:
            cell.kill()
        if control is not None:
            control.close()
        if self._process is not None:
            self._process.terminate()
            self._process.wait(END_SECONDS)
        self._killed.put(None)
        self._reaper.join()
        self._memory.close()
        for place in (self._folder, self._rehearsal):
            shutil.rmtree(place, ignore_errors=True)

    def _ready_one(self) -> CellProcess:
        """The first waiting cell that lives, or a new one where none waits."""
        while True:
            with self._lock:
                cell = self._waiting.pop(0) if self._waiting else None
            if cell is None:
                return self._new(self._limits)
            if cell.code is None:
                return self._started(cell)
            self._reap(cell)  # it died while it waited

    def _new(self, limits: Limits) -> CellProcess:
        with self._lock:
            cell = self._spawn(limits)
        return self._started(cell)

    def _started(self, cell: CellProcess) -> CellProcess:
        try:
            cell.wait_started()
        except BaseException:
            self._reap(cell)
            raise
        return cell

    def _reap_killed(self) -> None:
        while (cell := self._killed.get()) is not None:
            try:
                self._reap(cell)
            except Exception:  # the thread must outlive any one cell
                log.exception("a cell was not reaped", cell=cell.number)

    def _reap(self, cell: CellProcess) -> None:
        """Wait for the end of a cell, however it comes about, and remove its socket and folder."""
        cell.kill()
        cell.channel.close()
        cell.wait_ended()
        with self._lock:
            self._all.pop(cell.number, None)
        shutil.rmtree(cell.folder, ignore_errors=True)

    def _spawn(self, limits: Limits) -> CellProcess:
        """Order a cell from the zygote. Holds the lock."""
        self._next += 1
        number, folder = self._next, self._folder / str(self._next)
        try:
            control = self._zygote()
            ours, theirs = socket.socketpair()
        except OSError as error:  # no process, or no descriptor, is left
            raise Unavailable(f"no process for a query can be started: {error.strerror}") from error
        folder.mkdir(mode=0o700)
        cell = CellProcess(number, folder, ours, control)
        self._all[number] = cell
        try:
            order = wire.Spawn(number=number, folder=str(folder), limits=limits)
            wire.send(control, order, (theirs.fileno(),))
        except wire.Closed as error:
            self._all.pop(number)
            ours.close()
            raise Unavailable("the process that starts queries ended") from error
        finally:
            theirs.close()
        return cell

    def _zygote(self) -> socket.socket:
        """The channel to a living zygote; starts one where there is none. Holds the lock."""
        if self._closed:
            raise Unavailable("the query service is stopping")
        if self._process is not None and self._process.poll() is None and self._control is not None:
            return self._control
        ours, theirs = socket.socketpair()
        with theirs, contextlib.ExitStack() as failed:
            failed.callback(ours.close)
            environment = {**_ENVIRONMENT, "OMP_NUM_THREADS": str(self._limits.threads)}  # Arrow's, too
            self._process = spawn.start(self._entry, theirs, str(self._rehearsal), environment)
            threading.Thread(target=self._listen, args=(ours,), name="zygote", daemon=True).start()
            failed.pop_all()
        self._control = ours
        return ours

    def _listen(self, control: socket.socket) -> None:
        """Take in the zygote's reports until it ends; then all its cells have ended, too."""
        with contextlib.suppress(wire.Closed, OSError):
            while True:
                message, descriptors = wire.receive(control, wire.Spawned | wire.Ended, descriptors=1)
                self._report(message, descriptors)
        with self._lock:
            lost = [cell for cell in self._all.values() if cell.zygote is control]
            self._waiting = [cell for cell in self._waiting if cell.zygote is not control]
            if self._control is control:
                self._control = None
        control.close()
        for cell in lost:
            cell.ended(-signal.SIGKILL)

    def _report(self, message: wire.Spawned | wire.Ended, descriptors: list[int]) -> None:
        cell = self._all.get(message.number)
        if isinstance(message, wire.Ended):
            if cell is not None:
                cell.ended(message.code)
        elif not descriptors:
            # A cell without a pidfd could not be killed. Closing the zygote's channel ends it, and the cell with
            # it.
            raise wire.Closed("no descriptor came with a cell")
        elif cell is not None:
            cell.started(descriptors[0])
        else:
            os.close(descriptors[0])
