"""The broker's databases: with `bucket`, the only place in the query service that holds credentials.

State is read as the role `trace_query` through the views of the schema `catalog`; data through the same role's
right to read hot tables and to add audit rows. A query opens its data snapshot first and reads the catalogue
second, in one snapshot of state: see `relation` for why that order is the whole point.

A small query consists of round trips more than of anything else, so they are few: sessions are in autocommit and
prepare what they repeat, a transaction begins together with its first statement, and a pooled session is asked
whether it lives only where its socket has something to say.
"""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool, PoolTimeout

from traceplane.errors import Unavailable, UnknownSchema
from traceplane.query.attach import audit, batch, catalogue
from traceplane.query.attach.hotread import HotConnections
from traceplane.query.relations.hot_sql import table_of
from traceplane.settings import QuerySettings
from traceplane.store import migrate
from traceplane.store.engine import is_readable, session
from traceplane_sdk.wire import Fence

WAIT_SECONDS = 5.0
CANCEL_SECONDS = 2.0
_IDLE_SLACK_SECONDS = 60

_BEGIN_SNAPSHOT = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"
_LIMITS = """
SELECT set_config('idle_in_transaction_session_timeout', %s, true), set_config('statement_timeout', %s, true)
"""
_LIMIT = "SELECT set_config('statement_timeout', %s, true)"

_UNRELAYED = "SELECT range_start, range_end FROM trace.unrelayed_invalidations WHERE dataset_version_id = %s"

_HOLDS_LEASE = "SELECT catalog.holds_lease(%s, %s, %s, %s, %s)"

_CLAIM_VERSIONS = "SELECT catalog.claim_versions(%s, %s, %s, %s, %s)"

_ROLES = "SELECT user_id, org_id, roles FROM catalog.principals WHERE issuer = %s AND external_id = %s"

_ROLES_OF = "SELECT roles FROM catalog.principals WHERE user_id = %s AND org_id = %s"


class DataSnapshot:
    """One snapshot of data; others join it by what `export` gives. `cancel` may be called from any thread."""

    def __init__(self, connection: psycopg.Connection[TupleRow]) -> None:
        self._connection = connection
        self._lock = threading.Lock()
        self._open = True

    def cancel(self) -> None:
        """End the statement that runs in it, if one does. Talks to the server."""
        with self._lock:
            if self._open:
                with contextlib.suppress(psycopg.Error):
                    self._connection.cancel_safe(timeout=CANCEL_SECONDS)

    def leave(self) -> None:
        """From now on the connection is somebody else's."""
        with self._lock:
            self._open = False

    def export(self, tables: Sequence[tuple[str, str]]) -> tuple[str, list[int | None]]:
        """Its id, and the highest value of each (location, scope column), in order; None for an empty table.

        The server writes a file for an id, so it is asked for where hot rows are read, and not before.
        """
        asked = [
            sql.SQL("(SELECT max({}) FROM {})").format(
                sql.Identifier(column), sql.Identifier("hot", table_of(place))
            )
            for place, column in tables
        ]
        try:
            row = self._connection.execute(
                sql.SQL("SELECT {}").format(sql.SQL(", ").join([sql.SQL("pg_export_snapshot()"), *asked]))
            ).fetchone()
        except psycopg.Error as error:
            raise Unavailable("a hot table cannot be read") from error
        assert row is not None
        return str(row[0]), [None if head is None else int(head) for head in row[1:]]

    def unrelayed(self, version: UUID) -> list[tuple[int | None, int | None, str]]:
        """Invalidations (start, end, reason) of a hot version that state has not heard of yet."""
        with _mapped("data"):
            rows = self._connection.execute(_UNRELAYED, (version,)).fetchall()
        return [(start, end, "just now") for start, end in rows]


