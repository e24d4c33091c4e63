"""Batch queries. In the data database.

A row is a place in the queue, and the lease of the runner that has claimed it. It holds the statement only until
the query ends, since a statement may quote a person's data; its answer is the row of the same id in
`query_results`. The query service adds and changes rows; nothing it runs can remove one.
"""

from __future__ import annotations

from sqlalchemy import Boolean, CheckConstraint, Column, Float, Index, Integer, Table, Uuid
from sqlalchemy import text as sql

from traceplane.store.tables.columns import around, data, moment, one_of, stamped
from traceplane.store.tables.columns import text as words
from traceplane.store.tables.hot import QUERY_ROLE

query_batches = Table(
    "query_batches",
    data,
    Column("id", Uuid, primary_key=True),
    Column("org_id", Uuid, nullable=False),
    Column("user_id", Uuid, nullable=False),
    words("sql", null=True),
    words("sql_sha256"),
    words("namespace"),
    words("overflow"),
    words("as_of", null=True),
    Column("seconds", Float, nullable=False),
    words("state", server_default="Queued"),
    Column("attempt", Integer, nullable=False, server_default="0"),
    Column("runner", Uuid),
    moment("lease_until"),
    stamped("not_before"),
    Column("cancel", Boolean, nullable=False, server_default=sql("false")),
    Column("error_status", Integer),
    words("error_code", null=True),
    words("error_detail", null=True),
    stamped("created_at"),
    moment("started_at"),
    moment("ended_at"),
    one_of("state", "Queued", "Running", "Succeeded", "Failed", "Canceled"),
    one_of("overflow", "export", "truncate"),
    CheckConstraint("sql_sha256 ~ '^[0-9a-f]{64}$'", name="sql_sha256"),
    CheckConstraint("(state IN ('Queued', 'Running')) = (sql IS NOT NULL)", name="sql"),
    CheckConstraint("(state IN ('Queued', 'Running')) = (ended_at IS NULL)", name="ended_at"),
    CheckConstraint(
        "(state = 'Running') = (runner IS NOT NULL) AND (runner IS NULL) = (lease_until IS NULL)", name="lease"
    ),
    CheckConstraint(
        "(state = 'Failed') = (num_nonnulls(error_status, error_code, error_detail) = 3)"
        " AND num_nonnulls(error_status, error_code, error_detail) IN (0, 3)",
        name="error",
    ),
    Index("query_batches_open_idx", "org_id", "created_at", postgresql_where=sql("sql IS NOT NULL")),
    Index("query_batches_user_idx", "org_id", "user_id", "started_at"),
    Index("query_batches_ended_at_idx", "ended_at", postgresql_where=sql("ended_at IS NOT NULL")),
    schema="trace",
)

GRANTS = (
    f"GRANT SELECT, INSERT ON trace.query_batches TO {QUERY_ROLE}",
    f"GRANT UPDATE (sql, state, attempt, runner, lease_until, not_before, cancel, error_status, error_code, "
    f"error_detail, started_at, ended_at) ON trace.query_batches TO {QUERY_ROLE}",
)

around(data, "after_create", *GRANTS)
