"""Hot tables: one in the data database for each dataset version in Postgres, made before its job runs.

State decides (a row of the outbox), the effect makes the table in **data**, and state learns that it is there. The
two databases share no transaction, so every step may be repeated: a table that exists is left as it is.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import sql

from traceplane.errors import Refused
from traceplane.store.engine import Connection
from traceplane.store.rows import column, first
from traceplane.store.statements import views
from traceplane_sdk.columns import FORMS

REQUEST = """
INSERT INTO outbox (org_id, kind, payload, dedupe_key)
SELECT v.org_id, 'provision_hot_table', jsonb_build_object('dataset_version_id', v.id), 'provision:' || v.id
FROM dataset_versions v
-- What lives in files is provisioned from the start.
WHERE v.job_id = ANY(%(jobs)s::uuid[]) AND v.provisioned_at IS NULL
ON CONFLICT (dedupe_key) DO UPDATE
SET status = 'Pending', attempts = 0, finished_at = NULL, available_at = statement_timestamp()
-- The controller asks at every look. A request that was given up is made anew, but not at every look.
WHERE outbox.status = 'Failed' AND outbox.finished_at < statement_timestamp() - interval '5 minutes'
"""
"""Ask for the tables of these generations that do not exist yet."""

HOT_TABLE = """
SELECT v.id, v.org_id, v.job_id, v.location, v.columns, v.unique_key, v.scope_column, v.indexes,
       v.provisioned_at IS NOT NULL
FROM dataset_versions v WHERE v.id = %(version)s AND v.storage = 'Postgres'
"""
"""What the hot table of a dataset version looks like."""

LOCK_JOB = """
SELECT j.id FROM jobs j JOIN dataset_versions v ON v.job_id = j.id WHERE v.id = %(version)s FOR UPDATE OF j
"""
"""Two tables of one job provisioned at once must not both believe that the other is missing."""

MARK_PROVISIONED = """
WITH version AS (
    UPDATE dataset_versions SET provisioned_at = coalesce(provisioned_at, statement_timestamp())
    WHERE id = %(version)s
    RETURNING id, job_id
)
UPDATE jobs j SET provisioned_at = statement_timestamp()
FROM version v
WHERE j.id = v.job_id AND j.provisioned_at IS NULL
  -- This statement does not see its own update of `version`, so that row is left out by its id.
  AND NOT EXISTS (
      SELECT FROM dataset_versions o
      WHERE o.job_id = j.id AND o.provisioned_at IS NULL AND o.id <> v.id)
RETURNING j.id
"""
"""A hot table is there; its job may run once all of its hot tables are."""


@dataclass(frozen=True, slots=True)
class HotTable:
    """A hot table as state describes it; `columns` as in `dataset_versions`, `location` is `hot.d_<hex>`."""

    version_id: UUID
    org_id: UUID
    job_id: UUID
    location: str
    columns: list[dict[str, object]]
    unique_key: list[str]
    scope_column: str
    indexes: list[list[str]]
    provisioned: bool

    @property
    def identifier(self) -> sql.Identifier:
        """The quoted name of the table."""
        return sql.Identifier(*self.location.split("."))


async def request(conn: Connection, job_ids: Sequence[UUID]) -> bool:
    """Ask for hot tables that are missing (state); whether a request is new."""
    return (await conn.execute(REQUEST, {"jobs": list(job_ids)})).rowcount > 0


async def hot_table(conn: Connection, version_id: UUID) -> HotTable | None:
    """The hot table of a dataset version (state); None where it is unknown or lives in object storage."""
    return await first(conn, HotTable, HOT_TABLE, {"version": version_id})


async def mark_provisioned(conn: Connection, version_id: UUID) -> Sequence[UUID]:
    """Record that the hot table exists (state); the job generation, if it may run from now on."""
    parameters = {"version": version_id}
    async with conn.transaction():
        await conn.execute(LOCK_JOB, parameters)
        ready = await column(conn, MARK_PROVISIONED, parameters)
        if ready:
            await views.request_of_version(conn, version_id)
        return ready


async def create(conn: Connection, table: HotTable) -> None:
    """Make the table with its unique key and indexes (data); nothing where it exists."""
    async with conn.transaction():
        # Two creators at once would both pass IF NOT EXISTS, and one of them would fail on the catalogs' own keys.
        await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended(%s, 0))", (table.location,))
        columns = sql.SQL(", ").join([*_columns(table), *_key(table)])
        await conn.execute(sql.SQL("CREATE TABLE IF NOT EXISTS {} ({})").format(table.identifier, columns))
        for number, index in enumerate(_indexes(table)):
            name = sql.Identifier(f"{table.location.split('.')[-1]}_{number}_idx")
            await conn.execute(
                sql.SQL("CREATE INDEX IF NOT EXISTS {} ON {} ({})").format(name, table.identifier, _names(index))
            )


async def drop(conn: Connection, location: str) -> None:
    """Remove the table `hot.d_<hex>` and what fenced its writers (data); nothing where it is gone."""
    schema, _, name = location.partition(".")
    if schema != "hot" or not name.startswith("d_"):
        raise Refused(f"{location!r} is no hot table")
    async with conn.transaction():
        await conn.execute(sql.SQL("DROP TABLE IF EXISTS {}").format(sql.Identifier(schema, name)))
        version = {"version": UUID(hex=name.removeprefix("d_"))}
        await conn.execute("DELETE FROM trace.write_fences WHERE dataset_version_id = %(version)s", version)
        await conn.execute("DELETE FROM trace.empty_ranges WHERE dataset_version_id = %(version)s", version)


async def delete_rows(conn: Connection, table: HotTable, *, start: int, end: int, limit: int) -> int:
    """Delete up to `limit` rows whose scope column is in the inclusive range (data); how many were deleted."""
    statement = sql.SQL(
        "DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {column} BETWEEN %(start)s"
        " AND %(end)s LIMIT %(limit)s FOR UPDATE SKIP LOCKED))"
    ).format(table=table.identifier, column=sql.Identifier(table.scope_column))
    return (await conn.execute(statement, {"start": start, "end": end, "limit": limit})).rowcount


def _columns(table: HotTable) -> list[sql.Composable]:
    return [
        sql.SQL("{} {}{}").format(
            sql.Identifier(str(column["name"])),
            sql.SQL(FORMS[str(column["type"])].postgres),
            sql.SQL("") if column.get("nullable") else sql.SQL(" NOT NULL"),
        )
        for column in table.columns
    ]


def _key(table: HotTable) -> list[sql.Composable]:
    """The unique key is the table's primary key, unless a key column may be null: a primary key takes no null."""
    if not table.unique_key:
        return []
    nullable = {str(column["name"]) for column in table.columns if column.get("nullable")}
    kind = "UNIQUE NULLS NOT DISTINCT" if nullable & set(table.unique_key) else "PRIMARY KEY"
    return [sql.SQL("{} ({})").format(sql.SQL(kind), _names(table.unique_key))]


def _indexes(table: HotTable) -> list[list[str]]:
    """Ranges are read, rewritten and swept by the scope column: it gets an index where none begins with it."""
    if any(index[:1] == [table.scope_column] for index in [table.unique_key, *table.indexes]):
        return table.indexes
    return [[table.scope_column], *table.indexes]


def _names(columns: Sequence[str]) -> sql.Composed:
    return sql.SQL(", ").join(sql.Identifier(column) for column in columns)
