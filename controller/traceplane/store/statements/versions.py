"""Making a DAG version current: versions, generations, datasets, pointers, and the tasks that follow from them.

All of these run in one transaction that first locks the DAG's pointer row, so two controllers deploy one after
the other and the second finds the work done. Each takes any number of rows as one JSON document, and each is a
no-op for rows that exist, so a repeated deploy changes nothing.
"""

from __future__ import annotations

from sqlalchemy import TextClause, bindparam, text
from sqlalchemy.dialects.postgresql import ARRAY, JSONB
from sqlalchemy.types import Uuid


def _named(statement: str) -> TextClause:
    """A statement whose `:rows` is a JSON document of rows and whose `:jobs` is an array of job ids."""
    typed = {":rows": bindparam("rows", type_=JSONB), ":jobs": bindparam("jobs", type_=ARRAY(Uuid))}
    return text(statement).bindparams(*(typed[name] for name in typed if name in statement))


MAKE_POINTER = _named("""
INSERT INTO dag_current_versions (org_id, namespace, dag, resource_uid, resource_generation)
VALUES (:org, :namespace, :dag, :uid, :generation)
ON CONFLICT DO NOTHING
""")
"""The DAG's pointer row must exist to be locked; a second first deploy waits here for the one before it."""

LOCK_POINTER = _named("""
SELECT c.active_version_id, v.spec_hash, c.resource_uid, c.resource_generation, c.deleted_at
FROM dag_current_versions c LEFT JOIN dag_versions v ON v.id = c.active_version_id
WHERE c.org_id = :org AND c.namespace = :namespace AND c.dag = :dag
FOR UPDATE OF c
""")
"""Serialise deploys and the drain of one DAG, and see which version is active."""

GENERATIONS = _named("""
SELECT j.id, j.name, j.config_hash, j.operator, j.activation, j.execution_strategy, j.update_strategy,
       j.definition, v.job_id IS NOT NULL AS active
FROM jobs j LEFT JOIN dag_version_jobs v ON v.job_id = j.id AND v.dag_version_id = :active
WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag
  AND (v.job_id IS NOT NULL
       OR (j.name, j.config_hash) IN (SELECT name, config_hash FROM jsonb_to_recordset(:rows)
                                      AS r(name text, config_hash text)))
""")
"""The generations a graph asks for that exist, and those of the active version."""

UPSERT_VERSION = _named("""
WITH made AS (
    INSERT INTO dag_versions (id, org_id, namespace, dag, spec_hash, spec)
    VALUES (:id, :org, :namespace, :dag, :spec_hash, :rows)
    ON CONFLICT (org_id, namespace, dag, spec_hash) DO NOTHING
    RETURNING id
)
SELECT id FROM made
UNION ALL
SELECT id FROM dag_versions
WHERE org_id = :org AND namespace = :namespace AND dag = :dag AND spec_hash = :spec_hash
""")
"""The version of this spec, new or known: the same hash is the same version for ever."""

UPSERT_JOBS = _named("""
INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,
                  update_strategy, definition, paused, provisioned_at)
SELECT r.id, :org, :namespace, :dag, r.name, r.config_hash, r.operator, r.activation, r.execution_strategy,
       r.update_strategy, r.definition, r.paused, CASE WHEN NOT r.hot THEN now() END
FROM jsonb_to_recordset(:rows) AS r(id uuid, name text, config_hash text, operator text, activation text,
    execution_strategy text, update_strategy text, definition jsonb, paused boolean, hot boolean)
ON CONFLICT (org_id, namespace, dag, name, config_hash) DO UPDATE SET definition = excluded.definition
WHERE jobs.definition IS DISTINCT FROM excluded.definition
""")
"""Generations by hash. A known one takes the new definition: it differs only in what cannot change its output."""

UPSERT_DATASETS = _named("""
INSERT INTO datasets (org_id, namespace, dag, job, output, storage)
SELECT :org, :namespace, :dag, r.job, r.output, r.storage
FROM jsonb_to_recordset(:rows) AS r(job text, output text, storage text)
ON CONFLICT (org_id, namespace, dag, job, output) DO UPDATE SET storage = excluded.storage
RETURNING id, job, output
""")
"""Datasets by name, with their stable ids; the update is there for the ids of those that exist."""

UPSERT_DATASET_VERSIONS = _named("""
INSERT INTO dataset_versions (id, org_id, dataset_id, job_id, config_hash, schema_hash, storage, location, columns,
                              unique_key, scope_column, sort_by, indexes, finality_depth, first_value,
                              provisioned_at)
SELECT r.id, :org, r.dataset_id, r.job_id, r.config_hash, r.schema_hash, r.storage, r.location, r.columns,
       ARRAY(SELECT jsonb_array_elements_text(r.unique_key)), r.scope_column,
       ARRAY(SELECT jsonb_array_elements_text(r.sort_by)), r.indexes, r.finality_depth, r.first_value,
       CASE r.storage WHEN 'S3' THEN now() END
FROM jsonb_to_recordset(:rows) AS r(id uuid, dataset_id uuid, job_id uuid, config_hash text, schema_hash text,
    storage text, location text, columns jsonb, unique_key jsonb, scope_column text, sort_by jsonb, indexes jsonb,
    finality_depth bigint, first_value bigint)
ON CONFLICT (dataset_id, config_hash) DO UPDATE
SET columns = excluded.columns, finality_depth = excluded.finality_depth, first_value = excluded.first_value
RETURNING id, dataset_id, storage, location
""")
"""A generation of each dataset with a place of its own. A prefix needs no provisioning; a table does.

A known version takes marks that neither its place nor its rows depend on (PII, finality)."""

