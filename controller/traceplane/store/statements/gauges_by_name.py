"""How each job, source and published asset stands, for metrics: one statement for all of each, however many.

Only what may run now is looked at, each count by a partial index of the queue, so a look costs what is alive and
nothing for history. Each statement names the `most` that want looking at and sums the rest in one row, `_other`:
a metric has a series for every name it ever showed.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.rows import many
from traceplane.store.statements import publications
from traceplane.store.statements.runnable import RUNNABLE

_NAMED = "CASE WHEN n <= %(most)s THEN dag ELSE '_other' END, CASE WHEN n <= %(most)s THEN job ELSE '_other' END"

JOBS = f"""
WITH listed AS (
    SELECT j.dag, j.name AS job, sum(queue.n) AS queued, min(queue.oldest) AS oldest, sum(running.n) AS running,
           sum(running.near) AS near, sum(failed.retrying) AS retrying, sum(failed.dead) AS dead
    FROM jobs j {RUNNABLE}
    -- LATERAL, one for each status: so the planner answers each from the partial index of that status.
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, min(queued_at) AS oldest FROM tasks WHERE job_id = j.id AND status = 'Queued') queue
    CROSS JOIN LATERAL (
        SELECT count(*) AS n, count(*) FILTER (WHERE lease_expires_at - statement_timestamp()
                                                     < (lease_expires_at - heartbeat_at) / 3) AS near
        FROM tasks WHERE job_id = j.id AND status = 'Running') running
    CROSS JOIN LATERAL (
        SELECT count(*) FILTER (WHERE next_retry_at IS NOT NULL) AS retrying,
               count(*) FILTER (WHERE next_retry_at IS NULL) AS dead
        FROM tasks WHERE job_id = j.id AND status = 'Failed') failed
    WHERE j.org_id = %(org)s
    GROUP BY j.dag, j.name  -- two generations of a job may run beside one another
),
ranked AS (
    SELECT *, row_number() OVER (ORDER BY queued DESC, running + retrying + dead DESC, dag, job) AS n FROM listed
)
SELECT {_NAMED}, sum(queued)::int8, sum(running)::int8, sum(retrying)::int8, sum(dead)::int8,
       coalesce(extract(epoch FROM statement_timestamp() - min(oldest)), 0)::float8, sum(near)::int8
FROM ranked GROUP BY 1, 2
"""
"""The queue of each job; the deepest are named. Ages in seconds, 0 where nothing is queued."""

SOURCES = f"""
WITH listed AS (
    SELECT j.dag, j.name AS job, run.id IS NOT NULL AS running,
           run.id IS NOT NULL AND coalesce((run.report ->> 'healthy')::bool, true) AS healthy,
           -- Null before both are known; GREATEST would make a 0 of that.
           (SELECT greatest(0, behind) FROM (
                SELECT (run.report ->> 'head')::int8 - (run.report ->> 'position')::int8 AS behind) x
            WHERE behind IS NOT NULL) AS lag,
           coalesce(failed.code = 'ReorgBelowFinality', false) AS deep_reorg
    FROM jobs j {RUNNABLE}
    LEFT JOIN LATERAL (
        SELECT id, report FROM tasks
        WHERE job_id = j.id AND status = 'Running' AND lease_expires_at > statement_timestamp()
        ORDER BY heartbeat_at DESC LIMIT 1) run ON true
    LEFT JOIN LATERAL (
        SELECT error ->> 'code' AS code FROM tasks WHERE job_id = j.id AND status = 'Failed'
        ORDER BY finished_at DESC NULLS FIRST LIMIT 1) failed ON true
    -- One that a user paused, or whose tables are being made, is not expected to run.
    WHERE j.org_id = %(org)s AND j.activation = 'Source' AND j.provisioned_at IS NOT NULL AND NOT j.paused
),
ranked AS (
    SELECT *, row_number() OVER (ORDER BY running, healthy, lag DESC NULLS LAST, dag, job) AS n FROM listed
)
SELECT {_NAMED}, bool_and(running), bool_and(healthy), max(lag), bool_or(deep_reorg)
FROM ranked GROUP BY 1, 2
"""
"""Each source that should run; those that do not, and those furthest behind, are named."""

ASSETS = f"""
WITH published AS (
    SELECT p.asset, v.id, v.location, v.storage, v.provisioned_at
    FROM {publications.CURRENT}
    WHERE p.org_id = %(org)s
),
-- Once for all: asked for one asset after the other, this could read the whole table for each.
current AS (
    SELECT dataset_version_id AS id, sum(rows) AS rows, sum(bytes) AS bytes, max(committed_at) AS last_commit
    FROM partition_versions
    WHERE superseded_at IS NULL AND dataset_version_id IN (SELECT id FROM published)
    GROUP BY dataset_version_id
),
listed AS (
    SELECT p.asset, p.location, p.storage, c.rows, c.bytes,
           -- Before the first commit, since its place is there: an asset that never gets a row is not fresh either.
           coalesce(greatest(c.last_commit, furthest.created_at), p.provisioned_at) AS committed
    FROM published p
    LEFT JOIN current c ON c.id = p.id
    LEFT JOIN LATERAL (
        SELECT created_at FROM events
        WHERE dataset_version_id = p.id AND cursor_value IS NOT NULL
        ORDER BY cursor_value DESC LIMIT 1) furthest ON true
),
ranked AS (
    SELECT *, row_number() OVER (ORDER BY committed NULLS FIRST, asset) AS n FROM listed
)
SELECT CASE WHEN n <= %(most)s THEN asset ELSE '_other' END, extract(epoch FROM min(committed))::float8,
       sum(rows)::int8, sum(bytes)::int8,
       coalesce(array_agg(location) FILTER (WHERE storage = 'Postgres'), '{{}}')
