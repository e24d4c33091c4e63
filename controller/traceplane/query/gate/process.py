"""The gate's process: it judges one statement after another for the broker, confined, and ends with it.

The broker's side, and why there is a process at all, is in `judges`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

import msgspec

from traceplane.query import wire
from traceplane.query.gate import allowlist
from traceplane.query.gate.allowlist import Refusal
from traceplane.query.sandbox import confine

CPU_SECONDS = 60
"""Of one process; then another one takes its place. The kernel ends one that is over it for good, also where the
broker is gone and cannot."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Address space beyond what the process has when it is warm."""


class Statement(msgspec.Struct, frozen=True, tag=True):
    """What to judge."""

    sql: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process of this id is warm and confined."""

    process: int


class Passed(msgspec.Struct, frozen=True, tag=True):
    """The statement may run; `relations` are (schema, table, position)."""

    relations: list[tuple[str | None, str, int | None]]
    last: bool = False
    """Whether the process ends with this."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """The statement is refused, as `allowlist.Refusal` says it."""

    code: str
    message: str
    position: int | None
    name: str | None
    last: bool = False


def main(descriptor: int, folder: str) -> None:
    """Be the process, with the broker on file descriptor `descriptor`. Returns when the broker closes its end.

    Importing DuckDB starts a thread, and Landlock binds only one: the fork has one. Its parent waits, and ends it.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the broker, which ends us
    confine.first_to_go()
    confine.undumpable()
    judge = os.fork()
    if judge:
        os.close(descriptor)
        watch = os.pidfd_open(judge)
        signal.signal(signal.SIGTERM, lambda *_: _kill(watch))
        os.waitpid(judge, 0)
        return
    log = confine.Log()
    try:
        confine.die_with_parent()
        log.take()
        _serve(descriptor, folder, log)
    except BaseException as error:  # told here: what prints a trace opens files
        try:
            log.say(f"the gate's process: {type(error).__name__}")
        finally:
            os._exit(1)
    os._exit(0)


def _kill(watch: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        signal.pidfd_send_signal(watch, signal.SIGKILL)


def _serve(descriptor: int, folder: str, log: confine.Log) -> None:
    channel = socket.socket(fileno=descriptor)
    with contextlib.suppress(Refusal):
        allowlist.judge("SELECT sum(n) FROM warm GROUP BY ALL")
    confine.confine(folder, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS + 5)
    log.close()
    wire.send(channel, Ready(os.getpid()))
    with contextlib.suppress(wire.Closed):
        last = False
        while not last:
            order, _ = wire.receive(channel, Statement)
            verdict = _verdict(order.sql)
            last = verdict.last
            wire.send(channel, verdict)


def _verdict(sql: str) -> Passed | Stopped:
    try:
        admitted = allowlist.judge(sql)
    except MemoryError:
        return Stopped(allowlist.TOO_COMPLEX, allowlist.TOO_COMPLEX_TEXT, None, None, last=True)
    except Refusal as refusal:
        last = refusal.code == allowlist.TOO_COMPLEX or _worn()
        return Stopped(refusal.code, refusal.message, refusal.position, refusal.name, last)
    return Passed([(name.schema, name.table, name.position) for name in admitted.relations], _worn())


def _worn() -> bool:
    return time.process_time() > CPU_SECONDS
