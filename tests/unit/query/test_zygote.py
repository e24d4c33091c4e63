"""What the zygote says of a cell that it cannot start; it goes on itself."""

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
from traceplane.query.cell.child import Limits

LIMITS = Limits(memory_bytes=1, cpu_seconds=1, threads=1)


@pytest.fixture
def answer() -> Iterator[Callable[[], Any]]:
    """Lets a zygote serve the order of one cell; what it says of it."""
    ours, theirs = socket.socketpair()
    with ours, theirs, socket.socket() as cell:
        ours.settimeout(20)
        wire.send(ours, zygote.Spawn(number=7, folder="/nowhere", limits=LIMITS), (cell.fileno(),))
        asked = zygote.Zygote(theirs, None)  # type: ignore[arg-type]

        def answer() -> Any:
            asked._spawn()
            return wire.receive(ours, zygote.Spawned | zygote.Ended, descriptors=1)

        yield answer


def refused(*_: Any) -> Any:
    raise BlockingIOError(errno.EAGAIN, os.strerror(errno.EAGAIN))


def test_a_fork_that_fails_is_the_end_of_its_cell_only(
    answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "fork", refused)
    assert answer() == (zygote.Ended(7, zygote.NOT_BEGUN), [])


def test_a_cell_that_could_not_be_named_is_killed(
    answer: Callable[[], Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    forked: list[int] = []
    real = os.fork

    def fork() -> int:
        forked.append(real())
        return forked[-1]

    monkeypatch.setattr(os, "fork", fork)
    monkeypatch.setattr(os, "pidfd_open", refused)
    monkeypatch.setattr(zygote.Zygote, "_become", lambda *_: signal.pause())
    assert answer() == (zygote.Ended(7, zygote.NOT_BEGUN), [])
    with pytest.raises(ProcessLookupError):
        os.kill(forked[0], 0)
