"""The queue of batch queries: the statements that move a row of `trace.query_batches` from state to state.

    Queued -> Running -> Succeeded | Failed | Canceled        Running -> Queued (released, or its lease ran out)
    Queued -> Canceled

A row is claimed under a lease, as a task is, and every statement that moves it on is fenced by the runner and the
attempt. A runner that lost its lease changes nothing, and its answer is not written either:
`AuditLog.record_result` and `complete` share a transaction.

Each change notifies CHANNEL: with an empty payload for a query that waits, with its id for one that ended or is to
end.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row

from traceplane.errors import Overloaded, Stale
from traceplane.query.attach.audit_log import AuditLog
from traceplane.query.caller import Caller, hash_of

CHANNEL = "trace_query_batches"
LEASE_SECONDS = 60

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('trace.query_batches'))"

# A row has its statement as long as it is open; the index of open queries rests on that.
_COUNT_OPEN = """
SELECT count(*), count(*) FILTER (WHERE user_id = %(user)s)
FROM trace.query_batches WHERE org_id = %(org)s AND sql IS NOT NULL
"""

_SUBMIT = """
INSERT INTO trace.query_batches (id, org_id, user_id, sql, sql_sha256, namespace, overflow, as_of, seconds)
VALUES (%(id)s, %(org)s, %(user)s, %(sql)s, %(hash)s, %(namespace)s, %(overflow)s, %(as_of)s, %(seconds)s)
"""

_FIND = """
SELECT id, state, sql_sha256, created_at, started_at, ended_at, error_status, error_code, error_detail
FROM trace.query_batches WHERE id = %(id)s AND org_id = %(org)s AND user_id = %(user)s
"""

_CLAIM = """
WITH next AS (
    SELECT b.id FROM trace.query_batches b
    WHERE b.org_id = %(org)s
      -- second guard: so have all that wait or run. It is what the index of open queries is found by.
      AND b.sql IS NOT NULL
      -- One that waits, after its pause; or one that runs, of a runner that no longer renews its lease.
      AND (b.state = 'Queued' AND b.not_before <= now() OR b.state = 'Running' AND b.lease_until < now())
    -- Fair among users: first the user who had none yet, or whose latest began longest ago; of one, the oldest.
    ORDER BY (SELECT max(o.started_at) FROM trace.query_batches o
              -- second guard: a user is of one organisation. The index begins with it.
              WHERE o.org_id = b.org_id
                AND o.user_id = b.user_id) NULLS FIRST, b.created_at, b.id
    LIMIT 1 FOR UPDATE OF b SKIP LOCKED)
UPDATE trace.query_batches b
SET state = 'Running', attempt = attempt + 1, runner = %(runner)s, started_at = now(),
    lease_until = now() + make_interval(secs => %(lease)s)
FROM next WHERE b.id = next.id
RETURNING b.id, b.user_id AS user, b.sql, b.namespace, b.overflow, b.as_of, b.seconds, b.runner, b.attempt, b.cancel
"""

# Only what runs has a runner: a constraint of the table.
_HOLDS_LEASE = "id = %(id)s AND runner = %(runner)s AND attempt = %(attempt)s"

_RENEW = f"""
UPDATE trace.query_batches SET lease_until = now() + make_interval(secs => %(lease)s)
WHERE {_HOLDS_LEASE} RETURNING cancel
"""

_RELEASE = f"""
UPDATE trace.query_batches
SET state = 'Queued', runner = NULL, lease_until = NULL, attempt = attempt - %(uncounted)s,
    not_before = now() + make_interval(secs => %(pause)s)
WHERE {_HOLDS_LEASE}
"""

_COMPLETE = f"""
UPDATE trace.query_batches
SET state = %(state)s, sql = NULL, runner = NULL, lease_until = NULL, ended_at = now(),
    error_status = %(status)s, error_code = %(code)s, error_detail = %(detail)s
WHERE {_HOLDS_LEASE} RETURNING id
"""

_CANCEL = """
UPDATE trace.query_batches
SET cancel = true,
    -- One that waits ends here. One that runs is its runner's to end, when it renews the lease.
    sql = CASE state WHEN 'Queued' THEN NULL ELSE sql END,
    ended_at = CASE state WHEN 'Queued' THEN now() END,
    state = CASE state WHEN 'Queued' THEN 'Canceled' ELSE state END
