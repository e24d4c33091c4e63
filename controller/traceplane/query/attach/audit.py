"""What is written down about queries: accesses to personal data before the first row, results after the last.

Rows go to the data database under a role that may add them and never change them. They carry the statement's
SHA-256 and never the statement. An access that cannot be written down does not happen.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row
from psycopg.types.json import Jsonb

from traceplane.kit.ids import uuid7

_ACCESS = """
INSERT INTO trace.pii_access_log (id, org_id, user_id, task_id, attempt, query_id, sql_sha256, namespace, relation,
                                  dataset_version_ids, pii_columns)
VALUES (%(id)s, %(org)s, %(user)s, %(task)s, %(attempt)s, %(query)s, %(sql)s, %(namespace)s,
        %(relation)s, %(versions)s::uuid[], %(columns)s::text[])
"""

_RESULT = """
INSERT INTO trace.query_results (id, org_id, user_id, task_id, attempt, sql_sha256, format, rows, truncated, bytes,
                                 bytes_scanned, duration_ms, columns, versions, as_of, output_location,
                                 output_sha256)
VALUES (%(query)s, %(org)s, %(user)s, %(task)s, %(attempt)s, %(sql)s, %(format)s, %(rows)s, %(truncated)s,
        %(bytes)s, %(scanned)s, %(duration)s, %(columns)s, %(versions)s, %(as_of)s, %(location)s, %(digest)s)
"""

_FIND = """
SELECT id, sql_sha256, format, rows AS row_count, truncated, bytes, bytes_scanned, duration_ms, columns, versions,
       as_of, output_location, output_sha256, created_at
FROM trace.query_results
WHERE id = %(query)s AND org_id = %(org)s AND user_id = %(user)s
"""


def hash_of(sql: str) -> str:
    """What stands for a statement wherever it may not stand itself."""
    return hashlib.sha256(sql.encode("utf-8", "replace")).hexdigest()


@dataclass(frozen=True, slots=True)
class Caller:
    """Whose query it is: a user, or an attempt of a task of a job."""

    query: UUID
    sql: str
    user: UUID | None = None
    task: UUID | None = None
    attempt: int | None = None
    job: UUID | None = None

    @property
    def holder(self) -> UUID | None:
        """Whose turn it takes: the user's, or the job's, since that has as many tasks and attempts as it likes."""
        return self.user if self.job is None else self.job

    def values(self) -> dict[str, Any]:
        """As parameters of the statements above."""
        return {
            "query": self.query,
            "user": self.user,
            "task": self.task,
            "attempt": self.attempt,
            "sql": hash_of(self.sql),
        }


@dataclass(frozen=True, slots=True)
class Access:
    """A relation with personal data that a query is about to read."""

    namespace: str
    relation: str
    versions: Sequence[UUID]
    columns: Sequence[str]


@dataclass(frozen=True, slots=True)
class Output:
    """An answer that was exported."""

    location: str
    sha256: str
    bytes: int


class Audit:
    """Writes and reads audit rows on one connection of the data database."""

    def __init__(self, connection: psycopg.Connection[TupleRow], org: UUID) -> None:
        self.connection = connection
        self.org = org

    def accesses(self, caller: Caller, accesses: Sequence[Access]) -> None:
        """Write down that `caller` reads personal data."""
        rows = [
            {
                **caller.values(),
                "id": uuid7(),
                "org": self.org,
                "namespace": access.namespace,
                "relation": access.relation,
                "versions": list(access.versions),
                "columns": list(access.columns),
            }
            for access in accesses
        ]
        with self.connection.cursor() as cursor:
            cursor.executemany(_ACCESS, rows)

    def result(self, caller: Caller, values: Mapping[str, Any], output: Output | None) -> None:
        """Write down an answer; `values` has the columns of `trace.query_results` that are left."""
        documents = {name: Jsonb(values[name]) for name in ("columns", "versions")}
        placed = {
            "location": output.location if output else None,
            "digest": output.sha256 if output else None,
            "org": self.org,
        }
        self.connection.execute(_RESULT, {**caller.values(), **values, **documents, **placed})

    def find(self, query: UUID, user: UUID) -> dict[str, Any] | None:
        """A result of this user's; None where there is none."""
        with self.connection.cursor(row_factory=dict_row) as cursor:
            asked = {"query": query, "org": self.org, "user": user}
            return cursor.execute(_FIND, asked).fetchone()
