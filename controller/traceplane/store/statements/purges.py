"""Removing what no version of a DAG that is kept needs: from state at once, from the stores through the outbox.

Purging is forgetting: a generation that is asked for again later is a new one, with new places. So every row that
hangs on a purged generation goes in the transaction that decides it, and only the bytes are left to effects.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, named
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

CANDIDATES = """
SELECT j.id AS job_id, j.name AS job, v.id AS version_id, d.output, v.storage, v.location,
       (SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Running') AS running,
       coalesce(stored.rows, 0)::int8 AS rows, coalesce(stored.bytes, 0)::int8 AS bytes,
       ARRAY(SELECT DISTINCT i.job_id FROM job_inputs i WHERE i.dataset_version_id = v.id) AS readers,
       -- Of any version that they have left: those may become active again.
       ARRAY(SELECT DISTINCT 'DAG ' || r.namespace || '/' || r.dag
             FROM job_inputs i JOIN jobs r ON r.id = i.job_id
             WHERE i.dataset_version_id = v.id AND (r.namespace, r.dag) <> (j.namespace, j.dag)) AS read_by
FROM jobs j
JOIN dataset_versions v ON v.job_id = j.id
JOIN datasets d ON d.id = v.dataset_id
CROSS JOIN LATERAL (
    SELECT sum(p.rows) AS rows, sum(p.bytes) AS bytes
    FROM partition_versions p WHERE p.dataset_version_id = v.id) stored
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s
  AND NOT EXISTS (SELECT FROM dag_version_jobs x WHERE x.job_id = j.id AND x.dag_version_id = ANY(%(kept)s))
ORDER BY v.id
"""
"""Outputs of generations that no version which stays holds."""

_PURGE = (
    # Nobody can go back to a version that held them. Its row stays, so that a number names one version for ever.
    "UPDATE dag_versions v SET activated_at = NULL FROM dag_version_jobs m"
    " WHERE m.dag_version_id = v.id AND m.job_id = ANY(%(jobs)s)",
    "UPDATE outbox SET status = 'Done', finished_at = statement_timestamp() WHERE status = 'Pending'"
    " AND (payload ->> 'dataset_version_id')::uuid = ANY(%(versions)s)",
    "DELETE FROM dag_version_jobs WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM dag_version_datasets WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM relocations WHERE hot_version_id = ANY(%(versions)s) OR cold_version_id = ANY(%(versions)s)",
    "DELETE FROM dataset_cursors WHERE job_id = ANY(%(jobs)s) OR dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM dataset_finality WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM data_invalidations WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM partition_versions WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM tasks WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM events WHERE dataset_version_id = ANY(%(versions)s)",
    "DELETE FROM job_inputs WHERE job_id = ANY(%(jobs)s)",
    "DELETE FROM dataset_versions WHERE id = ANY(%(versions)s)",
    "DELETE FROM jobs WHERE id = ANY(%(jobs)s)",
)
"""In the order that foreign keys ask for."""

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
    read_by: Sequence[str]
    """Other DAGs that do, as `DAG namespace/name`."""


async def kept(conn: Connection, dag: DagKey, *, keep: int) -> list[UUID]:
    """DAG versions that stay: active, staged, and the `keep` that were active last."""
    return await column(conn, KEPT, dag.parameters | {"keep": keep})


async def candidates(conn: Connection, dag: DagKey, versions: Collection[UUID]) -> list[Candidate]:
    """What only DAG versions other than `versions` hold, or none."""
    return await named(conn, Candidate, CANDIDATES, dag.parameters | {"kept": list(versions)})


async def purge(
    conn: Connection, *, jobs: Collection[UUID], versions: Collection[UUID], delay_seconds: float
) -> None:
    """Forget generations and their outputs; tables and files go `delay_seconds` later."""
    ids = {"jobs": list(jobs), "versions": list(versions), "delay": delay_seconds}
    await conn.execute(REMOVE_BYTES, ids)
    for statement in _PURGE:
        await conn.execute(statement, ids)
