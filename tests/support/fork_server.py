"""Processes of the query service for tests, forked from one that has imported what they import.

`spawn.start` runs a fresh Python, which imports DuckDB and pyarrow for a third of a second; hundreds of tests start
a service each, and would spend most of their processor time on that. Here each entry has one fresh process per run,
with the entry's own environment, that does nothing but fork: a process inherits that one's memory, and nothing of
the test's. Tests of the processes themselves, and of their walls, start them as the service does.

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
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import NoReturn

_FRAME = 64 * 1024


class Forked:
    """What callers of `spawn.start` use of a Popen. Nobody learns the exit code: the kernel reaps the process."""

    def __init__(self, pid: int) -> None:
        self.pid = pid
        self._pidfd = os.pidfd_open(pid)

    def __del__(self) -> None:
        os.close(self._pidfd)

    def poll(self) -> int | None:
        """0 once it has ended."""
        return 0 if select.select([self._pidfd], [], [], 0)[0] else None

    def wait(self, timeout: float | None = None) -> int:
        """Raises TimeoutExpired."""
        if not select.select([self._pidfd], [], [], timeout)[0]:
            raise subprocess.TimeoutExpired("a forked process", timeout or 0)
        return 0

    def send_signal(self, number: int) -> None:
        """By its pidfd; nothing where it has ended."""
        with contextlib.suppress(ProcessLookupError):
            signal.pidfd_send_signal(self._pidfd, number)

    def terminate(self) -> None:
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        self.send_signal(signal.SIGKILL)


class ForkServers:
    """A process per entry and environment, started when it is asked for first; `start` replaces `spawn.start`."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._servers: dict[tuple[object, ...], tuple[subprocess.Popen[bytes], socket.socket]] = {}

    def start(self, entry: str, channel: socket.socket, folder: str, environment: Mapping[str, str]) -> Forked:
        """A fork that runs `entry`. Raises OSError."""
        with self._lock:
            server = self._server(entry, environment)
            frame = json.dumps({"folder": folder}).encode()
            socket.send_fds(server, [frame], [channel.fileno(), 2])
            return Forked(int(server.recv(_FRAME)))

    def close(self) -> None:
        """End them."""
        for process, channel in self._servers.values():
            channel.close()
            process.wait(10)

    def _server(self, entry: str, environment: Mapping[str, str]) -> socket.socket:
        key = (entry, *sorted(environment.items()))
        if key not in self._servers:
            ours, theirs = socket.socketpair(type=socket.SOCK_SEQPACKET)
            with theirs:
                process = subprocess.Popen(
                    [sys.executable, "-I", __file__, str(theirs.fileno()), entry],
                    env=environment,
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
            self._servers[key] = process, ours
        return self._servers[key][1]


@contextmanager
def fork_servers() -> Iterator[ForkServers]:
    """Until the end of the context."""
    servers = ForkServers()
    try:
        yield servers
    finally:
        servers.close()


def _serve(control: socket.socket, entry: str) -> None:
    """Fork as often as asked, until the other end closes."""
    module, _, function = entry.partition(":")
    run = getattr(importlib.import_module(module), function)
    signal.signal(signal.SIGCHLD, signal.SIG_IGN)  # the kernel reaps: what has ended is no zombie
    while True:
        frame, descriptors, _, _ = socket.recv_fds(control, _FRAME, 2)
        if not frame:
            return
        pid = os.fork()
        if pid == 0:
            control.close()
            _be(run, *descriptors, json.loads(frame)["folder"])
        for descriptor in descriptors:
            os.close(descriptor)
        control.send(str(pid).encode())


def _be(run: object, channel: int, error: int, folder: str) -> NoReturn:
    """The forked process."""
    signal.signal(signal.SIGCHLD, signal.SIG_DFL)
    os.dup2(error, 2)
    os.close(error)
    try:
        run(channel, folder)  # type: ignore[operator]
    except SystemExit as ending:
        os._exit(int(ending.code or 0))
    except BaseException as failure:
        sys.stderr.write(f"{type(failure).__name__}: {failure}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


if __name__ == "__main__":
    _serve(socket.socket(fileno=int(sys.argv[1])), sys.argv[2])
