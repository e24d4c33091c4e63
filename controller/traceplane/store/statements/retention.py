"""What the policies of Assets are assessed by: every generation of a DAG's outputs, when it was left, who keeps
it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import first, named
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.versions import NAME

HELD = f"""
SELECT j.id AS job_id, v.id AS version_id, d.id AS dataset_id, holders.name,
       coalesce(holders.active, false) AS active, coalesce(holders.staged, false) AS staged,
       coalesce(holders.built, false) AS built, holders.left_at,
       extract(epoch FROM statement_timestamp() - holders.left_at)::float8 AS left_seconds,
       published.policies, published.assets,
       ARRAY(SELECT DISTINCT w.job_id FROM job_inputs i JOIN dataset_versions w ON w.id = i.dataset_version_id
             WHERE i.job_id = j.id) AS reads
FROM jobs j
JOIN dataset_versions v ON v.job_id = j.id
JOIN datasets d ON d.id = v.dataset_id
CROSS JOIN LATERAL (
    SELECT bool_or(w.id = c.active_version_id) AS active, bool_or(w.id = c.staged_version_id) AS staged,
           bool_or(w.activated_at IS NOT NULL) AS built,
           (array_agg({NAME.format(v="w")} ORDER BY w.number DESC))[1] AS name,
           -- A controller of the release before knows no left_at: then it counts from later.
           max(coalesce(w.left_at, c.updated_at)) AS left_at
    FROM dag_version_jobs x
    JOIN dag_versions w ON w.id = x.dag_version_id
    JOIN dag_current_versions c ON (c.org_id, c.namespace, c.dag) = (w.org_id, w.namespace, w.dag)
    WHERE x.job_id = j.id) holders
CROSS JOIN LATERAL (
    SELECT coalesce(array_agg(a.policy -> 'retention'), '{{}}') AS policies,
           coalesce(array_agg(p.asset), '{{}}') AS assets
    FROM asset_publications p
    -- The policy of an Asset that was deleted holds no more: what it let go stays.
    LEFT JOIN assets a
      ON a.org_id = p.org_id AND a.namespace = p.namespace AND a.name = p.asset AND a.deleted_at IS NULL
    WHERE p.dataset_id = d.id) published
WHERE j.org_id = %(org)s AND j.namespace = %(namespace)s AND j.dag = %(dag)s AND j.purged_at IS NULL
ORDER BY v.id
"""
"""Every output of every generation of a DAG that is not purged, with the policies of the names it has."""
DAG_OF = "SELECT org_id, namespace, dag FROM datasets WHERE id = %(dataset)s AND org_id = %(org)s"
"""The DAG that makes a dataset."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Held:
    """An output of a generation. `name`: the newest version of the DAG that has it, None where none has."""

    job_id: UUID
    version_id: UUID
    dataset_id: UUID
    name: str | None
    active: bool
    staged: bool
    built: bool
    """A version that was active has it."""
    left_at: datetime | None
    """When the last version that has it ceased to be active or staged."""
    left_seconds: float | None
    """Since then."""
    policies: Sequence[Mapping[str, Any] | None]
    """`versions`, `age_seconds` of each Asset that publishes it now; None for one that says nothing."""
    assets: Sequence[str]
    reads: Sequence[UUID]
    """Generations that its job reads."""


async def held(conn: Connection, dag: DagKey) -> list[Held]:
    """Every generation of every output of the DAG."""
    return await named(conn, Held, HELD, dag.parameters)


async def held_beside(conn: Connection, org_id: UUID, *, dataset: UUID) -> list[Held]:
    """The same, of the DAG that makes a dataset."""
    found = await first(conn, DagKey, DAG_OF, {"org": org_id, "dataset": dataset})
    return [] if found is None else await held(conn, found)
