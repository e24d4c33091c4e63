"""The gate where it may fail: a process that judges statements one by one, and is replaced when it does not.

What a parser makes of a small text can be large beyond any bound on the text, so the broker, which holds
credentials and everybody's queries, parses nothing. The process has an empty environment, the limits and the
filters of a cell (see `confine`), one socket, and a limit of processor time for each statement: one that took more,
or that ended it, is refused. Statements that were admitted are remembered: what people ask often their tools
repeat.
"""

from __future__ import annotations

import select
import socket
import subprocess
import sys
import tempfile
import threading
import time
from collections import OrderedDict

from traceplane.errors import Unavailable
from traceplane.query import wire
from traceplane.query.admission.pools import Pool
from traceplane.query.gate import allowlist, process
from traceplane.query.gate.allowlist import Admitted, Refusal, RelationName

JUDGE_SECONDS = 2.0
"""Of processor time for one statement; the largest that may be sent takes a tenth of it."""
WAIT_SECONDS = 20.0
"""For its verdict, by the clock: whoever gets no processor for so long cannot judge."""
LOOK_SECONDS = 0.1
"""Between two looks at the processor time of a statement that was not judged at once."""
START_SECONDS = 20.0
END_SECONDS = 5.0
REMEMBERED = 256
"""Admitted statements; 16 MiB of text at most."""
MAX_WAITING = 63
"""Statements that wait behind the one that is judged; one more is told at once to come back."""

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}
_START = "import sys; from traceplane.query.gate import process; process.main(int(sys.argv[1]), sys.argv[2])"


class GateSupervisor:
    """GateSupervisor statements elsewhere; safe to call from several threads."""

    def __init__(self) -> None:
        self._turn = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._channel: socket.socket | None = None
        self._clock = 0
        self._known: OrderedDict[str, Admitted] = OrderedDict()
        self._memory = threading.Lock()
        self._pool = Pool("judge", threads=1, waiting=MAX_WAITING)
        self._closed = False

    async def soon(self, sql: str) -> Admitted:
        """`judge` for the event loop, which it does not hold up. Raises Overloaded where too many wait."""
        known = self.remembered(sql)
        return known if known is not None else await self._pool.ask(self.judge, sql)

    def judge(self, sql: str) -> Admitted:
        """The statement's relations, if the gate admits it. Raises Refusal, or Unavailable without a process."""
        known = self.remembered(sql)
        if known is None:
            allowlist.check_text(sql)
            with self._turn:
                known = self._asked(sql)
            with self._memory:
                self._known[sql] = known
                if len(self._known) > REMEMBERED:
                    self._known.popitem(last=False)
        return known

    def remembered(self, sql: str) -> Admitted | None:
        """The same of a statement that was admitted before, if it is known still."""
        with self._memory:
            known = self._known.get(sql)
            if known is not None:
                self._known.move_to_end(sql)
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

    def _asked(self, sql: str) -> Admitted:
        channel = self._living()
        try:
            wire.send(channel, process.Statement(sql))
            if not self._answers(channel):
                raise wire.Closed
            answer, _ = wire.receive(channel, process.Passed | process.Stopped)
        except wire.Closed:
            self._end()
            raise Refusal(allowlist.TOO_COMPLEX, allowlist.TOO_COMPLEX_TEXT) from None
        except TimeoutError:
            self._end()
            raise Unavailable("the process that looks at statements gets no processor time") from None
        if answer.last:
            self._end()
        if isinstance(answer, process.Stopped):
            raise Refusal(answer.code, answer.message, position=answer.position, name=answer.name)
        return Admitted(sql, tuple(RelationName(*relation) for relation in answer.relations))

    def _answers(self, channel: socket.socket) -> bool:
        """Wait for the verdict, or for the end of the process; False where it took too much of the processor.
        Raises TimeoutError where it is not that."""
        heard = select.poll()
        heard.register(channel, select.POLLIN)
        deadline, spent = time.monotonic() + WAIT_SECONDS, _spent(self._clock)
        while not heard.poll(LOOK_SECONDS * 1000):
            if _spent(self._clock) - spent > JUDGE_SECONDS:
                return False
            if time.monotonic() > deadline:
                raise TimeoutError
        return True

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
                ready, _ = wire.receive(ours, process.Ready)
        except (
            OSError,
            wire.Closed,
        ) as error:  # no process or descriptor is to be had, or it ended
            ours.close()
            self._end()
            raise Unavailable("no process to look at statements could be started; the log says why") from error
        ours.settimeout(WAIT_SECONDS)
        self._channel, self._clock = ours, _clock_of(ready.process)
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


def _clock_of(process: int) -> int:
    """The clock of the processor time that a process has used (clock_getcpuclockid(3), which Python lacks): its id,
    inverted, above three bits that ask for what the scheduler counted, of all its threads."""
    return (~process << 3) | 2


def _spent(clock: int) -> float:
    """Seconds of processor time; none for a process that has ended, which its channel tells."""
    try:
        return time.clock_gettime(clock)
    except OSError:
        return 0.0
