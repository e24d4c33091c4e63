"""What users read about DAGs, jobs, tasks, assets and partitions, and who users are.

Every list is a page by key (`WHERE key > last ORDER BY key LIMIT n`), never by offset: the hundredth page costs
what the first does, and rows that come or go between two pages shift nothing. One statement answers one request.
"""

from __future__ import annotations

from sqlalchemy import bindparam, text
from sqlalchemy.types import BigInteger, Text, Uuid

PRINCIPAL = text("""
SELECT user_id, org_id, roles FROM catalog.principals WHERE issuer = :issuer AND external_id = :subject
""")
"""The user an issuer's subject stands for, with the roles granted to them."""

DAGS = text("""
SELECT c.namespace, c.dag AS name, c.active_version_id AS active_version, c.staged_version_id AS staged_version,
       v.spec_hash, c.updated_at,
       (SELECT count(*) FROM dag_version_jobs j WHERE j.dag_version_id = c.active_version_id) AS jobs
FROM dag_current_versions c
LEFT JOIN dag_versions v ON v.id = c.active_version_id
WHERE c.org_id = :org AND c.deleted_at IS NULL
  AND (:namespace IS NULL OR c.namespace = :namespace)
  AND (:dag IS NULL OR c.dag = :dag)
  AND (c.namespace, c.dag) > (:after_namespace, :after_name)
ORDER BY c.namespace, c.dag
LIMIT :limit
""").bindparams(bindparam("namespace", type_=Text), bindparam("dag", type_=Text))
"""Living DAGs with their active version, one page; also one DAG by its name."""

DAG_JOBS = text("""
SELECT j.name, j.id, j.operator, j.activation, d.runtime, j.execution_strategy, j.update_strategy, j.config_hash,
       j.paused, j.provisioned_at IS NOT NULL AS provisioned, d.max_workers, d.max_concurrency,
       (SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Queued') AS queued,
       (SELECT count(*) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Running') AS running,
       (SELECT count(*) FROM tasks t
        WHERE t.job_id = j.id AND t.status = 'Failed' AND t.next_retry_at IS NOT NULL) AS retrying,
       (SELECT min(t.queued_at) FROM tasks t WHERE t.job_id = j.id AND t.status = 'Queued') AS oldest_queued_at
FROM dag_current_versions c
JOIN dag_version_jobs d ON d.dag_version_id = c.active_version_id
JOIN jobs j ON j.id = d.job_id
WHERE c.org_id = :org AND c.namespace = :namespace AND c.dag = :dag AND c.deleted_at IS NULL
ORDER BY j.name
""")
"""Jobs of a DAG's active version with what is live in their queues (partial indexes answer the counts)."""

DAG_TASKS = text("""
SELECT t.id, j.name AS job, j.id AS job_id, t.status, t.attempt, t.max_attempts, t.cause, t.scope, t.worker_id,
       t.queued_at, t.started_at, t.heartbeat_at, t.next_retry_at, t.finished_at, t.result, t.error
FROM tasks t
JOIN jobs j ON j.id = t.job_id
WHERE j.org_id = :org AND j.namespace = :namespace AND j.dag = :dag
  AND (:job IS NULL OR j.name = :job)
  AND (:status IS NULL OR t.status = :status)
  AND (:before IS NULL OR t.id < :before)
ORDER BY t.id DESC
LIMIT :limit
""").bindparams(bindparam("job", type_=Text), bindparam("status", type_=Text), bindparam("before", type_=Uuid))
"""Tasks of every generation of a DAG's jobs, newest first, one page: ids are UUIDv7, so they sort by birth."""

TASK = text("""
SELECT t.id, j.dag, j.name AS job, j.id AS job_id, t.status, t.attempt, t.max_attempts, t.cause, t.scope,
       t.worker_id, t.queued_at, t.started_at, t.heartbeat_at, t.next_retry_at, t.finished_at, t.result, t.error,
       t.cancel_requested
FROM tasks t
JOIN jobs j ON j.id = t.job_id
WHERE t.id = :id AND t.org_id = :org
""").bindparams(bindparam("id", type_=Uuid))
"""One task."""

DAG_VERSIONS = text("""
SELECT v.id, v.spec_hash, v.created_at, v.id = c.active_version_id AS active
FROM dag_versions v
JOIN dag_current_versions c ON c.org_id = v.org_id AND c.namespace = v.namespace AND c.dag = v.dag
WHERE v.org_id = :org AND v.namespace = :namespace AND v.dag = :dag
  AND (:before IS NULL OR v.id < :before)
ORDER BY v.id DESC
LIMIT :limit
""").bindparams(bindparam("before", type_=Uuid))
"""Every version of a DAG, newest first, one page."""

