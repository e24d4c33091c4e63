"""What OpenLineage run events are made from: attempts that ended, in the order of their ends, and running sources.

How far an organisation's attempts were sent is one row. A dispatcher holds it for a while, as the outbox's rows are
held: while it sends no transaction is open, and the others leave the row alone until the holder has vanished.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime
from typing import Any
from uuid import UUID

from traceplane.store.engine import BOUNDS, Connection
from traceplane.store.rows import named
from traceplane.store.statements.versions import NAME

HOLD = """
INSERT INTO run_event_positions AS p (org_id, finished_at, task_id, attempt, announced_at, holder, held_until)
VALUES (%(org)s, statement_timestamp(), '00000000-0000-0000-0000-000000000000', 0, 'epoch', %(holder)s,
        statement_timestamp() + make_interval(secs => %(hold)s))
ON CONFLICT (org_id) DO UPDATE SET holder = excluded.holder, held_until = excluded.held_until
WHERE p.holder = excluded.holder OR p.held_until < statement_timestamp()
RETURNING p.finished_at, p.task_id, p.attempt, p.announced_at, statement_timestamp() AS now
"""
"""Take or keep the position. The first holder ever begins with what ends from now on."""

ADVANCE = """
UPDATE run_event_positions SET finished_at = %(finished_at)s, task_id = %(task)s, attempt = %(attempt)s
WHERE org_id = %(org)s AND holder = %(holder)s
"""
"""Everything up to this attempt was sent. One who lost the position meanwhile does not move it."""

ANNOUNCED = """
UPDATE run_event_positions SET announced_at = %(at)s WHERE org_id = %(org)s AND holder = %(holder)s
"""
"""Running sources were announced."""

_FACTS = f"""
SELECT r.task_id, r.attempt, r.started_at, r.finished_at, r.result, r.error, t.cause,
       t.scope ->> 'key' AS partition, t.range_start, t.range_end, j.namespace, j.dag, j.name AS job,
       j.operator, j.activation, j.config_hash,
       (SELECT {NAME.format(v="x")} FROM dag_version_jobs y JOIN dag_versions x ON x.id = y.dag_version_id
        WHERE y.job_id = j.id ORDER BY x.number LIMIT 1) AS dag_version,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'namespace', d.namespace, 'dag', d.dag, 'job', d.job, 'output', d.output, 'version', v.id,
                   'storage', v.storage, 'columns', v.columns, 'rows', p.rows, 'bytes', p.bytes,
                   'files', jsonb_array_length(p.files)) ORDER BY d.output), '[]')
        FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id
        -- What the attempt committed; a later one may have taken its place.
        LEFT JOIN partition_versions p
          ON p.dataset_version_id = v.id AND p.partition_key = t.scope ->> 'key' AND p.superseded_at IS NULL
         AND p.task_id = r.task_id AND p.attempt = r.attempt
        WHERE v.job_id = j.id) AS outputs,
       (SELECT coalesce(jsonb_agg(jsonb_build_object(
                   'namespace', d.namespace, 'dag', d.dag, 'job', d.job, 'output', d.output, 'version', v.id,
                   'storage', v.storage) ORDER BY i.position), '[]')
        FROM job_inputs i
        JOIN dataset_versions v ON v.id = i.dataset_version_id
        JOIN datasets d ON d.id = v.dataset_id
        WHERE i.job_id = j.id) AS inputs,
       -- The run that the task follows from. Which attempt of several made an event is known of the one that
       -- completed its task, and of no source.
       (SELECT jsonb_build_object(
                   'namespace', o.namespace, 'dag', o.dag, 'job', o.name, 'task_id', m.id,
                   'attempt', CASE m.attempt WHEN 1 THEN 1 ELSE (
                       SELECT a.attempt FROM task_attempts a WHERE a.task_id = m.id AND a.result = 'Completed'
                       ORDER BY a.attempt DESC LIMIT 1) END)
        FROM events e JOIN tasks m ON m.id = e.producer_task_id JOIN jobs o ON o.id = m.job_id
        WHERE e.id = t.event_id) AS follows
