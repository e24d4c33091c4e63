"""Cells and their zygote as processes: what is left when one cannot be started, or the zygote is gone."""

from __future__ import annotations

import errno
import os
import resource
import signal
import threading
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any

import pytest

from tests.integration.query import entries
from tests.integration.query.cells import logged
from tests.support.waiting import until
from traceplane.errors import Unavailable
from traceplane.query import wire
from traceplane.query.broker import cell_process, cells
from traceplane.query.wire import Limits

pytestmark = pytest.mark.services


@pytest.fixture
def made(tmp_path: Path) -> Iterator[cells.Cells]:
    limits = Limits(memory_bytes=256 * 1024**2, cpu_seconds=30, threads=1)
    running = cells.Cells(tmp_path / "cells", limits, ready=0)
    yield running
    running.close()


def test_a_cell_that_does_not_start_is_reaped(
    made: cells.Cells, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with made.one():
        pass
    zygote = made._process
    assert zygote is not None
    monkeypatch.setattr(cell_process, "SPAWN_SECONDS", 0.2)
    monkeypatch.setattr(cell_process, "END_SECONDS", 0.2)
    zygote.send_signal(signal.SIGSTOP)
    try:
        for _ in range(3):
            with pytest.raises(Unavailable), made.one():
                pass
        until(lambda: not made._all and not list((tmp_path / "cells").iterdir()))
    finally:
        zygote.send_signal(signal.SIGCONT)


@pytest.fixture
def held(made: cells.Cells, monkeypatch: pytest.MonkeyPatch) -> Iterator[threading.Event]:
    """The reaper waits with its next cell until the event is set."""
    event, real = threading.Event(), made._reap

    def reap(cell: cell_process.CellProcess) -> None:
        event.wait()
        real(cell)

    monkeypatch.setattr(made, "_reap", reap)
    yield event
    event.set()


def test_an_answer_does_not_wait_for_the_end_of_its_cell(made: cells.Cells, held: threading.Event) -> None:
    with made.one() as cell:
        pass
    assert cell.folder.exists()
    assert cell.wait_ended() == -signal.SIGKILL, "it was killed all the same"
    held.set()
    until(lambda: not made._all and not cell.folder.exists())


def test_killed_cells_that_are_not_reaped_yet_are_bounded(made: cells.Cells, held: threading.Event) -> None:
    used = []

    def use() -> None:
        with made.one() as cell:
            used.append(cell)

    for _ in range(cells.MAX_UNREAPED + 1):  # one is with the reaper
        use()
    with ThreadPoolExecutor(1) as pool:
        one_more = pool.submit(use)
        until(lambda: len(used) == cells.MAX_UNREAPED + 2)
        until(lambda: used[-1].code is not None)
        assert not one_more.done(), "it waits for a place"
        assert all(cell.folder.exists() for cell in used)
        held.set()
        one_more.result(20)
    until(lambda: not made._all and not any(cell.folder.exists() for cell in used))


def test_the_reaper_outlives_a_cell_that_it_could_not_reap(
    made: cells.Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    real = made._reap
    failures = [OSError(errno.EIO, "the folder cannot be removed")]

    def reap(cell: cell_process.CellProcess) -> None:
        real(cell)
        if failures:
            raise failures.pop()

    monkeypatch.setattr(made, "_reap", reap)
    for _ in range(2):
        with made.one() as cell:
            pass
        until(lambda cell=cell: cell.number not in made._all and not cell.folder.exists())
    assert not failures


def test_a_query_that_ends_after_the_service_closed_is_reaped(made: cells.Cells) -> None:
    with made.one() as cell:
        made.close()
    assert not made._all
    assert not cell.folder.exists()


def test_the_socket_of_a_dead_zygote_is_closed(made: cells.Cells) -> None:
    with made.one():
        pass
    zygote, control = made._process, made._control
    assert zygote is not None
    assert control is not None
    zygote.kill()
    zygote.wait()
    until(lambda: control.fileno() == -1)
    with made.one() as cell:
        assert cell.code is None


@pytest.mark.parametrize("threads", [1, 0])
def test_cells_that_end_by_themselves_are_no_readiness(
    tmp_path: Path, threads: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """A setting that DuckDB refuses stands for a kernel that refuses the sandbox: the process ends early."""
    if not threads:
        monkeypatch.setattr(cells, "PROOF_SECONDS", 60.0)  # the end that comes is waited for
    limits = Limits(memory_bytes=256 * 1024**2, cpu_seconds=30, threads=threads)
    made = cells.Cells(tmp_path / "cells", limits, ready=2)
    try:
        made.fill()
        if threads:
            made.check()
            return
        for cell in list(made._waiting):
            cell.wait_ended()
        with pytest.raises(Unavailable, match="do not start, or end"):
            made.check()
    finally:
        made.close()


def log_of_one(folder: Path, entry: Callable[[int, str], None], monkeypatch: pytest.MonkeyPatch) -> str:
    """What a cell that ends by itself, and its zygote that runs `entry`, write in the log."""
    limits = Limits(memory_bytes=256 * 1024**2, cpu_seconds=30, threads=1)
    with logged(monkeypatch, cells) as log:
        made = cells.Cells(folder, limits, ready=1, entry=f"{entry.__module__}:{entry.__name__}")
        try:
            made.fill()
            until(lambda: made._waiting[0].code == 1)
        finally:
            made.close()
    return log()


@pytest.mark.parametrize("entry", [entries.cells_that_cannot_be_confined, entries.cells_that_fail_their_rehearsal])
def test_a_cell_that_is_not_fit_for_a_query_says_so_in_the_log(
    entry: Callable[[int, str], None], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    said = log_of_one(tmp_path / "cells", entry, monkeypatch)
    assert said.startswith("cell 1: ZeroDivisionError in unfit:")
    assert said.count("\n") == 1


def test_a_cell_that_is_taken_over_writes_nothing_in_the_log(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert log_of_one(tmp_path / "cells", entries.cells_that_are_taken_over, monkeypatch) == ""


def test_a_cell_that_a_query_took_is_no_sign_of_cells_that_end_by_themselves(made: cells.Cells) -> None:
    """Queries that come one after another take and end the waiting cells while readiness looks at them."""
    with made.one() as cell:
        assert cell.code is None
    assert cell.wait_ended() == -signal.SIGKILL
    assert cell.survives(cells.PROOF_SECONDS)


def test_a_cell_that_cannot_be_forked_ends_no_other(made: cells.Cells) -> None:
    with made.one() as running:
        started = made._process
        assert started is not None
        limits = resource.prlimit(started.pid, resource.RLIMIT_NOFILE)
        resource.prlimit(started.pid, resource.RLIMIT_NOFILE, (3, limits[1]))
        with pytest.raises(Unavailable), made.one():
            pass
        assert (running.code, started.poll()) == (None, None)
        resource.prlimit(started.pid, resource.RLIMIT_NOFILE, limits)
        with made.one() as another:
            assert (another.code, another.zygote) == (None, running.zygote)


def test_a_cell_of_which_no_descriptor_arrived_goes_with_its_zygote(
    made: cells.Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    real, lost = wire.receive, [True]

    def receive(*arguments: Any, **named: Any) -> tuple[Any, list[int]]:
        message, descriptors = real(*arguments, **named)
        if isinstance(message, wire.Spawned) and lost:
            lost.pop()
            os.close(descriptors.pop())
        return message, descriptors

    monkeypatch.setattr(wire, "receive", receive)
    with pytest.raises(Unavailable), made.one():
        pass
    with made.one() as cell:
        assert cell.code is None


def test_cells_that_never_start_are_no_readiness(made: cells.Cells, monkeypatch: pytest.MonkeyPatch) -> None:
    with made.one():
        pass
    stopped = made._process
    assert stopped is not None
    monkeypatch.setattr(cell_process, "SPAWN_SECONDS", 0.2)
    monkeypatch.setattr(cells, "PROOF_SECONDS", 0.2)
    stopped.send_signal(signal.SIGSTOP)
    try:
        made._ready = 1
        with pytest.raises(Unavailable, match="do not start"):
            made.check()
    finally:
        stopped.send_signal(signal.SIGCONT)


def test_a_broker_without_descriptors_says_so_and_recovers(
    made: cells.Cells, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full() -> Any:
        raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))

    with monkeypatch.context() as short:
        short.setattr(cells.socket, "socketpair", full)
        with pytest.raises(Unavailable, match="Too many open files"), made.one():
            pass
    with made.one() as cell:
        assert cell.code is None
