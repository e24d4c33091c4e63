"""What a change of a DAG's pointers does to its work.

Generations that no running version holds any more are asked to stop and lose what waits; those that run again, or
for the first time, take up what they missed. `move` comes after the pointer was moved, in the same transaction, for
tasks are made for what runs by the pointer; and `ensure` after it, which is also what every other look does.
"""

from __future__ import annotations

from collections.abc import Collection
from uuid import UUID

from traceplane.store.engine import Connection
from traceplane.store.statements import cancel, enqueue, hot_tables, notify
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.versions import StoredGeneration


def running(known: Collection[StoredGeneration]) -> set[UUID]:
    """Those of some generations that the active or the staged version holds."""
    return {generation.id for generation in known if generation.active or generation.staged}


def serving(known: Collection[StoredGeneration]) -> set[UUID]:
    """Those that the active version holds."""
    return {generation.id for generation in known if generation.active}


async def move(conn: Connection, *, before: Collection[UUID], after: Collection[UUID], active: UUID) -> None:
    """Stop the work of generations left behind; take up that of those which run from now on.

    `before` and `after` are the generations that ran and that run; `active` is the version which says how.
    """
    left = list(set(before).difference(after))
    # A generation that is new here may read a dataset version whose events are older than itself.
    back = list(set(after).difference(before))
    await cancel.leave(conn, job_ids=left)
    await cancel.withdraw_stop(conn, job_ids=back)
    await notify.jobs(conn, await enqueue.missed_events(conn, job_ids=back))
    await enqueue.reprioritise(conn, version_id=active)


async def ensure(conn: Connection, dag: DagKey, job_ids: Collection[UUID], *, announce: bool) -> None:
    """What was lost is put right, at every look: tables, the task of each source, and what raced with a change.

    `job_ids` are all generations that run. An event that is accepted while a pointer moves may see it where it was:
    then it made no task of those that run now, and one of those that do not.
    """
    requested = await hot_tables.request(conn, list(job_ids))
    started = await enqueue.sources(conn, job_ids=list(job_ids))
    await cancel.left_behind(conn, dag, running=list(job_ids))
    missed = await enqueue.missed_lately(conn, dag, job_ids=list(job_ids))
    await notify.jobs(conn, {*started, *missed})
    if announce or requested or started:
        await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")
