"""One read-only snapshot of the data database: hot rows, their highest values, and what was invalidated among
them."""

from __future__ import annotations

import contextlib
import threading
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from uuid import UUID

import psycopg
from psycopg import sql
from psycopg.rows import TupleRow

from traceplane.errors import Unavailable
from traceplane.query.relations.hot_sql import table_of

CANCEL_SECONDS = 2.0
_IDLE_SLACK_SECONDS = 60

BEGIN = "BEGIN ISOLATION LEVEL REPEATABLE READ, READ ONLY"

# The first statement that reads, and so the one that takes the snapshot; BEGIN alone takes none.
_LIMITS = """
SELECT set_config('idle_in_transaction_session_timeout', %s, true), set_config('statement_timeout', %s, true)
"""

# Rows that were invalidated already, which the relay has not brought to state yet.
_UNRELAYED = "SELECT range_start, range_end FROM trace.unrelayed_invalidations WHERE dataset_version_id = %s"


class DataSnapshot:
    """One snapshot of data; hot scans join it by what `export` gives. `cancel` may be called from any thread."""

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

    def end(self) -> None:
        """From now on `cancel` does nothing: the pool may give the connection to another query."""
        with self._lock:
            self._open = False

    def export(self, tables: Sequence[tuple[str, str]]) -> tuple[str, list[int | None]]:
        """Its id, and the highest value of each (location, scope column), in order; None for an empty table.

        The server writes a file for an id, so this is called where hot rows are read, and not before.
        """
        heads = [
            sql.SQL("(SELECT max({}) FROM {})").format(
                sql.Identifier(column), sql.Identifier("hot", table_of(place))
            )
            for place, column in tables
        ]
        try:
            row = self._connection.execute(
                sql.SQL("SELECT {}").format(sql.SQL(", ").join([sql.SQL("pg_export_snapshot()"), *heads]))
            ).fetchone()
        except psycopg.Error as error:
            raise Unavailable("a hot table cannot be read") from error
        assert row is not None
        return str(row[0]), [None if head is None else int(head) for head in row[1:]]

    def unrelayed(self, version: UUID) -> list[tuple[int | None, int | None, str]]:
        """Invalidations (start, end, reason) of a hot version that state does not know of yet."""
        try:
            rows = self._connection.execute(_UNRELAYED, (version,)).fetchall()
        except psycopg.OperationalError as error:
            raise Unavailable("the data database does not answer") from error
        return [(start, end, "just now") for start, end in rows]


@contextmanager
def opened(connection: psycopg.Connection[TupleRow], seconds: float) -> Iterator[DataSnapshot]:
    """Take a snapshot that is held for at most `seconds`; the lender of the connection ends the transaction."""
    idle, limit = int((seconds + _IDLE_SLACK_SECONDS) * 1000), int(seconds * 1000) + 1
    with connection.pipeline():  # one round trip for both
        connection.execute(BEGIN)
        connection.execute(_LIMITS, (str(idle), str(limit)))
    snapshot = DataSnapshot(connection)
    try:
        yield snapshot
    finally:
        snapshot.end()