INSERT_INPUTS = _named("""
INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)
SELECT r.job_id, r.position, :org, r.dataset_id, r.dataset_version_id, r.is_trigger
FROM jsonb_to_recordset(:rows) AS r(job_id uuid, position smallint, dataset_id uuid, dataset_version_id uuid,
    is_trigger boolean)
ON CONFLICT (job_id, position) DO NOTHING
""")
"""What each generation reads: fixed, since its hash covers everything upstream."""

INSERT_VERSION_JOBS = _named("""
INSERT INTO dag_version_jobs (dag_version_id, job_id, org_id, runtime, priority, max_attempts, timeout_seconds,
                              heartbeat_timeout_seconds, max_concurrency, min_workers, max_workers,
                              idle_timeout_seconds, placement)
SELECT :version, r.job_id, :org, r.runtime, r.priority, r.max_attempts, r.timeout_seconds,
       r.heartbeat_timeout_seconds, r.max_concurrency, r.min_workers, r.max_workers, r.idle_timeout_seconds,
       r.placement
FROM jsonb_to_recordset(:rows) AS r(job_id uuid, runtime text, priority smallint, max_attempts integer,
    timeout_seconds integer, heartbeat_timeout_seconds integer, max_concurrency integer, min_workers integer,
    max_workers integer, idle_timeout_seconds integer, placement jsonb)
ON CONFLICT DO NOTHING
""")
"""The generations of a version, with what may change without a new generation."""

INSERT_VERSION_DATASETS = _named("""
INSERT INTO dag_version_datasets (dag_version_id, dataset_id, org_id, dataset_version_id)
SELECT :version, r.dataset_id, :org, r.dataset_version_id
FROM jsonb_to_recordset(:rows) AS r(dataset_id uuid, dataset_version_id uuid)
ON CONFLICT DO NOTHING
""")
"""The pointer set of a version: which generation of each dataset it reads and writes."""

INSERT_VERSION_ASSETS = _named("""
INSERT INTO dag_version_assets (dag_version_id, asset, org_id, dataset_id)
SELECT :version, r.asset, :org, r.dataset_id
FROM jsonb_to_recordset(:rows) AS r(asset text, dataset_id uuid)
ON CONFLICT DO NOTHING
""")
"""What a version publishes."""

ACTIVATE = _named("""
UPDATE dag_current_versions
SET active_version_id = :version, resource_uid = :uid, resource_generation = :generation, deleted_at = NULL,
    updated_at = now()
WHERE org_id = :org AND namespace = :namespace AND dag = :dag
""")
"""Make a version current; a DAG that was being deleted lives again."""

SEEN = _named("""
UPDATE dag_current_versions SET resource_uid = :uid, resource_generation = :generation, updated_at = now()
WHERE org_id = :org AND namespace = :namespace AND dag = :dag
  AND (resource_uid, resource_generation) IS DISTINCT FROM (:uid, :generation)
""")
"""Remember which generation of the resource was compared last, though it changed nothing."""

UNPUBLISH = _named("""
DELETE FROM asset_publications p
WHERE p.org_id = :org AND p.namespace = :namespace AND p.dag = :dag
  AND NOT EXISTS (SELECT FROM dag_version_assets a WHERE a.dag_version_id = :version AND a.asset = p.asset)
""")
"""Withdraw what the active version publishes no more."""

PUBLISH = _named("""
INSERT INTO asset_publications (org_id, namespace, asset, dag, dataset_id)
SELECT :org, :namespace, a.asset, :dag, a.dataset_id FROM dag_version_assets a WHERE a.dag_version_id = :version
ON CONFLICT (org_id, namespace, asset) DO UPDATE SET dataset_id = excluded.dataset_id
WHERE asset_publications.dag = excluded.dag
RETURNING asset
""")
"""Publish the active version's assets. One that another DAG publishes is not returned: the caller refuses."""

PUBLISHED_ELSEWHERE = _named("""
SELECT p.asset, p.dag FROM asset_publications p
JOIN dag_version_assets a ON a.dag_version_id = :version AND a.asset = p.asset
WHERE p.org_id = :org AND p.namespace = :namespace AND p.dag <> :dag
ORDER BY p.asset
""")
"""Which assets of a version another DAG publishes, for the message."""

