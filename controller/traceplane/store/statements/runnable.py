"""A generation that may run now, said once: the active or the staged version of a DAG in service holds it.

Both versions work until cutover. How a generation runs (priority, limits, attempts) is said by the active version
where both hold it.
"""

from __future__ import annotations

RUNNABLE = """
    JOIN dag_current_versions c
      ON c.org_id = j.org_id AND c.deleted_at IS NULL
     -- second guard: a version holds generations of its own DAG alone. These are the primary key.
     AND c.namespace = j.namespace AND c.dag = j.dag
    CROSS JOIN LATERAL (
        SELECT v.* FROM dag_version_jobs v
        WHERE v.job_id = j.id AND v.dag_version_id IN (c.active_version_id, c.staged_version_id)
        ORDER BY v.dag_version_id = c.active_version_id DESC
        LIMIT 1
    ) d"""
"""Joins to `jobs j`; adds `d`, the row of `dag_version_jobs` by which the generation runs. No row: it may not."""
