"""Accepting events and making the tasks they cause: fragments that every accepting statement shares.

One upstream event makes one task per dependent job generation, in the same statement that accepts the event. The
dedupe key is the event's id and event ids are deterministic per cause, so a repeated message makes no second
task. Events of dataset versions that nothing live reads are kept for audit and make none.
"""

from __future__ import annotations

ACCEPTED = """
accepted AS (
    INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key, range_start,
                        range_end, producer_task_id)
    SELECT s.id, s.org_id, s.dataset_id, s.dataset_version_id,
           CASE WHEN s.partition_key IS NULL THEN 'Cursor' ELSE 'Partition' END,
           coalesce(s.cursor_value, s.range_end), s.partition_key, s.range_start, s.range_end, s.task_id
    FROM said s
    ON CONFLICT (id) DO NOTHING
    RETURNING *
)"""
"""Insert the events of `said`; only those that are new go on. A partition counts as a cursor at its end."""

ROUTED = """
routed AS (
    INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, max_attempts, priority, scope, range_start,
                       range_end, event_id, queued_at)
    SELECT j.org_id, j.namespace, j.id, 'event:' || e.id, 'Event', d.max_attempts, d.priority,
           CASE j.execution_strategy
               WHEN 'PerPartition' THEN jsonb_build_object(
                   'kind', 'partition', 'key', e.partition_key, 'start', e.range_start, 'end', e.range_end)
               ELSE jsonb_build_object('kind', 'cursor', 'cursor', e.cursor_value)
           END,
           CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_start END,
           CASE j.execution_strategy WHEN 'PerPartition' THEN e.range_end END,
           e.id, statement_timestamp()
    FROM accepted e
    JOIN job_inputs i ON i.dataset_version_id = e.dataset_version_id AND i.is_trigger
    JOIN jobs j ON j.id = i.job_id
    JOIN dag_current_versions c
      ON c.org_id = j.org_id AND c.namespace = j.namespace AND c.dag = j.dag AND c.deleted_at IS NULL
    CROSS JOIN LATERAL (
        SELECT d.max_attempts, d.priority FROM dag_version_jobs d
        WHERE d.job_id = j.id AND d.dag_version_id IN (c.active_version_id, c.staged_version_id)
        ORDER BY d.dag_version_id = c.active_version_id DESC
        LIMIT 1
    ) d
    WHERE j.execution_strategy = 'PerUpdate' OR e.kind = 'Partition'
    ON CONFLICT (job_id, dedupe_key) DO NOTHING
    RETURNING job_id
)"""
"""A task for every job generation in an active or staged version that a new event triggers."""
