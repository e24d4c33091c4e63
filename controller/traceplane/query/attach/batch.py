"""The queue of queries that were left to be run, on one connection of the data database.

A row is claimed under a lease, and every statement that moves it on names the runner and the attempt: whoever lost
the lease changes nothing, and its answer is not written either (`Audit.result` and `end` share a transaction). A
lease that ran out is claimed again by whoever comes next. Turns go around: the user whose last turn is longest ago
is next, and its oldest query.

Each change is told on CHANNEL: empty for a query that waits, its id for one that ended or is to end.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, class_row, dict_row

from traceplane.errors import Overloaded, Stale
from traceplane.query.attach.audit import Audit, Caller, hash_of

CHANNEL = "trace_query_batches"
LEASE_SECONDS = 60

_LOCK = "SELECT pg_advisory_xact_lock(hashtext('trace.query_batches'))"

_OPEN = """
SELECT count(*), count(*) FILTER (WHERE user_id = %(user)s)
FROM trace.query_batches WHERE org_id = %(org)s AND sql IS NOT NULL
"""

_ACCEPT = """
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
    WHERE b.org_id = %(org)s AND b.sql IS NOT NULL
      AND (b.state = 'Queued' AND b.not_before <= now() OR b.state = 'Running' AND b.lease_until < now())
    ORDER BY (SELECT max(o.started_at) FROM trace.query_batches o
              WHERE o.org_id = b.org_id AND o.user_id = b.user_id) NULLS FIRST, b.created_at, b.id
    LIMIT 1 FOR UPDATE OF b SKIP LOCKED)
UPDATE trace.query_batches b
SET state = 'Running', attempt = attempt + 1, runner = %(runner)s, started_at = now(),
    lease_until = now() + make_interval(secs => %(lease)s)
FROM next WHERE b.id = next.id
RETURNING b.id, b.user_id AS user, b.sql, b.namespace, b.overflow, b.as_of, b.seconds, b.runner, b.attempt, b.cancel
"""

_HELD = "id = %(id)s AND runner = %(runner)s AND attempt = %(attempt)s AND state = 'Running'"

_HOLD = f"""
UPDATE trace.query_batches SET lease_until = now() + make_interval(secs => %(lease)s)
WHERE {_HELD} RETURNING cancel
"""

_HAND_BACK = f"""
UPDATE trace.query_batches
SET state = 'Queued', runner = NULL, lease_until = NULL, attempt = attempt - %(uncounted)s,
    not_before = now() + make_interval(secs => %(pause)s)
WHERE {_HELD}
"""

_END = f"""
UPDATE trace.query_batches
SET state = %(state)s, sql = NULL, runner = NULL, lease_until = NULL, ended_at = now(),
    error_status = %(status)s, error_code = %(code)s, error_detail = %(detail)s
WHERE {_HELD}
"""

_CANCEL = """
UPDATE trace.query_batches
SET cancel = true,
    sql = CASE state WHEN 'Queued' THEN NULL ELSE sql END,
    ended_at = CASE state WHEN 'Queued' THEN now() END,
    state = CASE state WHEN 'Queued' THEN 'Canceled' ELSE state END
WHERE id = %(id)s AND org_id = %(org)s AND user_id = %(user)s AND sql IS NOT NULL
"""

_TELL = "SELECT pg_notify(%(channel)s, %(payload)s)"


@dataclass(frozen=True, slots=True)
class Lease:
    """Whose turn a query is: the fence of every change of its row."""

    id: UUID
    runner: UUID
    attempt: int

    def values(self) -> dict[str, Any]:
        """As parameters of the statements above."""
        return {"id": self.id, "runner": self.runner, "attempt": self.attempt}


@dataclass(frozen=True, slots=True)
class Claimed:
    """A query whose turn it is. `cancel`: its user wants it no more."""

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


class Batches:
    """Reads and moves on the queue of one organisation. The caller commits."""

    def __init__(self, connection: psycopg.Connection[TupleRow], org: UUID) -> None:
        self._connection = connection
        self._org = org

    def accept(self, caller: Caller, values: Mapping[str, Any], *, queue: int, of_user: int) -> None:
        """Put a query in line; `values` has `namespace`, `overflow`, `as_of`, `seconds`. Raises Overloaded."""
        self._connection.execute(_LOCK)  # else many at once would each find room for the same last place
        asked = {"org": self._org, "user": caller.user}
        row = self._connection.execute(_OPEN, asked).fetchone()
        assert row is not None
        if row[1] >= of_user:
            raise Overloaded(f"{row[1]} batch queries of yours wait or run already; wait for one, or cancel one")
        if row[0] >= queue:
            raise Overloaded(f"{row[0]} batch queries wait or run already; try again later")
        placed = {**asked, **values, "id": caller.query, "sql": caller.sql, "hash": hash_of(caller.sql)}
        self._connection.execute(_ACCEPT, placed)
        self._tell("")

    def find(self, query: UUID, user: UUID) -> dict[str, Any] | None:
        """A user's own query; None where there is none."""
        with self._connection.cursor(row_factory=dict_row) as cursor:
            asked = {"id": query, "org": self._org, "user": user}
            return cursor.execute(_FIND, asked).fetchone()

    def cancel(self, query: UUID, user: UUID) -> bool:
        """End a user's own query, now where it waits and soon where it runs; False where it had ended."""
        asked = {"id": query, "org": self._org, "user": user}
        found = self._connection.execute(_CANCEL, asked).rowcount == 1
        if found:
            self._tell(str(query))
        return found

    def claim(self, runner: UUID) -> Claimed | None:
        """The next query whose turn it is; None where none waits."""
        with self._connection.cursor(row_factory=class_row(Claimed)) as cursor:
            asked = {"org": self._org, "runner": runner, "lease": LEASE_SECONDS}
            return cursor.execute(_CLAIM, asked).fetchone()

    def open(self) -> int:
        """How many wait or run."""
        row = self._connection.execute(_OPEN, {"org": self._org, "user": None}).fetchone()
        return int(row[0]) if row else 0

    def hold(self, lease: Lease) -> bool:
        """Renew a lease; whether the query is to be canceled. Raises Stale where it is another's."""
        row = self._connection.execute(_HOLD, {**lease.values(), "lease": LEASE_SECONDS}).fetchone()
        if row is None:
            raise _lost(lease)
        return bool(row[0])

    def hand_back(self, lease: Lease, *, pause: float, counted: bool) -> None:
        """Put a query back in line, for `pause` seconds; `counted`: that was an attempt. Nothing if it is lost."""
        changed = {**lease.values(), "pause": pause, "uncounted": 0 if counted else 1}
        self._connection.execute(_HAND_BACK, changed)
        self._tell("")

    def end(self, lease: Lease, state: str, failure: Failure | None = None) -> None:
        """Succeeded, Failed or Canceled. Raises Stale where the lease is another's."""
        why = {name: getattr(failure, name, None) for name in ("status", "code", "detail")}
        if self._connection.execute(_END, {**lease.values(), "state": state, **why}).rowcount != 1:
            raise _lost(lease)
        self._tell(str(lease.id))

    def _tell(self, payload: str) -> None:
        self._connection.execute(_TELL, {"channel": CHANNEL, "payload": payload})


def beside(log: Audit) -> Batches:
    """The queue in the transaction in which something else is written down."""
    return Batches(log.connection, log.org)


def _lost(lease: Lease) -> Stale:
    return Stale(f"attempt {lease.attempt} of query {lease.id} is not this runner's any more")