WHERE id = %(id)s AND org_id = %(org)s AND user_id = %(user)s AND sql IS NOT NULL RETURNING id
"""

_NOTIFY = "SELECT pg_notify(%(channel)s, %(payload)s)"


@dataclass(frozen=True, slots=True)
class BatchQuery:
    """A batch query as its user sees it."""

    id: UUID
    state: str
    sql_sha256: str
    created_at: datetime
    started_at: datetime | None
    ended_at: datetime | None
    error_status: int | None
    error_code: str | None
    error_detail: str | None

    @property
    def is_open(self) -> bool:
        """Whether it waits or runs."""
        return self.state in ("Queued", "Running")

    @property
    def failure(self) -> Failure | None:
        """The problem that an interactive query would have been answered with; None of one that did not fail."""
        if self.error_status is None or self.error_code is None or self.error_detail is None:
            return None
        return Failure(self.error_status, self.error_code, self.error_detail)


@dataclass(frozen=True, slots=True)
class Lease:
    """One attempt of one runner at a query: the fence of every change of its row."""

    id: UUID
    runner: UUID
    attempt: int


@dataclass(frozen=True, slots=True)
class Claim:
    """A query that was claimed to be run now. `seconds` is its time limit; `cancel`: its user canceled it."""

    id: UUID
    user: UUID
    sql: str
    namespace: str
    overflow: str
    as_of: str | None
    seconds: float
    runner: UUID
    attempt: int
    cancel: bool

    @property
    def lease(self) -> Lease:
        """The fence of this claim."""
        return Lease(self.id, self.runner, self.attempt)


@dataclass(frozen=True, slots=True)
class Failure:
    """Why a query failed, as HTTP says it."""

    status: int
    code: str
    detail: str


class BatchQueries:
    """The queue of one organisation on one connection of the data database. The caller commits."""

    def __init__(self, connection: psycopg.Connection[TupleRow], org: UUID) -> None:
        self._connection = connection
        self._org = org

    def submit(
        self,
        caller: Caller,
        *,
        namespace: str,
        overflow: str,
        as_of: str | None,
        seconds: float,
        limit: int,
        limit_per_user: int,
    ) -> None:
        """Add a query to the queue. Raises Overloaded where as many as the limits allow wait or run."""
        self._connection.execute(_LOCK)  # else several at once would each find room for the same last place
        total, of_user = self._count_open(caller.user)
        if of_user >= limit_per_user:
            raise Overloaded(
                f"you already have {of_user} batch queries waiting or running; wait for one, or cancel one"
            )
        if total >= limit:
            raise Overloaded(f"{total} batch queries are already waiting or running; try again later")
        values = {
            "id": caller.query,
            "org": self._org,
            "user": caller.user,
            "sql": caller.sql,
            "hash": hash_of(caller.sql),
            "namespace": namespace,
            "overflow": overflow,
            "as_of": as_of,
            "seconds": seconds,
        }
        self._connection.execute(_SUBMIT, values)
        self._notify("")

    def find(self, query: UUID, user: UUID) -> BatchQuery | None:
        """A user's own query; None where there is none, or it is another user's."""
        with self._connection.cursor(row_factory=class_row(BatchQuery)) as cursor:
            return cursor.execute(_FIND, self._own(query, user)).fetchone()

    def cancel(self, query: UUID, user: UUID) -> bool:
        """End a user's own query, now where it waits and soon where it runs; False where it had ended."""
        found = self._connection.execute(_CANCEL, self._own(query, user)).fetchone() is not None
        if found:
            self._notify(str(query))
        return found

    def claim(self, runner: UUID) -> Claim | None:
        """Lease the next query to `runner`; None where none is due."""
        with self._connection.cursor(row_factory=class_row(Claim)) as cursor:
            values = {"org": self._org, "runner": runner, "lease": LEASE_SECONDS}
            return cursor.execute(_CLAIM, values).fetchone()

    def count_open(self) -> int:
        """How many wait or run, for the metric."""
        return self._count_open(None)[0]

    def renew(self, lease: Lease) -> bool:
        """Keep a lease for another LEASE_SECONDS; whether the query is to be canceled. Raises Stale where the lease
        was lost."""
        row = self._connection.execute(_RENEW, {**asdict(lease), "lease": LEASE_SECONDS}).fetchone()
        if row is None:
            raise _lost(lease)
        return bool(row[0])

    def release(self, lease: Lease, *, pause: float, counted: bool) -> None:
        """Give a query back to the queue, due after `pause` seconds; `counted`: as an attempt that was used. Does
        nothing where the lease was lost."""
        values = {**asdict(lease), "pause": pause, "uncounted": 0 if counted else 1}
        self._connection.execute(_RELEASE, values)
        self._notify("")

    def complete(self, lease: Lease, state: str, failure: Failure | None = None) -> None:
        """End a query as Succeeded, Failed or Canceled; its statement is forgotten. Raises Stale where the lease
        was lost."""
        why = {name: getattr(failure, name, None) for name in ("status", "code", "detail")}
        if self._connection.execute(_COMPLETE, {**asdict(lease), "state": state, **why}).fetchone() is None:
            raise _lost(lease)
        self._notify(str(lease.id))

    def _count_open(self, user: UUID | None) -> tuple[int, int]:
        row = self._connection.execute(_COUNT_OPEN, {"org": self._org, "user": user}).fetchone()
        assert row is not None
        return int(row[0]), int(row[1])

    def _own(self, query: UUID, user: UUID) -> dict[str, Any]:
        return {"id": query, "org": self._org, "user": user}

    def _notify(self, payload: str) -> None:
        self._connection.execute(_NOTIFY, {"channel": CHANNEL, "payload": payload})


def beside(log: AuditLog) -> BatchQueries:
    """The queue in the transaction of an audit log: a result and the completion of its query commit together."""
    return BatchQueries(log.connection, log.org)


def _lost(lease: Lease) -> Stale:
    return Stale(f"attempt {lease.attempt} of query {lease.id} lost its lease to another runner")
