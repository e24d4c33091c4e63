"""The process that checks statements: confined, one statement after another, for the broker that started it.

Why there is a process, and the broker's side of it, is in `supervisor`.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import time

from traceplane.query import wire
from traceplane.query.gate import allowlist, binding, shaping, text
from traceplane.query.gate.messages import Passed, Ready, Rejected, Shape, Statement, Table
from traceplane.query.gate.statement import Admitted, Refusal
from traceplane.query.sandbox import confine

CPU_SECONDS = 60
"""Processor time of one process; after it the process ends between two statements, and another takes its place."""
CPU_GRACE_SECONDS = 5
"""Processor time beyond `CPU_SECONDS` at which the kernel kills it in the middle of a statement."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Address space beyond what the process has when it is warm."""


_WARM = Statement(
    "SELECT sum(n) AS n, max(seen) AS seen FROM warm GROUP BY ALL",
    Shape(columns=(("n", "BIGINT"), ("seen", "TIMESTAMP WITH TIME ZONE"))),
    (Table((("", "warm"),), (("n", "BIGINT"), ("seen", "TIMESTAMP WITH TIME ZONE"))),),
)


def main(descriptor: int, folder: str) -> None:
    """Be the process, with the broker on file descriptor `descriptor`. Returns when the broker closes its end.

    `folder` is empty: it is the one folder that the process may read once it is confined.
    """
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # a terminal's Ctrl-C is for the broker, which ends this process
    confine.prefer_for_oom_kill()
    confine.undumpable()  # after it: files in /proc of an undumpable process belong to root
    # Importing DuckDB started a thread, and Landlock binds only the thread that applies it. A fork has one thread.
    checker = os.fork()
    if checker:
        _wait_for(checker, descriptor)
        return
    log = confine.Log()
    try:
        confine.die_with_parent()
        log.detach()
        _serve(descriptor, folder, log)
    except BaseException as error:  # logged here: Python's own traceback would open files, which is forbidden now
        try:
            log.write(f"the gate's process: {type(error).__name__}")
        finally:
            os._exit(1)
    os._exit(0)


def _wait_for(checker: int, descriptor: int) -> None:
    """In the parent: return when the fork has ended, and end it when the broker terminates this process."""
    os.close(descriptor)  # the broker must see its channel close when the fork ends
    pidfd = os.pidfd_open(checker)
    signal.signal(signal.SIGTERM, lambda *_: _kill(pidfd))
    os.waitpid(checker, 0)


def _kill(pidfd: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        signal.pidfd_send_signal(pidfd, signal.SIGKILL)


def _serve(descriptor: int, folder: str, log: confine.Log) -> None:
    channel = socket.socket(fileno=descriptor)
    # The first statement loads what the parser needs from files; after confinement there are none to load from.
    _checked(_WARM)
    confine.confine(folder, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS + CPU_GRACE_SECONDS)
    log.close()
    wire.send(channel, Ready(os.getpid()))
    with contextlib.suppress(wire.Closed):
        last = False
        while not last:
            statement, _ = wire.receive(channel, Statement)
            reply = _reply(statement)
            last = reply.last
            wire.send(channel, reply)


def _reply(statement: Statement) -> Passed | Rejected:
    try:
        admitted = _checked(statement)
    except MemoryError:
        # What is left of the address space is not known any more: the next statement gets a new process.
        return Rejected(text.TOO_COMPLEX, text.TOO_COMPLEX_TEXT, None, None, last=True)
    except Refusal as refusal:
        last = refusal.code == text.TOO_COMPLEX or _spent()
        return Rejected(refusal.code, refusal.message, refusal.position, refusal.name, last)
    relations = [(name.schema, name.table, name.position, name.read) for name in admitted.relations]
    return Passed(admitted.sql, relations, admitted.lists, admitted.runs, _spent())


def _checked(statement: Statement) -> Admitted:
    """What runs of a statement, and what it reads. Raises Refusal."""
    if statement.shape is None:
        return allowlist.check(statement.sql)
    admitted, whole = shaping.shaped(statement.sql, statement.shape)
    if statement.tables is not None:
        binding.check(admitted.sql, whole, statement.shape, statement.tables)
    return Admitted(whole, admitted.relations)


def _spent() -> bool:
    """Whether the processor time of this process is used up."""
    return time.process_time() > CPU_SECONDS
