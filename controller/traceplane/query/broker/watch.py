"""Who looks at the memory of running queries, and ends one that took more than its budget.

DuckDB keeps to the budget with what it manages, which is not all it takes: a long string or an answer on its way
out is beside it. The address-space limit (see `confine`) bounds that too, but a process needs more addresses than
memory, so it must be generous. What the machine runs out of is resident memory; so one thread reads that of every
cell that was given to a query, and sleeps while there is none.

What a cell has when it is given out is not counted: it shares most of that with the zygote. Pages that no file
stands behind count (`RssAnon`, `RssShmem`); the kernel takes others back by itself.
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
from traceplane.query.broker.process import Cell

LOOK_SECONDS = 0.05
SLACK_BYTES = 128 * 1024**2
"""What a query may have beyond its budget: what the allocator keeps of freed memory, batches and files of an answer
on their way out. DuckDB at its limit was seen 75 MiB above it."""
_STATUS_BYTES = 16 * 1024
"""More than all of /proc/<pid>/status, which is 1.5 KiB."""
_OWN = re.compile(rb"^Rss(?:Anon|Shmem):\s+(\d+) kB$", re.MULTILINE)

_log = structlog.get_logger("trace.query")


@dataclass(frozen=True, slots=True, eq=False)
class _Given:
    """A cell that a query has, the descriptor of its `status` in /proc, and what it may have at most."""

    cell: Cell
    status: int
    most_bytes: int


class Watch:
    """Ends cells that outgrow their budget; `Cell.outgrew` then says so."""

    def __init__(self) -> None:
        self._changed = threading.Condition()
        self._given: list[_Given] = []
        self._closed = False
        self._thread = threading.Thread(target=self._run, name="cell-memory", daemon=True)
        self._thread.start()

    @contextmanager
    def over(self, cell: Cell, budget_bytes: int) -> Iterator[None]:
        """Watch `cell` while the context is open. Raises Unavailable where its memory cannot be read."""
        try:
            status = cell.status()
        except OSError as error:
            raise Unavailable(f"the memory of a query cannot be watched: {error.strerror}") from error
        try:
            given = _Given(cell, status, _own_bytes(status) + budget_bytes + SLACK_BYTES)
            with self._changed:
                self._given.append(given)
                self._changed.notify()
            try:
                yield
            finally:
                with self._changed:
                    self._given.remove(given)
        finally:
            os.close(status)

    def close(self) -> None:
        """Look no more."""
        with self._changed:
            self._closed = True
            self._changed.notify()
        self._thread.join()

    def _run(self) -> None:
        with self._changed:  # also while it looks: a descriptor must not be closed, and its number given away, then
            while not self._closed:
                for given in self._given:
                    _look(given)
                self._changed.wait(LOOK_SECONDS if self._given else None)


def _look(given: _Given) -> None:
    try:
        if _own_bytes(given.status) > given.most_bytes:
            given.cell.kill(outgrew=True)
    except OSError as error:  # what cannot be watched must not run
        _log.warning("query_memory_unread", error=error.strerror)
        given.cell.kill()


def _own_bytes(status: int) -> int:
    """Memory of a process that is no file's, from the descriptor of its `status`; 0 when it has ended."""
    try:
        text = os.pread(status, _STATUS_BYTES, 0)
    except ProcessLookupError:
        return 0
    return 1024 * sum(int(kib) for kib in _OWN.findall(text))
