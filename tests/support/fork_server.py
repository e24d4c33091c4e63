"""Our own processes for tests, forked from one that has imported what they import.

A fresh Python spends a third of a second on DuckDB and pyarrow, and a second on what a controller or a dispatcher
imports; tests start some thousand of them, which would be most of their processor time. So there is one fresh
process per kind and run that does nothing but fork: what it forks inherits that process's memory and nothing of the
test's. Tests of the processes themselves, of their start and of their walls, start them as they are started in
production.

This file, run as a program, is that process.
"""

from __future__ import annotations

import contextlib
import importlib
import json
import os
import select
import signal
import socket
import subprocess
import sys
import threading
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import Any

_FRAME = 64 * 1024
_TRACECTL = (
    *("traceplane.cli.main", "traceplane.reconcile.process", "traceplane.query.validation"),
    *("traceplane.dispatch.dispatcher", "traceplane.external", "traceplane.taskapi.app", "traceplane.userapi.app"),
    *("traceplane.observe.dispatch_metrics", "traceplane.observe.otlp", "uvicorn", "uvloop"),
    *("traceplane.worker.process", "operators"),
)
"""What the processes that it runs import when they are run."""


class Forked:
    """A process that was forked: what tests, and callers of `spawn.start`, use of a Popen."""

    def __init__(self, pid: int, status: socket.socket) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)
        self._status = status
        self._code: int | None = None

    def __del__(self) -> None:
        os.close(self._pidfd)
        self._status.close()

    def poll(self) -> int | None:
        """Its exit code once it has ended; minus a signal's number where that ended it."""
        with contextlib.suppress(subprocess.TimeoutExpired):
            return self.wait(0)
        return None

    def wait(self, timeout: float | None = None) -> int:
        """Its exit code. Raises TimeoutExpired."""
        if self._code is None:
            if not select.select([self._status], [], [], timeout)[0]:
                raise subprocess.TimeoutExpired(f"process {self.pid}", timeout or 0)
            self._code = int(self._status.recv(_FRAME))
        return self._code

    def send_signal(self, number: int) -> None:
        """By its pidfd; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServer:
    """A process that has imported `modules`, and forks."""

    def __init__(self, modules: Sequence[str], environment: Mapping[str, str]) -> None:
        self._lock = threading.Lock()
        self._control, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        with theirs:
            self._process = subprocess.Popen(
                [sys.executable, "-I", __file__, str(theirs.fileno()), *modules],
                env=environment,
                pass_fds=(theirs.fileno(),),
                stdin=subprocess.DEVNULL,
            )

    def fork(self, entry: str, *given: str, descriptors: Sequence[int], output: int, **more: Any) -> Forked:
        """A process that calls `entry` ("package.module:function") with `descriptors` and `given`, and ends."""
        status, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
        frame = json.dumps({"entry": entry, "given": given, **more}).encode()
        with theirs, self._lock:
            socket.send_fds(self._control, [frame], [theirs.fileno(), output, *descriptors])
            return Forked(int(self._control.recv(_FRAME)), status)

    def close(self) -> None:
        """End it; what it forked lives on."""
        self._control.close()
        self._process.wait(10)


class QueryProcesses:
    """`start` in place of `spawn.start`: a fork server for each entry and environment, which is read at start."""

    def __init__(self) -> None:
        self._servers: dict[tuple[object, ...], ForkServer] = {}
        self._lock = threading.Lock()

    def start(self, entry: str, channel: socket.socket, folder: str, environment: Mapping[str, str]) -> Forked:
        """A fork that runs `entry`."""
        key = (entry, *sorted(environment.items()))
        with self._lock:
            if key not in self._servers:
                self._servers[key] = ForkServer([entry.partition(":")[0]], environment)
        return self._servers[key].fork(entry, folder, descriptors=[channel.fileno()], output=2)

    def close(self) -> None:
        for server in self._servers.values():
            server.close()


@contextmanager
def query_processes() -> Iterator[QueryProcesses]:
    """Until the end of the context."""
    made = QueryProcesses()
    try:
        yield made
    finally:
        made.close()


@cache
def _tracectl() -> ForkServer:
    """It ends with this process, whose end closes its channel."""
    return ForkServer(_TRACECTL, {name: os.environ[name] for name in ("PATH", "HOME") if name in os.environ})


def tracectl(*words: str, environment: Mapping[str, str], folder: Path, output: int) -> Forked:
    """`tracectl` in `folder`, with this environment and no other, writing to the descriptor `output`."""
    given = {"argv": ["tracectl", *words], "environment": dict(environment), "folder": str(folder)}
    return _tracectl().fork("traceplane.cli.main:main", descriptors=[], output=output, **given)


def _forked(control: socket.socket) -> tuple[dict[str, Any], list[int]]:
    """Serve; returns in a forked process, with what it was asked to be. Ends when the other end closes."""
    wake, woken = socket.socketpair()
    for end in (wake, woken):
        end.setblocking(False)
    signal.signal(signal.SIGCHLD, lambda *_: None)  # a signal without a handler wakes nobody
    signal.set_wakeup_fd(woken.fileno(), warn_on_full_buffer=False)
    statuses: dict[int, int] = {}
    while True:
        ready, _, _ = select.select([control, wake], [], [])
        if wake in ready:
            wake.recv(_FRAME)
            _report(statuses)
        if control not in ready:
            continue
        frame, descriptors, _, _ = socket.recv_fds(control, _FRAME, 8)
        if not frame:
            sys.exit()
        pid = os.fork()
        if pid == 0:
            signal.set_wakeup_fd(-1)
            signal.signal(signal.SIGCHLD, signal.SIG_DFL)
            for end in (control, wake, woken):
                end.close()
            for descriptor in (*statuses.values(), descriptors[0]):
                os.close(descriptor)
            return json.loads(frame), descriptors[1:]
        statuses[pid] = descriptors[0]
        for descriptor in descriptors[1:]:
            os.close(descriptor)
        control.send(str(pid).encode())


def _report(statuses: dict[int, int]) -> None:
    """Reap what has ended, and say how."""
    while statuses:
        pid, status = os.waitpid(-1, os.WNOHANG)
        if not pid:
            return
        with socket.socket(fileno=statuses.pop(pid)) as channel, contextlib.suppress(OSError):
            channel.send(str(os.waitstatus_to_exitcode(status)).encode())  # or nobody asks any more


def _main() -> None:
    for module in sys.argv[2:]:
        importlib.import_module(module)
    asked, (output, *descriptors) = _forked(socket.socket(fileno=int(sys.argv[1])))
    os.dup2(output, 2)
    if "argv" in asked:
        os.dup2(output, 1)
        os.chdir(asked["folder"])
        os.environ.clear()
        os.environ.update(asked["environment"])
        sys.argv[:] = asked["argv"]
    os.close(output)
    module, _, function = asked["entry"].partition(":")
    getattr(importlib.import_module(module), function)(*descriptors, *asked["given"])


if __name__ == "__main__":
    _main()
