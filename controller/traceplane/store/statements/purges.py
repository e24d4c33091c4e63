"""Removing what no version of a DAG that is kept needs: first marked, then forgotten, and the bytes go through the
outbox.

Marking is one transaction, and small: from then on nobody finds the versions, and a generation that is asked for
again is a new one, with new places. What hangs on a marked generation may be a million rows: it is deleted a
bounded number at a time until nothing is left of it.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, many, named
from traceplane.store.statements.pointers import DagKey

KEPT = """
SELECT v.id FROM dag_versions v
JOIN dag_current_versions c ON (c.org_id, c.namespace, c.dag) = (v.org_id, v.namespace, v.dag)
WHERE v.org_id = %(org)s AND v.namespace = %(namespace)s AND v.dag = %(dag)s
  AND (v.id IN (c.active_version_id, c.staged_version_id) OR v.id IN (
      SELECT f.id FROM dag_versions f
      WHERE f.org_id = v.org_id AND f.namespace = v.namespace AND f.dag = v.dag AND f.activated_at IS NOT NULL
        AND f.id IS DISTINCT FROM c.active_version_id
      ORDER BY f.activated_at DESC LIMIT %(keep)s))
"""
"""Versions that stay: the active one, the staged one, and those that were active last."""

_UNNEEDED = """
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s
  AND j.purged_at IS NULL AND j.id <> ALL(%(but)s)
  AND NOT EXISTS (SELECT FROM dag_version_jobs x WHERE x.job_id = j.id AND x.dag_version_id = ANY(%(kept)s))
