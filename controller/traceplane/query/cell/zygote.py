"""The zygote: a warm process that does nothing but fork cells.

Starting Python with DuckDB and pyarrow takes 200 ms, a fork of a process that has imported them 2 ms, and what a
first query of a process would pay for is paid here, see `warm`. It is started as a fresh process and not forked
from the broker, so that it never sees a credential, and it stays single-threaded, because a fork copies only the
thread that calls it.

Frames of `wire` on one inherited socket: `Spawn` in (with the cell's socket), `Spawned` (with a pidfd) and `Ended`
out. The zygote ends when the broker does and for no lesser reason, since its cells end with it.
"""

from __future__ import annotations

import errno
import gc
import os
import select
import signal
import socket
import sys
import traceback
from pathlib import Path

from traceplane.query import wire
from traceplane.query.cell import child, warm
from traceplane.query.sandbox import confine

NOT_STARTED = os.EX_OSERR
"""Exit code of a cell that never started, for want of a process or a descriptor."""


class Zygote:
    """Forks on request and reports the ends of its children."""

    def __init__(self, channel: socket.socket, databases: warm.Databases) -> None:
        self._channel = channel
        self._databases = databases
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._cells: dict[int, tuple[int, int]] = {}
        """Number and process id of each cell, by its pidfd."""

    def run(self) -> None:
        """Serve until the broker closes its end."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._channel.fileno():
                    self._spawn()
                else:
                    self._reap(descriptor)

    def _spawn(self) -> None:
        request, descriptors = wire.receive(self._channel, wire.Spawn, descriptors=1)
        try:
            pid, pidfd = self._fork(request, descriptors)
        except OSError as error:
            # That cell's end only: to raise would end the zygote, and every running query with it.
            sys.stderr.write(f"cell {request.number} cannot be started: {error.strerror}\n")
            sys.stderr.flush()
            wire.send(self._channel, wire.Ended(request.number, NOT_STARTED))
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._cells[pidfd] = (request.number, pid)
        self._poll.register(pidfd, select.POLLIN)
        # A pidfd names the process safely, even after its number is used again.
        wire.send(self._channel, wire.Spawned(request.number), (pidfd,))

    def _fork(self, request: wire.Spawn, descriptors: list[int]) -> tuple[int, int]:
        """Process id and pidfd of a new cell. Raises OSError."""
        if not descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # recvmsg(2) leaves out what finds no room
        pid = os.fork()
        if pid == 0:
            self._run_cell(request, descriptors[0])
        try:
            return pid, os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # by number, which is not used again before waitpid
            os.waitpid(pid, 0)
            raise

    def _run_cell(self, request: wire.Spawn, descriptor: int) -> None:
        """In the child: be the cell, then end. Never returns to the loop."""
        log = confine.Log()
        try:
            self._channel.close()  # a cell that held it could speak for the zygote
            for pidfd in self._cells:
                os.close(pidfd)  # a cell that held one could signal another cell
            child.main(socket.socket(fileno=descriptor), request.folder, request.limits, self._databases, log)
        except BaseException as error:
            places = traceback.extract_tb(error.__traceback__)  # without the message: it may quote the statement
            trail = " < ".join(f"{place.name}:{place.lineno}" for place in reversed(places))
            try:
                log.write(f"cell {request.number}: {type(error).__name__} in {trail}")
            finally:
                os._exit(1)
        os._exit(0)

    def _reap(self, pidfd: int) -> None:
        number, pid = self._cells.pop(pidfd)
        self._poll.unregister(pidfd)
        os.close(pidfd)
        _, status = os.waitpid(pid, 0)
        wire.send(self._channel, wire.Ended(number, os.waitstatus_to_exitcode(status)))


def main(channel: int, folder: str) -> None:
    """Be the zygote, with the broker on file descriptor `channel`. Ends the process when the broker ends.

    `folder` is empty and may be written to, before the first cell.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the broker, which ends this process
    confine.prefer_for_oom_kill()
    confine.undumpable()  # after it: files in /proc of an undumpable process belong to root
    databases = warm.opened(Path(folder))
    gc.collect()
    gc.freeze()  # a collection in a fork would write to every object, and so copy every page that is shared
    try:
        Zygote(socket.socket(fileno=channel), databases).run()
    except wire.Closed:
        sys.exit(0)
