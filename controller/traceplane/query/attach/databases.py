"""The broker's databases: with `files.bucket`, the only place in the query service that holds credentials.

State is read as the role `trace_query` through the views of the schema `catalog`; data through the same role's
right to read hot tables and to add audit rows. A query opens its data snapshot first and reads the catalog second,
in one snapshot of state: see `relations.seam` for why that order is the whole point.

A small query consists of round trips more than of anything else, so they are few: sessions are in autocommit and
prepare what they repeat, and a transaction begins together with its first statement.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import TypeVar
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow
from psycopg_pool import ConnectionPool

from traceplane.errors import Unavailable, UnknownSchema
from traceplane.query.attach import data_snapshot
from traceplane.query.attach.audit_log import AuditLog
from traceplane.query.attach.batch_queries import BatchQueries
from traceplane.query.attach.catalog import LAST_INVALIDATION, Catalog
from traceplane.query.attach.data_snapshot import DataSnapshot
from traceplane.query.attach.hot_reader import HotConnections
from traceplane.settings import QuerySettings
from traceplane.store import migrate
from traceplane.store.engine import bounds, is_readable, session
from traceplane_sdk.where import Where
from traceplane_sdk.wire import Fence

Value = TypeVar("Value")

WAIT_SECONDS = 5.0

_LIMIT = "SELECT set_config('statement_timeout', %s, true)"

# Functions of state's owner: they read tasks, which the query service may not, and answer only for this one lease.
_CLAIM_VERSIONS = "SELECT catalog.claim_versions(%s, %s, %s, %s, %s)"
_CLAIM_INPUTS = """
SELECT catalog.claim_filters(org, task, attempt, token, claim),
       catalog.claim_assets(org, task, attempt, token, claim)
