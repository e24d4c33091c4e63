"""The broker's side of the gate: starts the process that checks statements, bounds it, and replaces it.

What a parser makes of a small text can be large beyond any bound on the text. So the broker, which holds
credentials and the queries of all callers, parses nothing. The process that does has an empty environment, the
limits and filters of a cell (see `sandbox.confine`) and one socket. A statement that takes too much of the
processor, or that ends the process, is refused, and the next one gets a new process.
"""

from __future__ import annotations

import select
import socket
import subprocess
import tempfile
import threading
import time
from collections import OrderedDict
from collections.abc import Sequence

from traceplane.errors import Unavailable
from traceplane.query import wire
from traceplane.query.admission.pools import Pool
from traceplane.query.gate import text
from traceplane.query.gate.messages import Passed, Ready, Rejected, Shape, Statement, Table
from traceplane.query.gate.statement import Admitted, Refusal, RelationName
from traceplane.query.sandbox import spawn

ENTRY = "traceplane.query.gate.process:main"

CPU_SECONDS = 2.0
"""Processor time of one statement; the largest statement that may be sent takes a tenth of it."""
REPLY_SECONDS = 20.0
"""Wait for a reply, by the clock: a process that gets no processor for so long cannot check anything."""
POLL_SECONDS = 0.1
"""Between two looks at the processor time of a statement that was not answered at once."""
START_SECONDS = 20.0
STOP_SECONDS = 5.0
REMEMBERED = 256
"""Admitted statements that are remembered; 32 MiB of text at most."""
MAX_WAITING = 63
"""Statements that wait behind the one being checked; one more is refused at once, to be tried again later."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


class GateSupervisor:
    """Checks statements in a process of its own; safe to call from several threads. `entry` is what that runs."""

    def __init__(self, entry: str = ENTRY) -> None:
        self._entry = entry
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._clock = 0
        self._process_lock = threading.Lock()
        """Held while a statement is with the process, and while the process is started or stopped."""
        self._remembered: OrderedDict[str, Admitted] = OrderedDict()
        self._remembered_lock = threading.Lock()
        self._pool = Pool("gate", threads=1, waiting=MAX_WAITING)
        self._closed = False

    async def check_in_thread(self, sql: str, shape: Shape | None = None) -> Admitted:
        """`check` without holding up the event loop. Raises Overloaded where too many statements wait."""
        known = self.remembered(sql) if shape is None else None
        return known if known is not None else await self._pool.run(self.check, sql, shape)

    def check(self, sql: str, shape: Shape | None = None) -> Admitted:
        """The statement's relations, if the gate admits it. Raises Refusal, or Unavailable without a process.

        With `shape` the admitted text is what a task makes of the statement: another for each task, so it is not
        remembered.
        """
        if shape is not None:
            return self._ask(Statement(sql, shape))
        known = self.remembered(sql)
        if known is None:
            known = self._ask(Statement(sql))
            with self._remembered_lock:
                self._remembered[sql] = known
                if len(self._remembered) > REMEMBERED:
                    self._remembered.popitem(last=False)
        return known

    def bind(self, sql: str, shape: Shape, tables: Sequence[Table]) -> None:
        """Bind a task's statement over empty `tables`. Raises Refusal, or Unavailable without a process."""
        self._ask(Statement(sql, shape, tuple(tables)))

    def remembered(self, sql: str) -> Admitted | None:
        """What `check` gave for the same statement, if it is remembered: tools repeat what people ask often."""
        with self._remembered_lock:
            known = self._remembered.get(sql)
            if known is not None:
                self._remembered.move_to_end(sql)
        return known

    def start(self) -> None:
        """Start the process before there is a statement. Raises Unavailable."""
        with self._process_lock:
            self._ready_channel()

    def rest(self) -> None:
        """End the process, whose memory is free then. The next statement gets another."""
        with self._process_lock:
            self._stop_process()

    def close(self) -> None:
        """End the process; a statement that is with it is refused."""
        self._closed = True
        running = self._process
        if running is not None:
            running.terminate()  # before the lock: its holder waits for this process
        self._pool.close()
        with self._process_lock:
            self._stop_process()

    def _ask(self, statement: Statement) -> Admitted:
        text.check(statement.sql)
        with self._process_lock:
            return self._ask_process(statement)

    def _ask_process(self, statement: Statement) -> Admitted:
        channel = self._ready_channel()
        try:
            wire.send(channel, statement)
            if not self._wait_for_reply(channel):
                raise wire.Closed
            reply, _ = wire.receive(channel, Passed | Rejected)
        except wire.Closed:  # the statement took too much, or ended the process
            self._stop_process()
            raise Refusal(text.TOO_COMPLEX, text.TOO_COMPLEX_TEXT) from None
        except TimeoutError:  # nothing is wrong with the statement
            self._stop_process()
            raise Unavailable("the process that checks statements gets no processor time") from None
        if reply.last:
            self._stop_process()
        if isinstance(reply, Rejected):
            raise Refusal(reply.code, reply.message, position=reply.position, name=reply.name)
        relations = tuple(RelationName(*relation) for relation in reply.relations)
        return Admitted(reply.sql, relations, reply.lists, reply.runs)

    def _wait_for_reply(self, channel: socket.socket) -> bool:
        """Wait for a reply, or for the end of the process; False where the statement took too much of the
        processor. Raises TimeoutError where the process got too little of it."""
        readable = select.poll()
        readable.register(channel, select.POLLIN)
        deadline, before = time.monotonic() + REPLY_SECONDS, _cpu_seconds(self._clock)
        while not readable.poll(POLL_SECONDS * 1000):
            if _cpu_seconds(self._clock) - before > CPU_SECONDS:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError
        return True

    def _ready_channel(self) -> socket.socket:
        """The channel to a process that waits for a statement. The process lock is held."""
        if self._closed:
            raise Unavailable("the query service is stopping")
        if self._channel is not None and self._process is not None and self._process.poll() is None:
            return self._channel
        self._stop_process()
        ours, theirs = socket.socketpair()
        ours.settimeout(START_SECONDS)
        try:
            # The folder is empty, and nothing else may be read; once the process is confined it is not needed.
            with theirs, tempfile.TemporaryDirectory(prefix="trace-gate-") as folder:
                self._process = spawn.start(self._entry, theirs, folder, _ENVIRONMENT)
                theirs.close()  # else the end of the process would not close the channel
                ready, _ = wire.receive(ours, Ready)
        except (OSError, wire.Closed) as error:  # no process or descriptor is to be had, or the process ended
            ours.close()
            self._stop_process()
            raise Unavailable(
                "the process that checks statements could not be started; the log says why"
            ) from error
        ours.settimeout(REPLY_SECONDS)
        self._channel, self._clock = ours, _cpu_clock(ready.process)
        return ours

    def _stop_process(self) -> None:
        if self._channel is not None:
            self._channel.close()
            self._channel = None
        if self._process is not None:
            self._process.terminate()
            try:
                self._process.wait(STOP_SECONDS)
            except subprocess.TimeoutExpired:
                self._process.kill()
                self._process.wait()
            self._process = None


def _cpu_clock(pid: int) -> int:
    """The clock of the processor time that a process has used (clock_getcpuclockid(3), which Python lacks): its id,
    inverted, above three bits that ask for what the scheduler counted, of all its threads."""
    return (~pid << 3) | 2


def _cpu_seconds(clock: int) -> float:
    """Seconds of processor time; none for a process that has ended, which its channel shows."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0