PROVISION = _named("""
INSERT INTO outbox (org_id, kind, payload, dedupe_key)
SELECT v.org_id, 'provision_hot_table', jsonb_build_object('dataset_version_id', v.id), 'provision:' || v.id
FROM dataset_versions v
WHERE v.job_id = ANY(:jobs) AND v.storage = 'Postgres' AND v.provisioned_at IS NULL
ON CONFLICT (dedupe_key) DO UPDATE
SET status = 'Pending', attempts = 0, finished_at = NULL, available_at = now()
WHERE outbox.status = 'Failed' AND outbox.finished_at < now() - interval '5 minutes'
RETURNING id
""")
"""Ask for hot tables that do not exist yet. A request that was given up is made again at most every 5 minutes."""

ENSURE_SOURCES = _named("""
INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, status, priority, scope)
SELECT j.org_id, j.namespace, j.id, 'source', 'Source', 'Queued', v.priority, '{"kind": "source"}'
FROM jobs j JOIN dag_version_jobs v ON v.job_id = j.id AND v.dag_version_id = :version
WHERE j.id = ANY(:jobs) AND j.activation = 'Source'
ON CONFLICT (job_id, dedupe_key) DO UPDATE
SET status = 'Queued', queued_at = now(), finished_at = NULL, cancel_requested = false, result = NULL,
    claim_id = NULL, worker_id = NULL, lease_token = NULL, lease_epoch = NULL, lease_expires_at = NULL,
    deadline_at = NULL
WHERE tasks.status = 'Canceled'
RETURNING job_id
""")
"""The one task of each AlwaysOn source: its run. A source that was canceled with its DAG runs again with it."""

CANCEL_WAITING = _named("""
UPDATE tasks SET status = 'Canceled', finished_at = now(), next_retry_at = NULL
WHERE job_id = ANY(:jobs) AND (status = 'Queued' OR (status = 'Failed' AND next_retry_at IS NOT NULL))
RETURNING id
""")
"""End what waits in generations that are left behind."""

CANCEL_RUNNING = _named("""
UPDATE tasks SET cancel_requested = true
WHERE job_id = ANY(:jobs) AND status = 'Running' AND NOT cancel_requested
RETURNING id
""")
"""Ask running tasks to stop; their next heartbeat says so, and they end as Canceled."""

KEEP_RUNNING = _named("""
UPDATE tasks SET cancel_requested = false
WHERE job_id = ANY(:jobs) AND status = 'Running' AND cancel_requested
""")
"""Take such a request back, when the generation is current again before the task has ended."""

REPRIORITISE = _named("""
UPDATE tasks t SET priority = v.priority
FROM dag_version_jobs v
WHERE v.dag_version_id = :version AND t.job_id = v.job_id AND t.status = 'Queued' AND t.priority <> v.priority
""")
"""Waiting tasks follow the new priority of their job."""

ROUTE_MISSED = _named("""
INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, max_attempts, priority, scope, range_start,
                   range_end, event_id)
SELECT j.org_id, j.namespace, j.id, 'event:' || e.id, 'Event', v.max_attempts, v.priority,
       CASE j.execution_strategy
           WHEN 'PerPartition' THEN jsonb_build_object(
               'kind', 'partition', 'key', e.partition_key, 'start', e.range_start, 'end', e.range_end)
           ELSE jsonb_build_object('kind', 'cursor', 'cursor', e.cursor_value)
       END,
       CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_start END,
       CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_end END,
       e.id
FROM jobs j
JOIN dag_version_jobs v ON v.job_id = j.id AND v.dag_version_id = :version
CROSS JOIN LATERAL (
    SELECT DISTINCT ON (CASE j.execution_strategy WHEN 'PerPartition' THEN e.id ELSE e.dataset_version_id END) e.*
    FROM job_inputs i JOIN events e ON e.dataset_version_id = i.dataset_version_id
    WHERE i.job_id = j.id AND i.is_trigger AND (j.execution_strategy = 'PerUpdate' OR e.kind = 'Partition')
    ORDER BY CASE j.execution_strategy WHEN 'PerPartition' THEN e.id ELSE e.dataset_version_id END,
             e.cursor_value DESC
) e
WHERE j.id = ANY(:jobs)
ON CONFLICT (job_id, dedupe_key) DO UPDATE
SET status = 'Queued', queued_at = now(), finished_at = NULL, cancel_requested = false, result = NULL, error = NULL,
    claim_id = NULL, worker_id = NULL, lease_token = NULL, lease_epoch = NULL, lease_expires_at = NULL,
    deadline_at = NULL
WHERE tasks.status = 'Canceled'
RETURNING job_id
""")
"""Events accepted while a generation was not current: each partition it has no task for, or of a cursor consumer
the newest event alone, since one run reads everything past its cursor. Tasks canceled meanwhile are taken up."""

NOTIFY = _named("SELECT pg_notify('trace_deploy', :dag), pg_notify('trace_outbox', '')")
"""Wake whoever keeps something of the definitions, and the outbox worker; delivered when the deploy commits."""

WAKE = _named("SELECT pg_notify('trace_wake', job::text) FROM unnest(:jobs) AS job")
"""Workers that wait for these jobs should look, once the transaction has committed."""
