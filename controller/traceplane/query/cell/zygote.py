"""The zygote: a warm process that does nothing but fork cells.

Starting Python with DuckDB and pyarrow takes 200 ms, a fork of a process that has imported them 2 ms, and what a
first query of a process would pay for is paid here, see `warm`. It runs
with an empty environment and never sees a credential: it is started as a fresh process, not forked from the
broker. It stays single-threaded, because a fork copies only the thread that calls it.

Speaks frames of `wire` on one inherited socket: `Spawn` in (with the cell's socket), `Spawned` (with a pidfd, which
names the process safely even after its number is used again) and `Ended` out. Ends when the broker does, and for no
lesser reason, since its cells end with it: one that cannot be forked has ended (`NOT_BEGUN`), and that is all.
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

import msgspec

from traceplane.query import wire
from traceplane.query.cell import child, warm
from traceplane.query.sandbox import confine

NOT_BEGUN = os.EX_OSERR
"""Exit code of a cell that there never was, for want of a process or a descriptor."""


class Spawn(msgspec.Struct, frozen=True, kw_only=True):
    """Fork cell `number`; its socket travels with the message."""

    number: int
    folder: str
    limits: child.Limits


class Spawned(msgspec.Struct, frozen=True, tag=True):
    """Cell `number` runs; its pidfd travels with the message."""

    number: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Cell `number` ended: exit code, or minus the signal that killed it (as `subprocess` says it)."""

    number: int
    code: int


class Zygote:
    """Forks on request and reports the ends of its children."""

    def __init__(self, channel: socket.socket, databases: warm.Databases) -> None:
        self._channel = channel
        self._databases = databases
        self._poll = select.poll()
        self._poll.register(channel, select.POLLIN)
        self._cells: dict[int, tuple[int, int]] = {}

    def run(self) -> None:
        """Serve until the broker closes its end."""
        while True:
            for descriptor, _ in self._poll.poll():
                if descriptor == self._channel.fileno():
                    self._spawn()
                else:
                    self._reap(descriptor)

    def _spawn(self) -> None:
        order, descriptors = wire.receive(self._channel, Spawn, descriptors=1)
        try:
            pid, watch = self._forked(order, descriptors)
        except OSError as error:
            sys.stderr.write(f"cell {order.number} cannot be started: {error.strerror}\n")
            sys.stderr.flush()
            wire.send(self._channel, Ended(order.number, NOT_BEGUN))
            return
        finally:
            for descriptor in descriptors:
                os.close(descriptor)
        self._cells[watch] = (order.number, pid)
        self._poll.register(watch, select.POLLIN)
        wire.send(self._channel, Spawned(order.number), (watch,))

    def _forked(self, order: Spawn, descriptors: list[int]) -> tuple[int, int]:
        """Process id and pidfd of a new cell. Raises OSError."""
        if not descriptors:
            raise OSError(errno.EMFILE, os.strerror(errno.EMFILE))  # recvmsg(2) leaves out what finds no room
        pid = os.fork()
        if pid == 0:
            self._become(order, descriptors[0])
        try:
            return pid, os.pidfd_open(pid)
        except OSError:
            os.kill(pid, signal.SIGKILL)  # by number: it is ours until we have waited for it
            os.waitpid(pid, 0)
            raise

    def _become(self, order: Spawn, descriptor: int) -> None:
        """In the child: be the cell, then end. Never returns to the loop."""
        log = confine.Log()
        try:
            self._channel.close()
            for watch in self._cells:
                os.close(watch)
            child.main(socket.socket(fileno=descriptor), order.folder, order.limits, self._databases, log)
        except BaseException as error:
            places = traceback.extract_tb(error.__traceback__)  # without the message: it may quote the statement
            trail = " < ".join(f"{place.name}:{place.lineno}" for place in reversed(places))
            try:
                log.say(f"cell {order.number}: {type(error).__name__} in {trail}")
            finally:
                os._exit(1)
        os._exit(0)

    def _reap(self, watch: int) -> None:
        number, pid = self._cells.pop(watch)
        self._poll.unregister(watch)
        os.close(watch)
        _, status = os.waitpid(pid, 0)
        wire.send(self._channel, Ended(number, os.waitstatus_to_exitcode(status)))


def main(channel: int, folder: str) -> None:
    """Be the zygote, with the broker on file descriptor `channel`. Ends the process when the broker ends.

    `folder` is empty and may be written to, before the first cell.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the broker, which ends us
    confine.first_to_go()
    confine.undumpable()  # after it: files in /proc of an undumpable process belong to root
    databases = warm.opened(Path(folder))
    gc.collect()
    gc.freeze()
    try:
        Zygote(socket.socket(fileno=channel), databases).run()
    except wire.Closed:
        sys.exit(0)
