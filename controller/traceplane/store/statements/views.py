"""Views in the data database, for people who read it directly: one for each hot asset that is published.

`"<namespace>"."<asset>"` with `-` as `_` shows the columns of the current version's table, but for personal data.
State says which there should be; a comment says which are Trace's, with the DAG they are of, so that nothing that a
user made is ever touched. Moving the views of a DAG is one transaction of **data**.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from psycopg import errors as pg
from psycopg import sql

from traceplane.errors import Unavailable
from traceplane.store.engine import Connection
from traceplane.store.rows import many, named
from traceplane.store.statements import publications
from traceplane.store.statements.pointers import DagKey

MARK = "trace.dev view of "
_MARKED = re.compile(re.escape(MARK) + r"([^/]+)/(.+), by DAG (\S+) of (\S+)")
SCHEMA_MARK = "trace.dev views of namespace "
RESERVED = frozenset({"public", "trace", "hot", "catalog", "information_schema"})
"""Schemas that are Trace's own or Postgres's; so are those that begin with `pg_`. A namespace of such a name has
its views in one with a `_` before it, which no other namespace can have."""
NAME_BYTES = 63
"""Postgres cuts longer names off, and two assets might then be one view."""

REQUEST = """
INSERT INTO outbox (org_id, kind, payload, dedupe_key)
SELECT %(org)s, 'move_views', jsonb_build_object('namespace', %(namespace)s::text, 'dag', dag),
       -- Once for each transaction that changes something: who moves looks at what is there then.
       format('views:%%s:%%s/%%s', pg_current_xact_id(), %(namespace)s::text, dag)
FROM unnest(%(dags)s::text[]) AS dag
ON CONFLICT (dedupe_key) DO NOTHING
"""
"""Ask for the views of DAGs to be moved, in the transaction that changes what they should show."""

PUBLISHERS = """
SELECT DISTINCT dag FROM asset_publications
WHERE org_id = %(org)s AND namespace = %(namespace)s AND asset = ANY(%(assets)s::text[])
"""
"""The DAGs whose views show some assets."""

DAG_OF_JOB = """
SELECT j.org_id, j.namespace, j.dag FROM jobs j JOIN dataset_versions v ON v.job_id = j.id WHERE v.id = %(version)s
"""
"""The DAG that a dataset version is of."""

WANTED = f"""
SELECT p.dag, p.namespace, p.asset, v.location, v.columns, v.provisioned_at IS NOT NULL AS provisioned,
       cardinality(coalesce(a.read_roles, '{{}}')) = 0 AS open
FROM {publications.CURRENT}
-- As for every reader: the roles of an Asset that was deleted hold until one of its name is declared.
LEFT JOIN assets a ON a.org_id = p.org_id AND a.namespace = p.namespace AND a.name = p.asset
WHERE p.org_id = %(org)s AND v.storage = 'Postgres'
  AND (%(namespace)s::text IS NULL OR (p.namespace = %(namespace)s AND p.dag = %(dag)s))
ORDER BY p.namespace, p.asset
"""
"""What should be shown: the published hot assets of one DAG, or of all."""

FOUND = """
SELECT n.nspname AS schema, c.relname AS name, c.relkind = 'v' AS is_view,
       coalesce(obj_description(c.oid, 'pg_class'), '') AS comment,
       ARRAY(SELECT a.attname::text FROM pg_attribute a
             WHERE a.attrelid = c.oid AND a.attnum > 0 AND NOT a.attisdropped ORDER BY a.attnum) AS columns,
       ARRAY(SELECT DISTINCT format('%%s.%%s', tn.nspname, t.relname) FROM pg_rewrite r
             JOIN pg_depend d ON d.objid = r.oid AND d.classid = 'pg_rewrite'::regclass
               AND d.refclassid = 'pg_class'::regclass AND d.refobjid <> c.oid
             JOIN pg_class t ON t.oid = d.refobjid
             JOIN pg_namespace tn ON tn.oid = t.relnamespace
             WHERE r.ev_class = c.oid) AS reads,
       EXISTS (SELECT FROM aclexplode(c.relacl) x JOIN pg_roles o ON o.oid = x.grantee
               WHERE o.rolname = %(role)s AND x.privilege_type = 'SELECT') AS granted
FROM pg_class c JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE (n.nspname, c.relname) IN (SELECT * FROM unnest(%(schemas)s::name[], %(names)s::name[]))
   OR (c.relkind = 'v' AND obj_description(c.oid, 'pg_class') LIKE %(mine)s)