FROM ranked GROUP BY 1
"""
"""Each published asset; the stalest are named. Rows and bytes of partitions; of hot tables, where they lie."""

HOT_SIZES = """
SELECT format('%%I.%%I', schemaname, relname), n_live_tup, pg_total_relation_size(relid)
FROM pg_stat_user_tables WHERE format('%%I.%%I', schemaname, relname) = ANY(%(locations)s)
"""
"""Rows, by the statistics that Postgres keeps itself, and bytes of hot tables: neither reads a table."""


@dataclass(frozen=True, slots=True)
class JobQueue:
    """The queue of one job, or of all that are not named."""

    dag: str
    job: str
    queued: int
    running: int
    retrying: int
    dead: int
    oldest_queued: float
    near_expiry: int


@dataclass(frozen=True, slots=True)
class Source:
    """One source; of those that are not named, the worst of each. `lag` is None before its first report."""

    dag: str
    job: str
    running: bool
    healthy: bool
    lag: int | None
    deep_reorg: bool


@dataclass(frozen=True, slots=True)
class Asset:
    """One published asset, or all that are not named. `committed` is when its place was made before
    the first commit, and None before that; rows and bytes are None where it has no partitions."""

    asset: str
    committed: float | None
    rows: int | None
    bytes: int | None
    locations: Sequence[str]


@dataclass(frozen=True, slots=True)
class Size:
    """What a hot table takes."""

    location: str
    rows: int
    bytes: int


async def jobs(conn: Connection, *, org_id: UUID, most: int) -> list[JobQueue]:
    """The queues of all jobs."""
    return await many(conn, JobQueue, JOBS, {"org": org_id, "most": most})


async def sources(conn: Connection, *, org_id: UUID, most: int) -> list[Source]:
    """All sources that should run."""
    return await many(conn, Source, SOURCES, {"org": org_id, "most": most})


async def assets(conn: Connection, *, org_id: UUID, most: int) -> list[Asset]:
    """All published assets."""
    return await many(conn, Asset, ASSETS, {"org": org_id, "most": most})


async def hot_sizes(conn: Connection, locations: Sequence[str]) -> Mapping[str, Size]:
    """Sizes of hot tables by location (of **data**); one that does not exist has none."""
    return {found.location: found for found in await many(conn, Size, HOT_SIZES, {"locations": list(locations)})}
