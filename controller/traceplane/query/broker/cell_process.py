"""One cell as the broker sees it: a process that was requested, its folder, its socket, and its certain end."""

from __future__ import annotations

import contextlib
import errno
import os
import signal
import socket
import threading
import time
from pathlib import Path

from traceplane.errors import Unavailable

SPAWN_SECONDS = 10.0
END_SECONDS = 5.0


class CellProcess:
    """One process with its folder and socket. `kill` may be called from any thread, at any time, twice."""

    def __init__(self, number: int, folder: Path, channel: socket.socket, zygote: socket.socket) -> None:
        self.number = number
        self.zygote = zygote
        self.folder = folder
        self.channel = channel
        self.code: int | None = None
        self.outgrew = False
        """Whether it was killed for the memory it took."""
        self._killed = False
        self._pidfd: int | None = None
        self._born = time.monotonic()
        self._started = threading.Event()
        self._ended = threading.Event()
        self._lock = threading.Lock()

    def kill(self, *, outgrew: bool = False) -> None:
        """End the process now."""
        with self._lock:
            if self._pidfd is not None and not self._ended.is_set():
                self.outgrew = self.outgrew or (outgrew and not self._killed)
                self._killed = True
                with contextlib.suppress(ProcessLookupError):
                    signal.pidfd_send_signal(self._pidfd, signal.SIGKILL)

    def status(self) -> int:
        """A descriptor of the process's `status` in /proc, of this process even when its number is used again
        (proc(5)). Raises OSError, ProcessLookupError where it has ended."""
        with self._lock:
            if self._pidfd is None:
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH))
            fdinfo = Path(f"/proc/self/fdinfo/{self._pidfd}").read_text()
            pid = next(line.split()[1] for line in fdinfo.splitlines() if line.startswith("Pid:"))
            try:
                return os.open(f"/proc/{pid}/status", os.O_RDONLY)
            except FileNotFoundError as error:  # reaped meanwhile
                raise ProcessLookupError(errno.ESRCH, os.strerror(errno.ESRCH)) from error

    def started(self, pidfd: int) -> None:
        self._pidfd = pidfd
        self._started.set()

    def ended(self, code: int) -> None:
        with self._lock:
            self.code = code
            self._ended.set()
            if self._pidfd is not None:
                os.close(self._pidfd)
                self._pidfd = None
        self._started.set()

    def wait_started(self) -> None:
        """Return when it runs. Raises Unavailable."""
        if not self._started.wait(SPAWN_SECONDS) or self._ended.is_set():
            raise Unavailable("no process for the query could be started")

    def survives(self, seconds: float) -> bool:
        """Whether it started, and does not end by itself within `seconds` of being requested; waits as long as it
        must to know. One that a query took meanwhile and that was killed after it counts as one that survives."""
        self._started.wait(max(0.0, self._born + SPAWN_SECONDS - time.monotonic()))
        self._ended.wait(max(0.0, self._born + seconds - time.monotonic()))
        if not self._started.is_set():
            return False
        return not self._ended.is_set() or (self._killed and self.code == -signal.SIGKILL)

    def wait_ended(self) -> int | None:
        """Exit code (minus the signal, where one killed it); None where it did not end in time."""
        self._ended.wait(END_SECONDS)
        return self.code