"""
"""What is there: everything under the names in question, and every view with our comment."""

SCHEMAS = """
SELECT n.nspname AS name, coalesce(obj_description(n.oid, 'pg_namespace'), '') AS comment,
       EXISTS (SELECT FROM aclexplode(n.nspacl) x JOIN pg_roles o ON o.oid = x.grantee
               WHERE o.rolname = %(role)s AND x.privilege_type = 'USAGE') AS granted
FROM pg_namespace n WHERE n.nspname = ANY(%(schemas)s::name[])
"""
"""Schemas that are there already."""

ROLE = "SELECT 1 FROM pg_roles WHERE rolname = %(role)s"

READS_TABLE = """
SELECT DISTINCT format('%%I.%%I', n.nspname, c.relname)
FROM pg_depend d
JOIN pg_rewrite r ON r.oid = d.objid
JOIN pg_class c ON c.oid = r.ev_class
JOIN pg_namespace n ON n.oid = c.relnamespace
WHERE d.classid = 'pg_rewrite'::regclass AND d.refclassid = 'pg_class'::regclass
  AND d.refobjid = to_regclass(%(table)s) AND c.oid <> d.refobjid
ORDER BY 1 LIMIT 5
"""
"""Views that read a table, Trace's and others'."""


class Held(Unavailable):
    """A transaction that reads a view is still open."""

    code = "ViewHeld"


@dataclass(frozen=True, slots=True, kw_only=True)
class Wanted:
    """A view as it should be. `open`: any reader may read the asset."""

    dag: str
    namespace: str
    asset: str
    location: str
    columns: Sequence[Mapping[str, object]]
    provisioned: bool
    open: bool

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        schema = self.namespace.replace("-", "_")
        taken = schema in RESERVED or schema.startswith("pg_")
        return f"_{schema}" if taken else schema, self.asset.replace("-", "_")

    @property
    def shown(self) -> list[str]:
        """Its columns: all but personal data."""
        return [str(column["name"]) for column in self.columns if not column.get("pii")]


@dataclass(frozen=True, slots=True, kw_only=True)
class Found:
    """What has a name in the database."""

    schema: str
    name: str
    is_view: bool
    comment: str
    columns: Sequence[str]
    reads: Sequence[str]
    granted: bool

    @property
    def key(self) -> tuple[str, str]:
        """Schema and name."""
        return self.schema, self.name

    @property
    def dag(self) -> DagKey | None:
        """The DAG that it is of; None: it is no view of Trace's."""
        marked = _MARKED.fullmatch(self.comment) if self.is_view else None
        return DagKey(UUID(marked[4]), marked[1], marked[3]) if marked else None


@dataclass(frozen=True, slots=True, kw_only=True)
class Schema:
    """A schema that is there. `granted`: the readers of views may use it."""

    name: str
    comment: str
    granted: bool

    def of(self, namespace: str) -> bool:
        """Whether Trace made it for the views of a namespace."""
        return self.comment == SCHEMA_MARK + namespace


def mark(org_id: UUID, wanted: Wanted) -> str:
    """The comment of a view."""
    return f"{MARK}{wanted.namespace}/{wanted.asset}, by DAG {wanted.dag} of {org_id}"


async def request(conn: Connection, org_id: UUID, namespace: str, dags: Collection[str]) -> None:
    """Ask for the views of DAGs to be moved (state)."""
    await conn.execute(REQUEST, {"org": org_id, "namespace": namespace, "dags": sorted(dags)})


async def request_of_assets(conn: Connection, org_id: UUID, namespace: str, assets: Collection[str]) -> None:
    """The same, of the DAGs that publish some assets."""
    parameters = {"org": org_id, "namespace": namespace, "assets": list(assets)}
    dags = await many(conn, str, PUBLISHERS, parameters)
    await request(conn, org_id, namespace, dags)


async def request_of_version(conn: Connection, version_id: UUID) -> None:
    """The same, of the DAG of a dataset version."""
    for dag in await many(conn, DagKey, DAG_OF_JOB, {"version": version_id}):
        await request(conn, dag.org_id, dag.namespace, [dag.dag])


async def wanted(conn: Connection, org_id: UUID, dag: DagKey | None) -> list[Wanted]:
    """What should be shown of a DAG, or of all (state)."""
    given = {"org": org_id, "namespace": dag and dag.namespace, "dag": dag and dag.dag}
    return await named(conn, Wanted, WANTED, given)


async def found(conn: Connection, org_id: UUID, keys: Collection[tuple[str, str]], role: str) -> list[Found]:
    """What is there under some names, and every view of Trace's for this organisation (data)."""
    parameters = {
        "schemas": [schema for schema, _ in keys],
        "names": [name for _, name in keys],
        "mine": f"{MARK}%, by DAG % of {org_id}",
        "role": role,
    }
    return await named(conn, Found, FOUND, parameters)


