"""Notifications to other processes: a hint that saves a polling interval, never the only way to learn of a change.

`NOTIFY` is delivered when its transaction commits, so what it announces is visible to the process it wakes. But
Postgres takes one lock for every commit that notifies, so hot transactions do not: their process notifies
afterwards, in a statement of its own.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from traceplane.store.engine import Connection

WAKE_CHANNEL = "trace_wake"
"""Job generations with new work; the payload is the generation's id."""

DEPLOY_CHANNEL = "trace_deploy"
"""A DAG has another active version; the payload is `namespace/name`."""

OUTBOX_CHANNEL = "trace_outbox"
"""Rows of the outbox are due; no payload."""

SOURCE_CHANNEL = "trace_source"
"""In the data database: rows of the source outbox wait for the relay; no payload. The table has a trigger."""

JOBS = "SELECT pg_notify(%(channel)s, job::text) FROM unnest(%(jobs)s::uuid[]) AS job"
"""One notification for each job generation: a waiter listens to all and picks its own."""

DEPLOYED = """
SELECT pg_notify(%(deploys)s, dag) FROM unnest(%(dags)s::text[]) AS dag
UNION ALL
SELECT pg_notify(%(outbox)s, '')
"""
"""Every process drops what it keeps of the DAG's definition, and the outbox worker looks for tables to make."""


async def jobs(conn: Connection, job_ids: Collection[UUID]) -> None:
    """Wake the workers of these job generations."""
    if job_ids:
        await conn.execute(JOBS, {"channel": WAKE_CHANNEL, "jobs": list(job_ids)})


async def deployed(conn: Connection, *dags: str) -> None:
    """Announce that `dags` (each `namespace/name`) were deployed, or that they are to be looked at anew."""
    await conn.execute(DEPLOYED, {"deploys": DEPLOY_CHANNEL, "outbox": OUTBOX_CHANNEL, "dags": list(dags)})