ASSET_VERSIONS = text("""
SELECT v.id, v.dataset_id AS dataset, v.storage, v.config_hash, v.schema_hash, v.created_at,
       v.id = :current AS active
FROM dataset_versions v
WHERE v.org_id = :org AND v.dataset_id = :dataset
  AND (:before IS NULL OR v.id < :before)
ORDER BY v.id DESC
LIMIT :limit
""").bindparams(bindparam("dataset", type_=Uuid), bindparam("current", type_=Uuid), bindparam("before", type_=Uuid))
"""Every version of a published dataset, newest first, one page."""

ASSETS = text("""
SELECT r.namespace, r.name, r.storage, coalesce(a.description, '') AS description, r.read_roles, r.federation,
       r.dataset_id AS dataset, r.dataset_version_id AS version, r.columns, r.scope_column,
       coalesce(r.cold_version_id, CASE WHEN r.storage = 'S3' THEN r.dataset_version_id END) AS cold_version,
       r.provisioned
FROM catalog.relations r
LEFT JOIN assets a
  ON a.org_id = r.org_id AND a.namespace = r.namespace AND a.name = r.name AND a.deleted_at IS NULL
WHERE r.org_id = :org
  AND (:namespace IS NULL OR r.namespace = :namespace)
  AND (:asset IS NULL OR r.name = :asset)
  AND (cardinality(r.read_roles) = 0 OR r.read_roles && CAST(:roles AS text[]))
  AND (cardinality(r.hot_read_roles) = 0 OR r.hot_read_roles && CAST(:roles AS text[]))
  AND (cardinality(r.cold_read_roles) = 0 OR r.cold_read_roles && CAST(:roles AS text[]))
  AND (r.namespace, r.name) > (:after_namespace, :after_name)
ORDER BY r.namespace, r.name
LIMIT :limit
""").bindparams(bindparam("namespace", type_=Text), bindparam("asset", type_=Text))
"""Published assets that these roles may read, one page; also one asset by its name."""

PARTITIONS = text("""
SELECT p.partition_key AS key, p.range_start AS start, p.range_end AS "end", p.rows, p.bytes, p.location,
       p.committed_at, p.task_id, p.attempt
FROM partition_versions p
WHERE p.org_id = :org AND p.dataset_version_id = :version AND p.superseded_at IS NULL
  AND (:after_key IS NULL
       OR (p.range_start IS NULL, coalesce(p.range_start, 0), p.partition_key)
          > (:after IS NULL, coalesce(:after, 0), :after_key))
ORDER BY p.range_start IS NULL, p.range_start, p.partition_key
LIMIT :limit
""").bindparams(
    bindparam("version", type_=Uuid), bindparam("after", type_=BigInteger), bindparam("after_key", type_=Text)
)
"""Current partitions of one dataset version, one page: by where they start, then whole ones, by key."""

LINEAGE = text("""
WITH RECURSIVE up (version, depth) AS (
    SELECT unnest(CAST(:roots AS uuid[])), 0
    UNION
    SELECT i.dataset_version_id, up.depth + 1
    FROM up
    JOIN dataset_versions v ON v.id = up.version
    JOIN job_inputs i ON i.job_id = v.job_id
    WHERE up.depth < :depth
), down (version, depth) AS (
    SELECT unnest(CAST(:roots AS uuid[])), 0
    UNION
    SELECT v.id, down.depth + 1
    FROM down
    JOIN job_inputs i ON i.dataset_version_id = down.version
    JOIN dag_version_jobs m ON m.job_id = i.job_id
    JOIN dag_current_versions c ON c.active_version_id = m.dag_version_id AND c.deleted_at IS NULL
    JOIN dataset_versions v ON v.job_id = i.job_id
    WHERE down.depth < :depth
), near AS (
    SELECT version, min(abs(side)) AS distance, sign(min(side)) AS side
    FROM (SELECT version, -depth AS side FROM up UNION ALL SELECT version, depth FROM down) AS both_sides
    GROUP BY version ORDER BY distance, version LIMIT :limit
)
SELECT v.id AS version, d.id AS dataset, d.namespace, d.dag, d.job, d.output, v.storage, r.name AS asset,
       CASE WHEN n.distance = 0 THEN 'Asset' WHEN n.side < 0 THEN 'Upstream' ELSE 'Downstream' END AS side,
       n.distance,
       ARRAY(SELECT DISTINCT i.dataset_version_id FROM job_inputs i JOIN near k ON k.version = i.dataset_version_id
             WHERE i.job_id = v.job_id ORDER BY 1) AS inputs
FROM near n
JOIN dataset_versions v ON v.id = n.version AND v.org_id = :org
JOIN datasets d ON d.id = v.dataset_id
LEFT JOIN catalog.relations r
  ON r.org_id = v.org_id AND r.dataset_version_id = v.id AND r.storage <> 'Federated'
  AND (cardinality(r.read_roles) = 0 OR r.read_roles && CAST(:roles AS text[]))
ORDER BY n.distance, d.namespace, d.dag, d.job, d.output, v.id
""")
"""What an asset's versions were made from and what is made from them: upstream as each job reads it, downstream as
living DAGs have it now. An asset is named to who may read it."""
