"""The gate where it may fail: a process that judges statements one by one, and is replaced when it does not.

What a parser makes of a small text can be large beyond any bound on the text, so the broker, which holds
credentials and everybody's queries, parses nothing. The process has an empty environment, the limits and the
filters of a cell (see `confine`), one socket, and a time limit for each statement: one that it did not judge in
time, or that ended it, is refused. Statements that were admitted are remembered: what people ask often their tools
repeat.
"""

from __future__ import annotations

import contextlib
import os
import signal
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict

import msgspec

from traceplane.errors import Unavailable
from traceplane.query import confine, gate, wire
from traceplane.query.gate import Admitted, Refusal, RelationName
from traceplane.query.pools import Pool

JUDGE_SECONDS = 2.0
"""For one statement; the largest that may be sent takes a tenth of it."""
START_SECONDS = 20.0
END_SECONDS = 5.0
CPU_SECONDS = 60
"""Of one process; then another one takes its place. The kernel ends one that is over it for good, also where the
broker is gone and cannot."""
MEMORY_BYTES = 512 * 1024 * 1024
"""Address space beyond what the process has when it is warm."""
REMEMBERED = 256
"""Admitted statements; 16 MiB of text at most."""
MAX_WAITING = 63
"""Statements that wait behind the one that is judged; one more is told at once to come back."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
_START = "import sys; from traceplane.query import judges; judges.main(int(sys.argv[1]), sys.argv[2])"


class Statement(msgspec.Struct, frozen=True, tag=True):
    """What to judge."""

    sql: str


class Ready(msgspec.Struct, frozen=True, tag=True):
    """The process is warm and confined."""


class Passed(msgspec.Struct, frozen=True, tag=True):
    """The statement may run; `relations` are (schema, table, position)."""

    relations: list[tuple[str | None, str, int | None]]
    last: bool = False
    """Whether the process ends with this."""


class Stopped(msgspec.Struct, frozen=True, tag=True):
    """The statement is refused, as `gate.Refusal` says it."""

    code: str
    message: str
    position: int | None
    name: str | None
    last: bool = False


class Judges:
    """Judges statements elsewhere; safe to call from several threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._known: OrderedDict[str, Admitted] = OrderedDict()
        self._memory = threading.Lock()
        self._pool = Pool("judge", threads=1, waiting=MAX_WAITING)
        self._closed = False

    async def soon(self, sql: str) -> Admitted:
        """`judge` for the event loop, which it does not hold up. Raises Overloaded where too many wait."""
        known = self._remembered(sql)
        return known if known is not None else await self._pool.ask(self.judge, sql)

    def judge(self, sql: str) -> Admitted:
        """The statement's relations, if the gate admits it. Raises Refusal, or Unavailable without a process."""
        known = self._remembered(sql)
        if known is None:
            gate.check_text(sql)
            with self._turn:
                known = self._asked(sql)
            with self._memory:
                self._known[sql] = known
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return known

    def start(self) -> None:
        """Start the process before there is a statement. Raises Unavailable."""
        with self._turn:
            self._living()

    def close(self) -> None:
        """End the process; what it judges is refused."""
        self._closed = True
        process = self._process
        if process is not None:
            process.terminate()
        self._pool.close()
        with self._turn:
            self._end()

    def _remembered(self, sql: str) -> Admitted | None:
        with self._memory:
            known = self._known.get(sql)
            if known is not None:
                self._known.move_to_end(sql)
        return known

    def _asked(self, sql: str) -> Admitted:
        channel = self._living()
        try:
            wire.send(channel, Statement(sql))
            answer, _ = wire.receive(channel, Passed | Stopped)
        except (wire.Closed, TimeoutError):
            self._end()
            raise Refusal(gate.TOO_COMPLEX, gate.TOO_COMPLEX_TEXT) from None
        if answer.last:
            self._end()
        if isinstance(answer, Stopped):
            raise Refusal(answer.code, answer.message, position=answer.position, name=answer.name)
        return Admitted(sql, tuple(RelationName(*relation) for relation in answer.relations))

    def _living(self) -> socket.socket:
        """The channel to a process that waits for a statement. Holds the turn."""
        if self._closed:
            raise Unavailable("the query service is stopping")
        if self._channel is not None and self._process is not None and self._process.poll() is None:
            return self._channel
        self._end()
        ours, theirs = socket.socketpair()
        ours.settimeout(START_SECONDS)
        try:
            # Nothing is in the folder, and nothing else may be read: it goes when the process is confined to it.
            with theirs, tempfile.TemporaryDirectory(prefix="trace-judge-") as folder:
                self._process = subprocess.Popen(
                    [sys.executable, "-I", "-c", _START, str(theirs.fileno()), folder],
                    env=_ENVIRONMENT,
                    pass_fds=(theirs.fileno(),),
                    stdin=subprocess.DEVNULL,
                )
                theirs.close()
                wire.receive(ours, Ready)
        except (
            OSError,
            wire.Closed,
        ) as error:  # no process or descriptor is to be had, or it ended
            ours.close()
            self._end()
            raise Unavailable("no process to look at statements could be started; the log says why") from error
        ours.settimeout(JUDGE_SECONDS)
        self._channel = ours
        return ours

    def _end(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(END_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


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
    try:
        confine.die_with_parent()
        _serve(descriptor, folder)
    except BaseException as error:  # told here, and without the statement: what prints a trace opens files
        sys.stderr.write(f"the gate's process: {type(error).__name__}\n")
        sys.stderr.flush()
        os._exit(1)
    os._exit(0)


def _kill(watch: int) -> None:
    with contextlib.suppress(ProcessLookupError):  # it has ended by itself
        signal.pidfd_send_signal(watch, signal.SIGKILL)


def _serve(descriptor: int, folder: str) -> None:
    channel = socket.socket(fileno=descriptor)
    with contextlib.suppress(Refusal):
        gate.judge("SELECT sum(n) FROM warm GROUP BY ALL")
    confine.confine(folder, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS + 5, slack_bytes=0)
    wire.send(channel, Ready())
    with contextlib.suppress(wire.Closed):
        last = False
        while not last:
            order, _ = wire.receive(channel, Statement)
            verdict = _verdict(order.sql)
            last = verdict.last
            wire.send(channel, verdict)


def _verdict(sql: str) -> Passed | Stopped:
    try:
        admitted = gate.judge(sql)
    except MemoryError:
        return Stopped(gate.TOO_COMPLEX, gate.TOO_COMPLEX_TEXT, None, None, last=True)
    except Refusal as refusal:
        last = refusal.code == gate.TOO_COMPLEX or _worn()
        return Stopped(refusal.code, refusal.message, refusal.position, refusal.name, last)
    return Passed([(name.schema, name.table, name.position) for name in admitted.relations], _worn())


def _worn() -> bool:
    return time.process_time() > CPU_SECONDS
