"""Whether the dispatcher's parts work, for `tracectl doctor`: each is tried as the dispatcher uses it.

Every part is tried beside the others and within a bound, so that one that hangs says so and keeps nothing back.
The databases, the object store and STS are tried with the dispatcher's own credentials, which nobody else has.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Literal
from uuid import UUID

from traceplane.drivers.objects import Objects
from traceplane.drivers.task_credentials import SHORTEST_SECONDS, Credentials
from traceplane.drivers.task_keys import TaskKeys
from traceplane.errors import TraceError
from traceplane.identity import prefixes
from traceplane.settings.object_store import ObjectStore
from traceplane.store import revisions
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import gauges, gauges_by_name, schema

PART_SECONDS = 8.0
"""Longest trial of one part: within a caller's patience, and long enough for a store that answers late."""
QUEUED_SECONDS = 3600.0
BEHIND_BLOCKS = 100
"""From here on a queue and a source are worth a warning, as the alerts of the chart have it by default."""
_NAMED = 5
_PROBED = "probe/"
"""A prefix with nothing below it: that there is no object is an answer, too."""

Result = Literal["ok", "warning", "failed"]
Said = tuple[Result, str]
Revision = Callable[[Connection], Awaitable[str | None]]


@dataclass(frozen=True, slots=True)
class Part:
    """One part, how it is tried, and what a person does where it does not work."""

    name: str
    trial: Callable[[], Awaitable[Said]]
    remedy: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a trial found. `remedy` is empty where all is well."""

    name: str
    result: Result
    message: str
    remedy: str


async def findings(parts: Sequence[Part]) -> list[Finding]:
    """What is found of every part, in their order."""
    return list(await asyncio.gather(*map(_finding, parts)))


async def _finding(part: Part) -> Finding:
    try:
        async with asyncio.timeout(PART_SECONDS):
            result, message = await part.trial()
    except TraceError as error:
        result, message = "failed", error.message
    except TimeoutError:
        result, message = "failed", f"no answer within {PART_SECONDS:g} s"
    return Finding(part.name, result, message, "" if result == "ok" else part.remedy)


@dataclass(frozen=True)
class Health:
    """The trials of one dispatcher."""

    state: Database
    data: Database
    objects: Objects
    credentials: Credentials
    settings: ObjectStore
    org_id: UUID

    def parts(self) -> Sequence[Part]:
        """All of them."""
        migrate = "make the database reachable with the DSN in its Secret, and run `tracectl run migrate`"
        return (
            Part("state database", lambda: _schema(self.state, schema.state_revision, revisions.STATE), migrate),
            Part("data database", lambda: _schema(self.data, schema.data_revision, revisions.DATA), migrate),
            Part("object store", self._objects, "see s3.endpoint, s3.bucket and the keys in s3.existingSecret"),
            self._task_credentials(),
            Part("tasks", self._tasks, "see `tracectl get tasks --status Failed`, then `tracectl retry`"),
            Part("outbox", self._outbox, "see the runbook docs/runbooks/dispatcher.md"),
            Part("sources", self._sources, "see `kubectl get tjob` and the runbook docs/runbooks/source-behind.md"),
        )

    async def _objects(self) -> Said:
        await self.objects.list(_PROBED, limit=1)
        return "ok", f"bucket {self.settings.s3_bucket} answers"

    def _task_credentials(self) -> Part:
        keys = self.credentials
        if not isinstance(keys, TaskKeys):
            remedy = "see s3.stsEndpoint, s3.roleArn and s3.credentials, and the log of the dispatcher"
            return Part("sts", lambda: _minted(keys, self.settings), remedy)

        async def tried() -> Said:
            return "ok", await keys.try_out(str(self.org_id))

        return Part(
            "task keys", tried, "see the Secret in s3.tasks.existingSecret, and what the store lets its keys do"
        )

    async def _tasks(self) -> Said:
        async with self.state.autocommit() as conn:
            jobs = await gauges_by_name.jobs(conn, org_id=self.org_id, most=1000)
        depth = f"{sum(job.queued for job in jobs)} queued, {sum(job.running for job in jobs)} running"
        if dead := [f"{job.dag}/{job.job}: {job.dead}" for job in jobs if job.dead]:
            return "failed", f"{depth}; failed for good: {_some(dead)}"
        oldest = max((job.oldest_queued for job in jobs), default=0.0)
        if oldest > QUEUED_SECONDS:
            return "warning", f"{depth}; the oldest has waited for {oldest:.0f} s"
        return "ok", depth

    async def _outbox(self) -> Said:
        async with self.state.autocommit() as conn:
            queue = await gauges.queue(conn)
        if queue.outbox_failed:
            return "failed", f"{queue.outbox_failed} effects failed for good"
        return "ok", f"{queue.outbox_due} effects are due"

    async def _sources(self) -> Said:
        async with self.state.autocommit() as conn:
            sources = await gauges_by_name.sources(conn, org_id=self.org_id, most=1000)
        if still := [f"{one.dag}/{one.job}" for one in sources if not (one.running and one.healthy)]:
            return "failed", f"not running, or not advancing: {_some(still)}"
        behind = [f"{one.dag}/{one.job}: {one.lag} blocks" for one in sources if (one.lag or 0) > BEHIND_BLOCKS]
        return ("warning", f"behind: {_some(behind)}") if behind else ("ok", f"{len(sources)} run")


async def ask_for_credentials(credentials: Credentials, settings: ObjectStore) -> None:
    """Have credentials minted that open nothing. Raises what `mint` does."""
    probed = prefixes.parse(f"s3://{settings.s3_bucket}/{_PROBED}")
    policy = prefixes.session_policy([probed], [])
    await credentials.mint(policy, namespace="", session="trace-probe", seconds=SHORTEST_SECONDS)


async def _minted(credentials: Credentials, settings: ObjectStore) -> Said:
    await ask_for_credentials(credentials, settings)
    return "ok", "gives credentials for tasks"


async def _schema(database: Database, read: Revision, known: str) -> Said:
    async with database.autocommit() as conn:
        found = await read(conn)
    if found != known:
        return "failed", f"it is at schema revision {found or 'none'}, and this release knows {known}"
    return "ok", f"at schema revision {found}"


def _some(names: Sequence[str]) -> str:
    more = f" and {len(names) - _NAMED} more" if len(names) > _NAMED else ""
    return ", ".join(names[:_NAMED]) + more
