"""The data database: what fences direct writers and carries their events; hot tables stand beside it.

A worker that writes hot rows takes its row of `write_fences` in the same transaction, which refuses an epoch
older than the row holds, and leaves its events and invalidations in `source_outbox`. So a stale writer cannot
write, and a crash between rows and event loses neither. The dispatcher relays the outbox into state by id. The same
row keeps how far the writer has got, and up to where its rows are final; `empty_ranges` says which values of a
sparse output have no row.

Hot tables (`hot.d_<uuid hex>`) are made from `dataset_versions` in state, one per dataset version, and are
therefore not declared here. `dataset_version_id`, `org_id` and `task_id` refer to state softly: no foreign key
crosses the databases.
"""

from __future__ import annotations

from sqlalchemy import BigInteger, CheckConstraint, Column, Identity, Index, Integer, Table, Uuid, text

from traceplane.store.tables.columns import around, big, data, document, moment, one_of, stamped
from traceplane.store.tables.columns import text as words

WRITER_ROLE = "trace_writer"
"""Group role of login users that workers use: rows of hot tables, fences and the source outbox; no DDL."""

QUERY_ROLE = "trace_query"
"""Group role of the query service: reads hot tables, and the catalog's views in state."""

write_fences = Table(
    "write_fences",
    data,
    Column("dataset_version_id", Uuid, primary_key=True),
    words("writer", primary_key=True),
    big("epoch"),
    stamped("updated_at"),
    big("position", null=True),
    big("position_epoch", null=True),
    big("final_value", null=True),
    schema="trace",
)

empty_ranges = Table(
    "empty_ranges",
    data,
    Column("dataset_version_id", Uuid, primary_key=True),
    Column("low", BigInteger, primary_key=True, autoincrement=False),
    big("high"),
    CheckConstraint("low <= high", name="range"),
    schema="trace",
)

source_outbox = Table(
    "source_outbox",
    data,
    Column("id", Uuid, primary_key=True),
    Column("seq", BigInteger, Identity(always=True), nullable=False, unique=True),
    Column("org_id", Uuid, nullable=False),
    Column("dataset_version_id", Uuid, nullable=False),
    words("kind"),
    document("payload"),
    Column("task_id", Uuid, nullable=False),
    Column("attempt", Integer, nullable=False),
    big("lease_epoch"),
    stamped("created_at"),
    moment("relayed_at"),
    one_of("kind", "Event", "Invalidation"),
    CheckConstraint("attempt >= 1", name="attempt"),
    Index("source_outbox_due_idx", "seq", postgresql_where=text("relayed_at IS NULL")),
    schema="trace",
)

ROLES = """
DO $$
DECLARE role_name text;
BEGIN
    FOREACH role_name IN ARRAY ARRAY['trace_writer', 'trace_query'] LOOP
        BEGIN
            IF NOT EXISTS (SELECT FROM pg_roles WHERE rolname = role_name) THEN
                EXECUTE format('CREATE ROLE %I NOLOGIN', role_name);
            END IF;
        EXCEPTION
            WHEN duplicate_object OR unique_violation THEN NULL;
            WHEN insufficient_privilege THEN
                RAISE EXCEPTION 'role % is missing and this user may not create it', role_name
                    USING ERRCODE = 'insufficient_privilege',
                          HINT = format('an administrator runs: CREATE ROLE %I NOLOGIN', role_name);
        END;
    END LOOP;
END $$
"""
"""Group roles belong to the server, so either database's migration may find them made already."""

SCHEMAS = ("CREATE SCHEMA IF NOT EXISTS trace", "CREATE SCHEMA IF NOT EXISTS hot")

WAKE = (
    """
CREATE FUNCTION trace.notify_source() RETURNS trigger LANGUAGE plpgsql AS $$
BEGIN
    PERFORM pg_notify('trace_source', '');
    RETURN NULL;
END $$
""",
    """
CREATE TRIGGER source_outbox_notify AFTER INSERT ON trace.source_outbox
    FOR EACH STATEMENT EXECUTE FUNCTION trace.notify_source()
""",
)
"""Every committed insert wakes the relay: no writer can forget to."""

GRANTS = (
    "GRANT USAGE ON SCHEMA trace, hot TO trace_writer",
    "GRANT USAGE ON SCHEMA hot TO trace_query",
    "GRANT SELECT, INSERT, UPDATE ON trace.write_fences, trace.source_outbox TO trace_writer",
    "GRANT SELECT, INSERT, DELETE ON trace.empty_ranges TO trace_writer",
    "GRANT SELECT, INSERT, UPDATE, DELETE ON ALL TABLES IN SCHEMA hot TO trace_writer",
    "GRANT SELECT ON ALL TABLES IN SCHEMA hot TO trace_query",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA hot GRANT SELECT, INSERT, UPDATE, DELETE ON TABLES TO trace_writer",
    "ALTER DEFAULT PRIVILEGES IN SCHEMA hot GRANT SELECT ON TABLES TO trace_query",
)
"""Default privileges hold for tables made by the role that migrates, so the same role must provision them."""

around(data, "before_create", ROLES, *SCHEMAS)
around(data, "after_create", *WAKE, *GRANTS)