async def schemas(conn: Connection, names: Collection[str], role: str) -> dict[str, Schema]:
    """Those that are there, by name (data)."""
    return {one.name: one for one in await named(conn, Schema, SCHEMAS, {"schemas": list(names), "role": role})}


async def has_role(conn: Connection, role: str) -> bool:
    """Whether there is such a role (data)."""
    return bool(await many(conn, int, ROLE, {"role": role}))


async def readers(conn: Connection, location: str) -> list[str]:
    """Views that read a hot table (data)."""
    return await many(conn, str, READS_TABLE, {"table": location})


async def exclusively(conn: Connection, milliseconds: int) -> None:
    """Let one move run at a time, and wait `milliseconds` for readers of a view (data), until the transaction
    ends."""
    await conn.execute("SELECT pg_advisory_xact_lock(hashtextextended('trace views', 0))")
    await conn.execute(sql.SQL("SET LOCAL lock_timeout = {}").format(sql.Literal(f"{milliseconds}ms")))


async def make_schema(conn: Connection, name: str, namespace: str) -> None:
    """Make a schema for the views of a namespace (data)."""
    schema, comment = sql.Identifier(name), sql.Literal(SCHEMA_MARK + namespace)
    await conn.execute(sql.SQL("CREATE SCHEMA {}").format(schema))
    await conn.execute(sql.SQL("COMMENT ON SCHEMA {} IS {}").format(schema, comment))


async def let_use(conn: Connection, schema: str, role: str) -> None:
    """Let the readers of views find those of a schema (data)."""
    await conn.execute(
        sql.SQL("GRANT USAGE ON SCHEMA {} TO {}").format(sql.Identifier(schema), sql.Identifier(role))
    )


async def put(conn: Connection, org_id: UUID, view: Wanted, before: Found | None, role: str | None) -> None:
    """Make a view, or point it at another table (data). Raises Held while a reader has it."""
    name, shown = sql.Identifier(*view.key), view.shown
    columns = sql.SQL(", ").join(map(sql.Identifier, shown))
    table = sql.Identifier(*view.location.split("."))
    try:
        # What keeps its columns keeps its grants, and the views that others built on it.
        if before is not None and list(before.columns) != shown[: len(before.columns)]:
            await drop(conn, view.key)
            before = None
        try:
            async with conn.transaction():
                await conn.execute(
                    sql.SQL("CREATE OR REPLACE VIEW {} AS SELECT {} FROM {}").format(name, columns, table)
                )
        except pg.InvalidTableDefinition:  # a column of another type than before
            await drop(conn, view.key)
            await conn.execute(sql.SQL("CREATE VIEW {} AS SELECT {} FROM {}").format(name, columns, table))
        await conn.execute(sql.SQL("COMMENT ON VIEW {} IS {}").format(name, sql.Literal(mark(org_id, view))))
    except pg.LockNotAvailable as error:
        raise _held(view.key) from error
    except (pg.UndefinedTable, pg.DuplicateObject, pg.DuplicateTable, pg.WrongObjectType) as error:
        # A table that somebody dropped, or a name that a type has, or that was taken a moment ago.
        raise Unavailable(f"view {'.'.join(view.key)}: {error.diag.message_primary}") from error
    await grant(conn, view, role)


async def grant(conn: Connection, view: Wanted, role: str | None) -> None:
    """Let the readers of views read one where any reader may read its asset, and not where not (data)."""
    if role is not None:
        verb = sql.SQL("GRANT SELECT ON {} TO {}" if view.open else "REVOKE ALL ON {} FROM {}")
        await conn.execute(verb.format(sql.Identifier(*view.key), sql.Identifier(role)))


async def drop(conn: Connection, key: tuple[str, str]) -> None:
    """Remove a view (data). Raises Held while a reader has it, and Unavailable where views of others are built on
    it."""
    try:
        await conn.execute(sql.SQL("DROP VIEW IF EXISTS {}").format(sql.Identifier(*key)))
    except pg.LockNotAvailable as error:
        raise _held(key) from error
    except pg.DependentObjectsStillExist as error:
        built = error.diag.message_detail or ""
        said = f"view {'.'.join(key)} has to go, or to change its columns: drop what is built on it ({built})"
        raise Unavailable(said) from error


def _held(key: tuple[str, str]) -> Held:
    return Held(f"a transaction that reads view {'.'.join(key)} is still open; the views of its DAG wait for it")
