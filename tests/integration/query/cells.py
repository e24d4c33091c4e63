"""What tests see of the processes that run queries: which there are, what they use, hold and write."""

from __future__ import annotations

import os
import subprocess
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from types import ModuleType

import pytest

from tests.integration.query.conftest import Client


def cells_of(client: Client) -> list[int]:
    """Process ids of cells that are given to a query or wait for one."""
    zygote = client.service.cells._process
    if zygote is None:
        return []
    return [int(pid) for pid in Path(f"/proc/{zygote.pid}/task/{zygote.pid}/children").read_text().split()]


def assert_one_socket_and_no_log(pid: int) -> None:
    """A process that runs what strangers wrote has its channel to the broker, and nowhere else to write."""
    opened = {int(link.name): os.readlink(link) for link in Path(f"/proc/{pid}/fd").iterdir()}
    assert [opened.pop(standard) for standard in (0, 1, 2)] == [os.devnull] * 3
    assert [name.split(":")[0] for name in opened.values()] == ["socket"]


def left_in(folder: Path) -> list[str]:
    """What queries left in the folders of cells, which may go while one looks."""
    found = [Path(path, name) for path, folders, files in os.walk(folder) for name in folders + files]
    return [path.name for path in found if path.parent != folder and "rehearsal" not in path.parts]


def cpu_ticks(pid: int) -> int:
    """Clock ticks a process has used (proc(5), stat, utime)."""
    try:
        return int(Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[11])
    except (FileNotFoundError, ProcessLookupError):
        return 0


@contextmanager
def logged(monkeypatch: pytest.MonkeyPatch, starter: ModuleType) -> Iterator[Callable[[], str]]:
    """Processes that `starter` starts have a pipe for their log, as in a pod; afterwards, what came through it."""
    reading, writing = os.pipe()
    told: list[bytes] = []
    real = subprocess.Popen
    with open(reading, "rb") as log, monkeypatch.context() as change:
        with open(writing, "wb") as theirs:
            change.setattr(starter.subprocess, "Popen", lambda *a, **named: real(*a, **named, stderr=theirs))
            yield lambda: b"".join(told).decode()
        told.append(log.read())
