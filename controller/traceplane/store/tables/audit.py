"""The audit log of queries: their results, and accesses to personal data. In the data database.

The statement itself is nowhere, since it may quote a person's data; its hash joins a complaint to its row. Users
and tasks are named by the ids they have in state, softly: no foreign key crosses the databases, and a row outlives
its user. The query service may add rows and read results; nothing it runs can change or remove what was written.
"""

from __future__ import annotations

from typing import Any

from sqlalchemy import BigInteger, Boolean, CheckConstraint, Column, Float, Index, Integer, Table, Text, Uuid
from sqlalchemy import text as sql
from sqlalchemy.dialects.postgresql import ARRAY

from traceplane.store.tables.columns import around, big, data, document, one_of, stamped
from traceplane.store.tables.columns import text as words
from traceplane.store.tables.hot import QUERY_ROLE


def _whose() -> tuple[Any, ...]:
    """Exactly one of user and task; an attempt with the task."""
    return (
        Column("user_id", Uuid),
        Column("task_id", Uuid),
        Column("attempt", Integer),
        CheckConstraint("num_nonnulls(user_id, task_id) = 1", name="principal"),
        CheckConstraint("(task_id IS NULL) = (attempt IS NULL)", name="attempt"),
    )


query_results = Table(
    "query_results",
    data,
    Column("id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    *_whose(),
    words("sql_sha256"),
    words("format"),
    Column("rows", BigInteger, nullable=False),
    Column("truncated", Boolean, nullable=False),
    big("bytes"),
    big("bytes_scanned"),
    Column("duration_ms", Float, nullable=False),
    document("columns"),
    document("versions"),
    words("as_of", null=True),
    words("output_location", null=True),
    words("output_sha256", null=True),
    stamped("created_at"),
    one_of("format", "json", "csv", "arrow", "parquet"),
    CheckConstraint("sql_sha256 ~ '^[0-9a-f]{64}$'", name="sql_sha256"),
    CheckConstraint("(output_location IS NULL) = (output_sha256 IS NULL)", name="output"),
    Index("query_results_created_at_idx", "created_at"),
    Index("query_results_output_idx", "output_location", postgresql_where=sql("output_location IS NOT NULL")),
    schema="trace",
)

pii_access_log = Table(
    "pii_access_log",
    data,
    Column("id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    *_whose(),
    Column("query_id", Uuid, nullable=False),
    words("sql_sha256"),
    words("namespace"),
    words("relation"),
    Column("dataset_version_ids", ARRAY(Uuid), nullable=False),
    Column("pii_columns", ARRAY(Text), nullable=False),
    stamped("accessed_at"),
    CheckConstraint("sql_sha256 ~ '^[0-9a-f]{64}$'", name="sql_sha256"),
    Index("pii_access_log_accessed_at_idx", "accessed_at"),
    schema="trace",
)

VIEWS = (
    """
CREATE VIEW trace.unrelayed_invalidations AS
SELECT org_id, dataset_version_id, (payload ->> 'start')::bigint AS range_start,
       (payload ->> 'end')::bigint AS range_end
FROM trace.source_outbox
WHERE relayed_at IS NULL AND kind = 'Invalidation'
""",
)
"""Rows that were invalidated, and that state does not know of yet."""

GRANTS = (
    f"GRANT USAGE ON SCHEMA trace TO {QUERY_ROLE}",
    f"GRANT SELECT, INSERT ON trace.query_results TO {QUERY_ROLE}",
    f"GRANT INSERT ON trace.pii_access_log TO {QUERY_ROLE}",
    f"GRANT SELECT ON trace.unrelayed_invalidations TO {QUERY_ROLE}",
)

around(data, "after_create", *VIEWS, *GRANTS)
