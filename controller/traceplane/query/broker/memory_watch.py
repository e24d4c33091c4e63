"""Watches the memory of running queries, and kills one that takes more than its budget.

DuckDB keeps what it manages within the budget, which is not all it takes: a long string, or an answer on its way
out, is not counted. The address-space limit (see `confine`) bounds that too, but a process needs more addresses
than memory, so it must be generous. What a machine runs out of is resident memory; so one thread reads that of
every cell that runs a query, and sleeps while there is none.
"""

from __future__ import annotations

import os
import re
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass

import structlog

from traceplane.errors import Unavailable
from traceplane.query.broker.cell_process import CellProcess

POLL_SECONDS = 0.05
SLACK_BYTES = 128 * 1024**2
"""What a query may have beyond its budget: what the allocator keeps of freed memory, batches and files of an answer
on their way out. DuckDB at its limit was seen 75 MiB above it."""
_STATUS_BYTES = 16 * 1024
"""More than all of /proc/<pid>/status, which is 1.5 KiB."""
# Pages that no file backs; the others the kernel takes back by itself.
_OWN = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)

_log = structlog.get_logger("trace.query")


@dataclass(frozen=True, slots=True, eq=False)
class _Watched:
    """A cell that runs a query, the descriptor of its `status` in /proc, and the most bytes it may have."""

    cell: CellProcess
    status: int
    most_bytes: int


class MemoryWatch:
    """Ends cells that outgrow their budget; `CellProcess.outgrew` then says so."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._watched: list[_Watched] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cell-memory", daemon=True)
        self._thread.start()

    @contextmanager
    def watching(self, cell: CellProcess, budget_bytes: int) -> Iterator[None]:
        """Watch `cell` while the context is open. Raises Unavailable where its memory cannot be read."""
        try:
            status = cell.status()
        except OSError as error:
            raise Unavailable(f"the memory of a query cannot be watched: {error.strerror}") from error
        try:
            # What it has before its query is not counted: it shares most of that with the zygote.
            watched = _Watched(cell, status, _own_bytes(status) + budget_bytes + SLACK_BYTES)
            with self._changed:
                self._watched.append(watched)
                self._changed.notify()
            try:
                yield
            finally:
                with self._changed:
                    self._watched.remove(watched)
        finally:
            os.close(status)

    def close(self) -> None:
        """Stop watching."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        # Held while it reads, too: a descriptor that is closed meanwhile could be another file by then.
        with self._changed:
            while not self._closed:
                for watched in self._watched:
                    _check(watched)
                self._changed.wait(POLL_SECONDS if self._watched else None)


def _check(watched: _Watched) -> None:
    try:
        if _own_bytes(watched.status) > watched.most_bytes:
            watched.cell.kill(outgrew=True)
    except OSError as error:  # what cannot be watched must not run
        _log.warning("query_memory_unread", error=error.strerror)
        watched.cell.kill()


def _own_bytes(status: int) -> int:
    """Bytes of a process that no file backs, from the descriptor of its `status`; 0 when it has ended."""
    try:
        text = os.pread(status, _STATUS_BYTES, 0)
    except ProcessLookupError:
        return 0
    return 1024 * sum(int(kib) for kib in _OWN.findall(text))
