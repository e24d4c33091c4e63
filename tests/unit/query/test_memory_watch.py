"""Whose memory is taken for too much: what a process took since it was given out, whatever kind of memory it is."""

from __future__ import annotations

import mmap
import os
import signal
import socket
import subprocess
import sys
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from traceplane.errors import Unavailable
from traceplane.query.broker import memory_watch
from traceplane.query.broker.cell_process import CellProcess
from traceplane.query.broker.memory_watch import MemoryWatch

MIB = 1024**2
BUDGET = 16 * MIB
_PROGRAM = """
import mmap, sys
kept = []
for line in sys.stdin:
    kind, size = line.split()
    kept.append(mmap.mmap(-1, int(size), flags=int(kind)))
    for page in range(0, int(size), mmap.PAGESIZE):
        kept[-1][page] = 1
    print("there", flush=True)
"""
PRIVATE = mmap.MAP_PRIVATE | mmap.MAP_ANONYMOUS
SHARED = mmap.MAP_SHARED | mmap.MAP_ANONYMOUS


class Process:
    """A process that takes memory when it is told to, as a cell; `wait` is its end."""

    def __init__(self, folder: Path) -> None:
        self._child = subprocess.Popen(
            [sys.executable, "-I", "-c", _PROGRAM], stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )
        self.cell = CellProcess(1, folder, socket.socket(), socket.socket())
        self.cell.started(os.pidfd_open(self._child.pid))

    def take(self, size: int, kind: int = PRIVATE) -> bool:
        """Whether it lived to have so much more."""
        assert self._child.stdin is not None
        assert self._child.stdout is not None
        self._child.stdin.write(f"{kind} {size}\n")
        self._child.stdin.flush()
        return bool(self._child.stdout.readline())

    def wait(self) -> int:
        return self._child.wait(60)

    def end(self) -> None:
        self._child.kill()
        self._child.communicate()
        self.cell.ended(-signal.SIGKILL)
        self.cell.channel.close()
        self.cell.zygote.close()


@pytest.fixture
def start(tmp_path: Path) -> Iterator[Callable[[], Process]]:
    with ExitStack() as ends:

        def started() -> Process:
            process = Process(tmp_path)
            ends.callback(process.end)
            assert process.take(1)
            return process

        yield started


@pytest.fixture
def watch(monkeypatch: pytest.MonkeyPatch) -> Iterator[MemoryWatch]:
    monkeypatch.setattr(memory_watch, "SLACK_BYTES", MIB)
    running = MemoryWatch()
    yield running
    running.close()


@pytest.mark.parametrize("kind", [PRIVATE, SHARED])
def test_a_process_that_outgrows_its_budget_is_killed_and_others_live(
    kind: int, watch: MemoryWatch, start: Callable[[], Process]
) -> None:
    modest, hungry = start(), start()
    with watch.watching(modest.cell, BUDGET), watch.watching(hungry.cell, BUDGET):
        assert modest.take(BUDGET // 2, kind)
        hungry.take(2 * BUDGET, kind)
        assert hungry.wait() == -signal.SIGKILL
        assert hungry.cell.outgrew
        assert modest.take(1), "it was looked at as often, and before the other one"
        assert not modest.cell.outgrew


def test_what_a_process_had_before_is_not_counted(watch: MemoryWatch, start: Callable[[], Process]) -> None:
    grown, hungry = start(), start()
    assert grown.take(4 * BUDGET)
    with watch.watching(grown.cell, BUDGET), watch.watching(hungry.cell, BUDGET):
        hungry.take(2 * BUDGET)
        hungry.wait()
        assert grown.take(1)


def test_a_process_is_not_watched_any_more_when_its_query_is_over(
    watch: MemoryWatch, start: Callable[[], Process]
) -> None:
    free, hungry = start(), start()
    with watch.watching(free.cell, BUDGET):
        pass
    assert free.take(2 * BUDGET)
    with watch.watching(hungry.cell, BUDGET):
        hungry.take(2 * BUDGET)
        hungry.wait()
    assert free.take(1)


def test_a_process_killed_for_another_reason_did_not_outgrow_its_budget(start: Callable[[], Process]) -> None:
    process = start()
    process.cell.kill()
    process.cell.kill(outgrew=True)
    assert (process.wait(), process.cell.outgrew) == (-signal.SIGKILL, False)


def test_one_that_has_ended_cannot_be_watched(watch: MemoryWatch, start: Callable[[], Process]) -> None:
    process = start()
    process.cell.kill()
    process.wait()
    with pytest.raises(Unavailable), watch.watching(process.cell, BUDGET):
        pass


def test_one_whose_memory_cannot_be_read_is_ended(
    watch: MemoryWatch, start: Callable[[], Process], monkeypatch: pytest.MonkeyPatch
) -> None:
    def unread(*_: object) -> bytes:
        raise PermissionError(1, "Operation not permitted")

    process = start()
    with watch.watching(process.cell, BUDGET):
        monkeypatch.setattr(os, "pread", unread)
        assert process.wait() == -signal.SIGKILL
    assert not process.cell.outgrew
