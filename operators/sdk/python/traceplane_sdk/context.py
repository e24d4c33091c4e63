"""What an operator's `run(ctx)` holds: its task, its config, and the ways to read and write.

The platform hands in a `TaskIO`, all that a run may reach; an operator never looks at an environment
variable or a mounted file. The same code therefore runs in a worker pod, in the dispatcher and in a test.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from pydantic import BaseModel

from traceplane_sdk import database, hot, wire
from traceplane_sdk.control import Control
from traceplane_sdk.crashpoints import no_crash
from traceplane_sdk.errors import OperatorError

if TYPE_CHECKING:
    import psycopg

    from traceplane_sdk.objects import ObjectStore
    from traceplane_sdk.queries import QueryAnswer

Log = Callable[[str, Mapping[str, Any]], None]
Emit = Callable[[Sequence[wire.Event], Sequence[wire.Invalidation], str], wire.EventsResponse]
"""The last is the report's id: a repeat of one is a no-op."""
Measure = Callable[[str, float | None, Mapping[str, str]], None]


def _no_pools(pool: str) -> Sequence[str]:
    raise OperatorError("NoProvider", f"no provider URLs are mounted for rpcPool {pool!r}", retryable=False)


def _silent(_event: str, _fields: Mapping[str, Any]) -> None:
    return None


STALL_SECONDS = 60.0
"""How long a healthy source may neither move nor have its head. A run that judges itself by it says why, and with
each report how long that one holds: the process around it waits no longer, for a run that hangs says nothing."""


@dataclass(frozen=True, slots=True)
class Report:
    """What a source says of itself, in words for an operator: `tracectl` and the DAG's condition show them.

    `position` is the last value that was written, `head` the last one that is known to exist; None where unknown.
    `holds`: seconds after which a healthy source that has not reported again is taken to hang. None: it does not
    judge itself, and is taken to hang where `position` stays below `head` for STALL_SECONDS.
    """

    healthy: bool
    message: str
    position: int | None = None
    head: int | None = None
    holds: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class TaskIO:
    """What the process around a run lends it. Callables are asked anew each time, so that secrets may rotate."""

    data_dsn: Callable[[], str]
    credentials: Callable[[], wire.CredentialsResponse] | None = None
    """Object-store credentials for this task's prefixes; None where the process may not touch the store."""
    query: Callable[[str, Path, float | None, wire.AnswerShape | None], QueryAnswer] | None = None
    """Asks the query service; see `traceplane_sdk.queries`. None where the process may not reach it."""
    rpc_urls: Callable[[str], Sequence[str]] = _no_pools
    control: Control = field(default_factory=Control)
    log: Log = _silent
    emit: Emit | None = None
    """Reports events while the task runs, for outputs that have no transaction of their own to put them in."""
    scratch: Path | None = None
    """A directory of this attempt's own, or None where there is none."""
    crash_point: Callable[[str], None] = no_crash
    """Passed at the places `traceplane_sdk.crashpoints` names, for failure drills."""
    measure: Measure = lambda _name, _value, _labels: None
    """Takes what an operator measures of itself: a snake_case name with its unit, the newest value, labels."""
    report: Callable[[Report], None] = lambda _report: None
    """Takes the newest report of a source; the platform shows it with the next heartbeat."""


@dataclass(frozen=True, slots=True)
class Result:
    """What a run hands back; it takes effect when the dispatcher accepts the completion."""

    outputs: Sequence[wire.CommittedOutput] = ()
    events: Sequence[wire.Event] = ()
    relocations: Sequence[wire.Relocation] = ()
    state: Mapping[str, Any] = field(default_factory=dict)