FROM {{runs}} r JOIN tasks t ON t.id = r.task_id JOIN jobs j ON j.id = t.job_id
"""

ENDED = (
    _FACTS.format(
        runs="""(
    SELECT * FROM task_attempts a
    WHERE a.org_id = %(org)s AND a.finished_at >= %(finished_at)s
      AND (a.finished_at, a.task_id, a.attempt) > (%(finished_at)s, %(task)s, %(attempt)s)
      -- Sent once nothing that ended before it can still be committed: else the position would pass that by.
      AND a.finished_at < statement_timestamp() - make_interval(secs => %(settled)s)
    ORDER BY a.finished_at, a.task_id, a.attempt LIMIT %(limit)s)"""
    )
    + "ORDER BY r.finished_at, r.task_id, r.attempt"
)
"""The next attempts after the position, with what an event says of them."""

RUNNING = (
    _FACTS.format(
        runs="""(
    SELECT s.id AS task_id, s.attempt, s.started_at, NULL::timestamptz AS finished_at, NULL AS result,
           NULL::jsonb AS error
    FROM tasks s JOIN jobs o ON o.id = s.job_id
    WHERE s.org_id = %(org)s AND s.status = 'Running' AND o.activation = 'Source'
    ORDER BY s.id LIMIT %(limit)s)"""
    )
    + "ORDER BY r.task_id"
)
"""The sources that run."""

SETTLED_SECONDS = float(BOUNDS["statement_timeout"].removesuffix("s")) + 15
"""An attempt's end is the time of the statement that ends it, and no statement takes longer than its bound."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Position:
    """How far attempts were sent, as its holder sees it; `now` is the database's time."""

    finished_at: datetime
    task_id: UUID
    attempt: int
    announced_at: datetime
    """When running sources were announced last."""
    now: datetime


@dataclass(frozen=True, slots=True, kw_only=True)
class Run:
    """One attempt. `result` and `finished_at` are None while it runs; `inputs` and `outputs` are datasets."""

    task_id: UUID
    attempt: int
    started_at: datetime
    finished_at: datetime | None
    result: str | None
    error: dict[str, Any] | None
    cause: str
    partition: str | None
    range_start: int | None
    range_end: int | None
    namespace: str
    dag: str
    job: str
    operator: str
    activation: str
    config_hash: str
    dag_version: str | None
    outputs: list[dict[str, Any]]
    inputs: list[dict[str, Any]]
    follows: dict[str, Any] | None
    """The task that the event came from which made this one."""


async def hold(conn: Connection, *, org_id: UUID, holder: UUID, seconds: float) -> Position | None:
    """The position, held for so long; None while another one holds it."""
    given = {"org": org_id, "holder": holder, "hold": seconds}
    return next(iter(await named(conn, Position, HOLD, given)), None)


async def ended(
    conn: Connection, *, org_id: UUID, after: Position, settled_seconds: float, limit: int
) -> list[Run]:
    """The next `limit` attempts, by their ends."""
    at = {"finished_at": after.finished_at, "task": after.task_id, "attempt": after.attempt}
    return await named(conn, Run, ENDED, {"org": org_id, "settled": settled_seconds, "limit": limit, **at})


async def running(conn: Connection, *, org_id: UUID, limit: int) -> list[Run]:
    """The sources that run; `limit` of them at most."""
    return await named(conn, Run, RUNNING, {"org": org_id, "limit": limit})


async def advance(conn: Connection, *, org_id: UUID, holder: UUID, run: Run) -> None:
    """`run` was the last one that was sent."""
    given = {"finished_at": run.finished_at, "task": run.task_id, "attempt": run.attempt}
    await conn.execute(ADVANCE, {"org": org_id, "holder": holder, **given})


async def announced(conn: Connection, *, org_id: UUID, holder: UUID, at: datetime) -> None:
    """Running sources were announced, as they were at that time."""
    await conn.execute(ANNOUNCED, {"org": org_id, "holder": holder, "at": at})