ORDER BY v.id
"""

LOCK = f"""
SELECT FROM jobs j JOIN dataset_versions v ON v.job_id = j.id {_UNNEEDED} FOR UPDATE OF v
"""
"""Wait for deploys that are about to read what may be purged, and let no other begin to (`asset_inputs.HOLD`)."""

CANDIDATES = f"""
SELECT j.id AS job_id, j.name AS job, v.id AS version_id, d.output, v.storage, v.location,
       (SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Running') AS running,
       coalesce(stored.rows, 0)::int8 AS rows, coalesce(stored.bytes, 0)::int8 AS bytes,
       ARRAY(SELECT DISTINCT i.job_id FROM job_inputs i WHERE i.dataset_version_id = v.id) AS readers
FROM jobs j
JOIN dataset_versions v ON v.job_id = j.id
JOIN datasets d ON d.id = v.dataset_id
CROSS JOIN LATERAL (
    SELECT sum(p.rows) AS rows, sum(p.bytes) AS bytes
    FROM partition_versions p WHERE p.dataset_version_id = v.id) stored
{_UNNEEDED}"""
"""Outputs of generations that no version which stays holds."""

READER = "SELECT namespace, dag, name FROM jobs WHERE id = ANY(%(jobs)s) ORDER BY 1, 2, 3 LIMIT 1"
"""What people call a generation."""

_MARK = (
    # Nobody can go back to a version that held them. Its row stays, so that a number names one version for ever.
    "UPDATE dag_versions v SET activated_at = NULL, purged_at = statement_timestamp() FROM dag_version_jobs m"
    " WHERE m.dag_version_id = v.id AND m.job_id = ANY(%(jobs)s)",
    "UPDATE outbox SET status = 'Done', finished_at = statement_timestamp() WHERE status = 'Pending'"
    " AND (payload ->> 'dataset_version_id')::uuid = ANY(%(versions)s)",
    "DELETE FROM dag_version_jobs WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM dag_version_datasets WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM relocations WHERE hot_version_id = ANY(%(versions)s) OR cold_version_id = ANY(%(versions)s)",
    "DELETE FROM job_inputs WHERE job_id = ANY(%(jobs)s)",
    # The hash finds a generation; so it is no hash any more, and the next generation of that hash is another one.
    "UPDATE dataset_versions SET purged_at = statement_timestamp(), config_hash = 'purged ' || id"
    " WHERE id = ANY(%(versions)s)",
    "UPDATE jobs SET purged_at = statement_timestamp(), config_hash = 'purged ' || id WHERE id = ANY(%(jobs)s)",
)

REMOVE_BYTES = """
INSERT INTO outbox (org_id, kind, payload, dedupe_key, available_at)
SELECT v.org_id, CASE v.storage WHEN 'Postgres' THEN 'drop_hot_table' ELSE 'delete_prefix' END,
       jsonb_build_object('location', v.location), 'purge:' || v.id,
       -- A query that began before this commit may still read them; it has ended by then.
       statement_timestamp() + make_interval(secs => %(delay)s)
FROM dataset_versions v WHERE v.id = ANY(%(versions)s)
ON CONFLICT (dedupe_key) DO NOTHING
"""
"""Ask for the removal of tables and files."""

NEXT_MARKED = """
SELECT j.id, ARRAY(SELECT v.id FROM dataset_versions v WHERE v.job_id = j.id)
FROM jobs j WHERE j.purged_at IS NOT NULL
-- Another replica that forgets at the same time takes the next one.
ORDER BY j.purged_at, j.id LIMIT 1 FOR UPDATE SKIP LOCKED
"""
"""A generation that is marked, with its outputs."""

_SLICES = tuple(
    f"DELETE FROM {table} WHERE ctid = ANY(ARRAY(SELECT ctid FROM {table} WHERE {hangs} LIMIT %(limit)s))"
    for table, hangs in (
        ("partition_versions", "dataset_version_id = ANY(%(versions)s)"),
        ("tasks", "job_id = %(job)s"),
        ("events", "dataset_version_id = ANY(%(versions)s)"),
        ("data_invalidations", "dataset_version_id = ANY(%(versions)s)"),
        ("dataset_cursors", "(job_id = %(job)s OR dataset_version_id = ANY(%(versions)s))"),
        ("operator_state", "job_id = %(job)s"),
    )
)
"""What may be many rows of a generation. Attempts go with their tasks."""

_LAST = (
    "DELETE FROM dataset_finality WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM dataset_versions WHERE id = ANY(%(versions)s)",
    "DELETE FROM jobs WHERE id = %(job)s",
)
"""In the order that foreign keys ask for."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Candidate:
    """An output of a generation that nobody needs any more. `rows` and `bytes` are those of files; `running` tasks
    of its job still write."""

    job_id: UUID
    job: str
    version_id: UUID
    output: str
    storage: str
    location: str
    running: int
    rows: int
    bytes: int
    readers: Sequence[UUID]
    """Generations that read it."""


async def kept(conn: Connection, dag: DagKey, *, keep: int) -> list[UUID]:
    """DAG versions that stay: active, staged, and the `keep` that were active last."""
    return await column(conn, KEPT, dag.parameters | {"keep": keep})


async def candidates(
    conn: Connection, dag: DagKey, versions: Collection[UUID], *, but: Collection[UUID] = ()
) -> list[Candidate]:
    """What only DAG versions other than `versions` hold, or none; the generations `but` left out.

    Nobody begins to read any of it until the transaction ends.
    """
    given = dag.parameters | {"kept": list(versions), "but": list(but)}
    await conn.execute(LOCK, given)
    # Looked at by a statement of its own: who was waited for is among the readers.
    return await named(conn, Candidate, CANDIDATES, given)


async def reader(conn: Connection, jobs: Collection[UUID]) -> tuple[str, str, str]:
    """Namespace, DAG and job of one of some generations."""
    ((namespace, dag, job),) = await many(conn, lambda *names: names, READER, {"jobs": list(jobs)})
    return namespace, dag, job


async def mark(
    conn: Connection, *, jobs: Collection[UUID], versions: Collection[UUID], delay_seconds: float
) -> None:
    """Let nobody find generations and their outputs any more; tables and files go `delay_seconds` later."""
    ids = {"jobs": list(jobs), "versions": list(versions), "delay": delay_seconds}
    await conn.execute(REMOVE_BYTES, ids)
    for statement in _MARK:
        await conn.execute(statement, ids)


async def forget(conn: Connection, *, limit: int) -> int:
    """Delete up to `limit` rows of one marked generation, and itself with the last of them; how many.

    In a transaction of its own: what was deleted before a crash stays deleted, and the next call goes on.
    """
    found = await many(conn, lambda job, versions: (job, versions), NEXT_MARKED, {})
    if not found:
        return 0
    job, versions = found[0]
    deleted, ids = 0, {"job": job, "versions": versions}
    for statement in _SLICES:
        deleted += (await conn.execute(statement, ids | {"limit": limit - deleted})).rowcount
        if deleted >= limit:
            return deleted
    for statement in _LAST:
        deleted += (await conn.execute(statement, ids)).rowcount
    return deleted