class Context:
    """One attempt of one task. Not thread-safe, except `control`."""

    def __init__(self, task: wire.TaskPayload, config: BaseModel, io: TaskIO) -> None:
        self.task = task
        self.config: Any = config
        self.io = io
        self.control = io.control
        self._connection: psycopg.Connection[Any] | None = None
        self._answers = 0

    @property
    def state(self) -> Mapping[str, Any]:
        """What earlier runs of this job kept."""
        return self.task.state

    def log(self, event: str, **fields: Any) -> None:
        """One structured line; `event` in lower case words."""
        self.io.log(event, fields)

    def measure(self, name: str, value: float | None, **labels: Any) -> None:
        """The newest value of something the operator measures, such as `source_head_block`; None: it has none now.

        A name has the same few labels every time, and each label few values: what is beyond that is dropped.
        """
        self.io.measure(name, value, {label: str(text) for label, text in labels.items()})

    def report(
        self, healthy: bool, message: str, position: int | None, head: int | None, holds: float | None = None
    ) -> None:
        """How the source is, for people: `message` as an operator would say it, `position` of `head` written.

        Cheap, so call it whenever something changed. A source that reports unhealthy is not Ready, nor is one that
        `holds` its report for so many seconds and says nothing more.
        """
        self.io.report(Report(healthy, message, position, head, holds))

    def trigger(self) -> wire.TaskInput:
        """The input that fired this task. OperatorError where there is not exactly one."""
        found = [one for one in self.task.inputs if one.trigger]
        if len(found) != 1:
            raise OperatorError("BadTask", f"expected one trigger input, got {len(found)}", retryable=False)
        return found[0]

    def connection(self) -> psycopg.Connection[Any]:
        """The run's connection to the data database, in autocommit; opened on first use and anew when it broke.

        Raises DatabaseUnavailable.
        """
        if self._connection is None or self._connection.closed or self._connection.broken:
            self._connection = database.connect(
                self.io.data_dsn(),
                {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "300s"},
                autocommit=True,
                application_name=f"trace {self.task.job.dag}/{self.task.job.name}"[:63],
            )
        return self._connection

    @contextmanager
    def hot(self) -> Iterator[hot.HotTransaction]:
        """A fenced transaction on the hot outputs; see `traceplane_sdk.hot`. Raises StaleLease."""
        with hot.fenced(self.connection(), self.task, self.io.crash_point) as transaction:
            yield transaction

    def cold(self) -> ObjectStore:
        """The object store, with credentials for this task's prefixes only."""
        from traceplane_sdk.objects import ObjectStore

        if self.io.credentials is None:
            raise OperatorError("NoObjectStore", "this process lends no object-store credentials", retryable=False)
        return ObjectStore(self.io.credentials, self.log)

    def query(
        self, sql: str, *, seconds: float | None = None, shape: wire.AnswerShape | None = None
    ) -> QueryAnswer:
        """The answer of one SELECT over the task's inputs, as a Parquet file on the scratch disk; with `shape`, its
        parameters have values, and the answer these columns in this order.

        Raises OperatorError with the query service's code where it refuses, Stopped when the run is to end.
        """
        if self.io.query is None or self.io.scratch is None:
            raise OperatorError("NoQueryService", "this process does not reach the query service", retryable=False)
        self._answers += 1
        return self.io.query(sql, self.io.scratch / f"answer_{self._answers}.parquet", seconds, shape)

    def emit(
        self,
        events: Sequence[wire.Event],
        invalidations: Sequence[wire.Invalidation] = (),
        *,
        key: str | None = None,
    ) -> int:
        """Report while running; returns how many were new.

        With a `key`, what an earlier attempt of the task reported under the same key counts once.
        """
        report = uuid.uuid4() if key is None else uuid.uuid5(uuid.UUID(self.task.task_id), key)
        return self._emit(events, invalidations, str(report)).accepted

    def unfinished(self) -> Mapping[str, int]:
        """How many events of each output have a task that is neither completed nor canceled; none: left out."""
        counted = self._emit((), (), str(uuid.uuid4())).unfinished
        if counted is None:
            raise OperatorError("DispatcherTooOld", "the dispatcher does not count unfinished events; upgrade it")
        return counted

    def _emit(
        self, events: Sequence[wire.Event], invalidations: Sequence[wire.Invalidation], report: str
    ) -> wire.EventsResponse:
        if self.io.emit is None:
            raise OperatorError("NoEvents", "this process takes no events while a task runs", retryable=False)
        return self.io.emit(events, invalidations, report)

    def close(self) -> None:
        """Give back what the run opened."""
        if self._connection is not None:
            self._connection.close()
