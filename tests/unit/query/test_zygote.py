"""A cell that cannot be started is reported as ended, and the zygote goes on."""

from __future__ import annotations

import errno
import os
import signal
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from traceplane.query import wire
from traceplane.query.cell import zygote
from traceplane.query.wire import Limits

LIMITS = Limits(memory_bytes=1, cpu_seconds=1, threads=1)


@pytest.fixture
def answer() -> Iterator[Callable[[], Any]]:
    """Lets a zygote serve one request for a cell; its reply."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as cell:
        ours.settimeout(20)
        wire.send(ours, wire.Spawn(number=7, folder="/nowhere", limits=LIMITS), (cell.fileno(),))
        forking = zygote.Zygote(theirs, None)  # type: ignore[arg-type]

        def answer() -> Any:
            forking._spawn()
            return wire.receive(ours, wire.Spawned | wire.Ended, descriptors=1)

        yield answer


def refused(*_: Any) -> Any:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_fork_that_fails_ends_its_cell_only(answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(os, "fork", refused)
    assert answer() == (wire.Ended(7, zygote.NOT_STARTED), [])


def test_a_cell_without_a_pidfd_is_killed(answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch) -> None:
    forked: list[int] = []
    real = os.fork

    def fork() -> int:
        forked.append(real())
        return forked[-1]

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(zygote.Zygote, "_run_cell", lambda *_: signal.pause())
    assert answer() == (wire.Ended(7, zygote.NOT_STARTED), [])
    with pytest.raises(ProcessLookupError):
        os.kill(forked[0], 0)