class Databases:
    """State and data as the query service may read them."""

    def __init__(self, settings: QuerySettings) -> None:
        self._org = settings.org_id
        self._bucket = settings.s3_bucket
        data_dsn = settings.read_data_dsn()
        at_once = settings.query_concurrency + settings.query_batch_concurrency
        self.hot = HotConnections(data_dsn, keep=at_once)
        size = 2 * at_once + 1  # each query's own, one for what it writes down, one for logins
        self._state = _pool(settings.read_state_dsn(), "trace-query-state", size)
        self._data = _pool(data_dsn, "trace-query-data", size)

    def close(self) -> None:
        """End every connection."""
        self._state.close()
        self._data.close()
        self.hot.close()

    def ping(self) -> None:
        """Return when state answers and has the schema this release knows. Raises Unavailable."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            found = migrate.revision(connection, migrate.STATE)
        if found != migrate.STATE.head:
            raise Unavailable(
                f"state has schema {found}, this release knows {migrate.STATE.head}", code=UnknownSchema.code
            )

    def holds_lease(self, fence: Fence, claim: UUID) -> bool:
        """Whether this attempt, of this claim, runs."""
        return bool(self._of_lease(_HOLDS_LEASE, fence, claim))

    def claim_versions(self, fence: Fence, claim: UUID) -> frozenset[UUID] | None:
        """Dataset versions of the job generation of this attempt, of this claim; None unless it runs."""
        found = self._of_lease(_CLAIM_VERSIONS, fence, claim)
        return None if found is None else frozenset(found)

    def _of_lease(self, question: str, fence: Fence, claim: UUID) -> Any:
        asked = (self._org, UUID(fence.task_id), fence.attempt, UUID(fence.lease_token), claim)
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            row = connection.execute(question, asked).fetchone()
        return row[0] if row else None

    def roles(self, user: UUID) -> frozenset[str]:
        """What a user of this organisation may be today; nothing where there is no such user."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            row = connection.execute(_ROLES_OF, (user, self._org)).fetchone()
        return frozenset(row[0]) if row else frozenset()

    def principal(self, issuer: str, subject: str) -> tuple[UUID, UUID, frozenset[str]] | None:
        """(user, org, roles) of a user of this organisation; None where there is none."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            row = connection.execute(_ROLES, (issuer, subject)).fetchone()
        return (row[0], row[1], frozenset(row[2])) if row and row[1] == self._org else None

    @contextmanager
    def snapshot(self, seconds: float) -> Iterator[DataSnapshot]:
        """A read-only snapshot of data, held for at most `seconds`."""
        with _mapped("data"), self._data.connection(timeout=WAIT_SECONDS) as connection:
            idle, limit = int((seconds + _IDLE_SLACK_SECONDS) * 1000), int(seconds * 1000) + 1
            with connection.pipeline():
                connection.execute(_BEGIN_SNAPSHOT)
                connection.execute(_LIMITS, (str(idle), str(limit)))  # the first to read: it takes the snapshot
            snapshot = DataSnapshot(connection)
            try:
                yield snapshot
            finally:
                snapshot.leave()

    def last_invalidation(self) -> int:
        """How far the log of invalidations has got. A pin asks before it opens its snapshot of data."""
        with _mapped("state"), self._state.connection(timeout=WAIT_SECONDS) as connection:
            row = connection.execute(catalogue.LAST_INVALIDATION).fetchone()
        assert row is not None
        return int(row[0])

    @contextmanager
    def catalogue(self) -> Iterator[catalogue.Catalogue]:
        """The catalogue, in one snapshot of state."""
        with (
            _mapped("state"),
            self._state.connection(timeout=WAIT_SECONDS) as connection,
            connection.pipeline(),
        ):
            connection.execute(_BEGIN_SNAPSHOT)
            yield catalogue.Catalogue(connection, self._org, self._bucket)
            connection.execute("COMMIT")

    @contextmanager
    def audit(self, seconds: float = WAIT_SECONDS) -> Iterator[audit.Audit]:
        """Where results and accesses are written down, within `seconds`; committed when this ends."""
        try:
            with (
                _mapped("data"),
                self._data.connection(timeout=WAIT_SECONDS) as connection,
                _within(connection, seconds),
            ):
                yield audit.Audit(connection, self._org)
        except psycopg.Error as error:
            raise Unavailable("the audit log cannot be written") from error

    @contextmanager
    def batches(self) -> Iterator[batch.Batches]:
        """The queue of batch queries; committed when this ends."""
        try:
            with (
                _mapped("data"),
                self._data.connection(timeout=WAIT_SECONDS) as connection,
                _within(connection, WAIT_SECONDS),
            ):
                yield batch.Batches(connection, self._org)
        except psycopg.Error as error:
            raise Unavailable("the queue of batch queries cannot be read") from error


def _pool(dsn: str, name: str, size: int) -> ConnectionPool[psycopg.Connection[TupleRow]]:
    return ConnectionPool(
        kwargs={**session(dsn, name), "autocommit": True},
        min_size=1,
        max_size=size,
        timeout=WAIT_SECONDS,
        max_waiting=64,
        reconnect_timeout=30,
        check=_check_if_spoken,
        open=True,
        name=name,
    )


def _check_if_spoken(connection: psycopg.Connection[TupleRow]) -> None:
    """Raise OperationalError where an idle connection is dead."""
    if is_readable(connection.fileno()):
        ConnectionPool.check_connection(connection)


@contextmanager
def _within(connection: psycopg.Connection[TupleRow], seconds: float) -> Iterator[None]:
    """A transaction whose statements take at most `seconds` each; committed by whoever lent the connection."""
    with connection.pipeline():
        connection.execute("BEGIN")
        connection.execute(_LIMIT, (str(int(seconds * 1000) + 1),))
    yield


@contextmanager
def _mapped(database: str) -> Iterator[None]:
    """A lost or missing database is `Unavailable`, whatever the driver calls it."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError, PoolTimeout) as error:
        raise Unavailable(f"the {database} database does not answer") from error