FROM (SELECT %s::uuid, %s::uuid, %s::int4, %s::uuid, %s::uuid) x (org, task, attempt, token, claim)
"""

_PRINCIPAL = "SELECT user_id, org_id, roles FROM catalog.principals WHERE issuer = %s AND external_id = %s"

# By id, for a batch query: its user may have lost a role since it was submitted.
_ROLES = "SELECT roles FROM catalog.principals WHERE user_id = %s AND org_id = %s"


class Databases:
    """State and data as the query service may read them."""

    def __init__(self, settings: QuerySettings) -> None:
        self._org = settings.org_id
        self._bucket = settings.s3_bucket
        data_dsn = settings.read_data_dsn()
        at_once = settings.query_concurrency + settings.query_batch_concurrency
        self.hot = HotConnections(data_dsn, keep=at_once)
        size = 2 * at_once + 1  # for each query its own and one for its audit rows, and one for logins
        self._state = _pool(settings.read_state_dsn(), "trace-query-state", size)
        self._data = _pool(data_dsn, "trace-query-data", size)

    def close(self) -> None:
        """End every connection."""
        self._state.close()
        self._data.close()
        self.hot.close()

    def ping(self) -> None:
        """Return when state answers and has the schema this release knows. Raises Unavailable."""
        with self._state_connection() as connection:
            found = migrate.revision(connection, migrate.STATE)
        if found != migrate.STATE.head:
            raise Unavailable(
                f"state has schema {found}, this release knows {migrate.STATE.head}", code=UnknownSchema.code
            )

    def claim_inputs(self, fence: Fence, claim: UUID) -> tuple[Mapping[UUID, Where], Mapping[UUID, str]] | None:
        """The `where` of the inputs of this attempt, of this claim, that have one, and the names of those that
        other DAGs publish; None unless it runs."""
        # One statement: both are answered, for an attempt that runs, or neither.
        filters, assets = self._of_lease(_CLAIM_INPUTS, fence, claim)
        return None if filters is None else (_by_version(filters), _by_version(assets))

    def claim_versions(self, fence: Fence, claim: UUID) -> frozenset[UUID] | None:
        """Dataset versions of the job generation of this attempt, of this claim; None unless it runs."""
        (found,) = self._of_lease(_CLAIM_VERSIONS, fence, claim)
        return None if found is None else frozenset(found)

    def roles(self, user: UUID) -> frozenset[str]:
        """What a user of this organisation may do today; nothing where there is no such user."""
        row = self._one(_ROLES, user, self._org)
        return frozenset(row[0]) if row else frozenset()

    def principal(self, issuer: str, subject: str) -> tuple[UUID, UUID, frozenset[str]] | None:
        """(user, org, roles) of a user of this organisation; None where there is none."""
        row = self._one(_PRINCIPAL, issuer, subject)
        return (row[0], row[1], frozenset(row[2])) if row and row[1] == self._org else None

    def last_invalidation(self) -> int:
        """How far the log of invalidations has got. A query reads it before it opens its snapshot of data, so that
        whatever the log holds has happened to the rows of the snapshot."""
        row = self._one(LAST_INVALIDATION)
        assert row is not None
        return int(row[0])

    @contextmanager
    def catalog(self) -> Iterator[Catalog]:
        """The catalog, in one snapshot of state."""
        with self._state_connection() as connection, connection.pipeline():
            connection.execute(data_snapshot.BEGIN)
            yield Catalog(connection, self._org, self._bucket)
            connection.execute("COMMIT")

    @contextmanager
    def snapshot(self, seconds: float) -> Iterator[DataSnapshot]:
        """A read-only snapshot of data, held for at most `seconds`."""
        with (
            _answering("data"),
            self._data.connection(timeout=WAIT_SECONDS) as connection,
            data_snapshot.opened(connection, seconds) as snapshot,
        ):
            yield snapshot

    @contextmanager
    def audit_log(self, seconds: float = WAIT_SECONDS) -> Iterator[AuditLog]:
        """The audit log, whose statements take at most `seconds` each; committed when this ends."""
        with self._transaction("the audit log cannot be written", seconds) as connection:
            yield AuditLog(connection, self._org)

    @contextmanager
    def batch_queries(self) -> Iterator[BatchQueries]:
        """The queue of batch queries; committed when this ends."""
        with self._transaction("the queue of batch queries cannot be read", WAIT_SECONDS) as connection:
            yield BatchQueries(connection, self._org)

    def _of_lease(self, statement: str, fence: Fence, claim: UUID) -> TupleRow:
        row = self._one(statement, self._org, UUID(fence.task_id), fence.attempt, UUID(fence.lease_token), claim)
        assert row is not None, "a SELECT of functions has one row"
        return row

    def _one(self, statement: str, *values: object) -> TupleRow | None:
        with self._state_connection() as connection:
            return connection.execute(statement, values).fetchone()

    @contextmanager
    def _state_connection(self) -> Iterator[psycopg.Connection[TupleRow]]:
        with (
            _answering("state"),
            self._state.connection(timeout=WAIT_SECONDS) as connection,
        ):
            yield connection

    @contextmanager
    def _transaction(self, failure: str, seconds: float) -> Iterator[psycopg.Connection[TupleRow]]:
        """A transaction of data, committed when this ends. Raises Unavailable(`failure`) for whatever the database
        refuses: no caller could do better."""
        try:
            with (
                _answering("data"),
                self._data.connection(timeout=WAIT_SECONDS) as connection,
                connection.pipeline(),  # one that only writes is one round trip
            ):
                connection.execute("BEGIN")
                connection.execute(_LIMIT, (str(int(seconds * 1000) + 1),))
                yield connection
                connection.execute("COMMIT")
        except psycopg.Error as error:
            raise Unavailable(failure) from error


def _by_version(found: Mapping[str, Value]) -> dict[UUID, Value]:
    return {UUID(version): value for version, value in found.items()}


def _pool(dsn: str, name: str, size: int) -> ConnectionPool[psycopg.Connection[TupleRow]]:
    parameters = session(dsn, name)
    return ConnectionPool(
        kwargs={**parameters, "autocommit": True},
        configure=bounds(parameters).apply,
        min_size=1,
        max_size=size,
        timeout=WAIT_SECONDS,
        max_waiting=64,
        reconnect_timeout=30,
        check=_check_if_readable,
        open=True,
        name=name,
    )


def _check_if_readable(connection: psycopg.Connection[TupleRow]) -> None:
    """Raise OperationalError where an idle connection is dead. A healthy idle server sends nothing, so only one
    whose socket has something to read is asked, and the others cost no round trip."""
    if is_readable(connection.fileno()):
        ConnectionPool.check_connection(connection)


@contextmanager
def _answering(database: str) -> Iterator[None]:
    """A lost or missing database is `Unavailable`, whatever the driver and its pool call it."""
    try:
        yield
    except (psycopg.OperationalError, psycopg.InterfaceError) as error:
        raise Unavailable(f"the {database} database does not answer") from error
