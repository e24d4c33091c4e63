"""What never changes about a job generation, so that a process may keep it: definition, inputs, outputs.

A generation is found by the hash of what decides its output, and its rows are written once. So the claim reads
only what moves (priority, limits, cursors) and takes the rest from here.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import column, first
from traceplane.store.statements.runnable import RUNNABLE

GENERATION = """
SELECT j.id, j.org_id, j.namespace, j.dag, j.name, j.operator, j.activation, j.execution_strategy,
       j.update_strategy, j.definition -> 'config',
       coalesce((
           SELECT jsonb_agg(jsonb_build_object(
                      'position', i.position, 'name', d.output, 'dataset', v.dataset_id, 'version', v.id,
                      'storage', v.storage, 'location', v.location, 'columns', v.columns,
                      'scope_column', v.scope_column, 'sort_by', v.sort_by, 'finality_depth', v.finality_depth,
                      'first_value', v.first_value, 'sparse', v.sparse, 'trigger', i.is_trigger,
                      'foreign', (d.namespace, d.dag) <> (j.namespace, j.dag),
                      'where', coalesce(j.definition -> 'where' -> i.position::text, '{}'))
                  ORDER BY i.position)
           FROM job_inputs i JOIN dataset_versions v ON v.id = i.dataset_version_id
           JOIN datasets d ON d.id = v.dataset_id
           WHERE i.job_id = j.id), '[]'),
       coalesce((
           SELECT jsonb_agg(jsonb_build_object(
                      'name', d.output, 'dataset', v.dataset_id, 'version', v.id, 'storage', v.storage,
                      'location', v.location, 'columns', v.columns, 'unique_key', v.unique_key,
                      'scope_column', v.scope_column, 'sort_by', v.sort_by, 'sparse', v.sparse)
                  ORDER BY array_position(ARRAY(
                      SELECT jsonb_array_elements_text(j.definition -> 'outputs')), d.output), d.output)
           FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id
           WHERE v.job_id = j.id), '[]')
FROM jobs j WHERE j.id = %(job)s AND j.org_id = %(org)s
"""
"""One job generation with its pinned inputs and its outputs, in the shapes of the task payload."""

DISPATCHER_JOBS = f"""
SELECT j.id
FROM jobs j {RUNNABLE}
WHERE j.org_id = %(org)s AND d.runtime = 'Dispatcher' AND j.provisioned_at IS NOT NULL AND NOT j.paused
  AND EXISTS (SELECT FROM tasks t WHERE t.job_id = j.id AND t.status = 'Queued')
ORDER BY random()  -- no job is behind the same others for ever
LIMIT %(limit)s
"""
"""Job generations of the Dispatcher runtime that have queued tasks."""


@dataclass(frozen=True, slots=True)
class GenerationRow:
    """A job generation. `inputs` and `outputs` are dicts of `traceplane_sdk.wire.TaskInput` and `TaskOutput`."""

    id: UUID
    org_id: UUID
    namespace: str
    dag: str
    name: str
    operator: str
    activation: str
    execution_strategy: str | None
    update_strategy: str
    config: dict[str, Any]
    inputs: list[dict[str, Any]]
    outputs: list[dict[str, Any]]


async def generation(conn: Connection, *, org_id: UUID, job_id: UUID) -> GenerationRow | None:
    """The job generation, or None where there is none of this id in the organisation."""
    return await first(conn, GenerationRow, GENERATION, {"org": org_id, "job": job_id})


async def dispatcher_jobs(conn: Connection, *, org_id: UUID, limit: int) -> list[UUID]:
    """Generations of the Dispatcher runtime with queued tasks."""
    return await column(conn, DISPATCHER_JOBS, {"org": org_id, "limit": limit})
