"""The audit log: accesses to personal data, written before the first row; results of queries, after the last.

The role that writes these rows may add them and never change them. They carry the statement's SHA-256 and never the
statement. An access that cannot be written does not happen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from traceplane.kit.ids import uuid7
from traceplane.query.caller import Caller, hash_of
from traceplane.query.files.bucket import Output

_RECORD_ACCESS = """
INSERT INTO trace.pii_access_log (id, org_id, user_id, task_id, attempt, query_id, sql_sha256, namespace, relation,
                                  dataset_version_ids, pii_columns)
VALUES (%(id)s, %(org)s, %(user)s, %(task)s, %(attempt)s, %(query)s, %(sql)s, %(namespace)s,
        %(relation)s, %(versions)s::uuid[], %(columns)s::text[])
"""

_RECORD_RESULT = """
INSERT INTO trace.query_results (id, org_id, user_id, task_id, attempt, sql_sha256, format, rows, truncated, bytes,
                                 bytes_scanned, duration_ms, columns, versions, as_of, output_location,
                                 output_sha256)
VALUES (%(query)s, %(org)s, %(user)s, %(task)s, %(attempt)s, %(sql)s, %(format)s, %(rows)s, %(truncated)s,
        %(bytes)s, %(bytes_scanned)s, %(duration_ms)s, %(columns)s, %(versions)s, %(as_of)s, %(location)s,
        %(digest)s)
"""

# The user is part of the key: a query of another user's is as unknown as one that never was.
_FIND_RESULT = """
SELECT id, sql_sha256, format, rows AS row_count, truncated, bytes, bytes_scanned, duration_ms, columns, versions,
       as_of, output_location, output_sha256, created_at
FROM trace.query_results
WHERE id = %(query)s AND org_id = %(org)s AND user_id = %(user)s
"""


@dataclass(frozen=True, slots=True)
class Access:
    """A relation with personal data that a query is about to read."""

    namespace: str
    relation: str
    versions: Sequence[UUID]
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Result:
    """What is kept of an answer: its shape, what it was read from, and what it cost."""

    format: str
    rows: int
    truncated: bool
    bytes: int
    bytes_scanned: int
    duration_ms: float
    columns: Sequence[dict[str, str]]
    versions: Sequence[dict[str, Any]]
    as_of: str | None


class AuditLog:
    """Writes and reads audit rows of one organisation on one connection of the data database. The caller
    commits."""

    def __init__(self, connection: psycopg.Connection[TupleRow], org: UUID) -> None:
        self.connection = connection
        self.org = org

    def record_accesses(self, caller: Caller, accesses: Sequence[Access]) -> None:
        """Say who is about to read which personal data: what is not written here may not be read."""
        rows = [{**self._who(caller), "id": uuid7(), **_columns(access)} for access in accesses]
        with self.connection.cursor() as cursor:
            cursor.executemany(_RECORD_ACCESS, rows)

    def record_result(self, caller: Caller, result: Result, output: Output | None) -> None:
        """Say what was answered, so that the answer can be explained and, where it was exported, fetched again."""
        values = _columns(result) | {
            "columns": Jsonb(result.columns),
            "versions": Jsonb(result.versions),
            "location": output.location if output else None,
            "digest": output.sha256 if output else None,
        }
        self.connection.execute(_RECORD_RESULT, {**self._who(caller), **values})

    def find_result(self, query: UUID, user: UUID) -> dict[str, Any] | None:
        """A result of this user's, for the user who comes back for it; None where there is none."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            key = {"query": query, "org": self.org, "user": user}
            return cursor.execute(_FIND_RESULT, key).fetchone()

    def _who(self, caller: Caller) -> dict[str, Any]:
        return {
            "org": self.org,
            "query": caller.query,
            "user": caller.user,
            "task": caller.task,
            "attempt": caller.attempt,
            "sql": hash_of(caller.sql),
        }


def _columns(row: Access | Result) -> dict[str, Any]:
    return {name: list(value) if isinstance(value, tuple) else value for name, value in asdict(row).items()}
