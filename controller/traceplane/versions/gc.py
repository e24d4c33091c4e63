"""Purging what former versions of a DAG left behind: because somebody asks, or because the Assets say for how long.

What stays: all that the active and the staged version hold, and what is asked to stay: the versions that were
active last, or what the policies of the Assets keep (`retention`). A cold version that holds the only copy of rows
of a hot table stays as well, and so does a generation whose tasks still run or that another DAG reads, each with
all that it reads and that reads it. Deciding and marking are one transaction under the pointer's lock, after which
nobody finds what was purged; the dispatcher's janitor then forgets the rows, and the bytes go later, when no query
that began before can still read them.
"""

from __future__ import annotations

from collections.abc import Sequence
from collections.abc import Set as AbstractSet
from dataclasses import dataclass
from graphlib import TopologicalSorter
from uuid import UUID

from traceplane.errors import NotFound
from traceplane.store.engine import Connection
from traceplane.store.statements import notify, pointers, purges, relocations, retention
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.purges import Candidate
from traceplane.versions.retention import assess


@dataclass(frozen=True, slots=True)
class Purged:
    """An output that was, or would be, purged; `kept`: why it is not."""

    output: Candidate
    kept: str | None


async def collect(conn: Connection, dag: DagKey, *, keep: int, delay_seconds: float, dry_run: bool) -> list[Purged]:
    """Purge what only versions before the last `keep` hold; with `dry_run` nothing changes. Raises NotFound."""
    # A savepoint: what is only looked at is decided like what is done, one version after the other.
    async with conn.transaction(force_rollback=dry_run):
        if await pointers.lock_known(conn, dag) is None:
            raise NotFound(f"there is no DAG {dag.dag}")
        found = await purges.candidates(conn, dag, await purges.kept(conn, dag, keep=keep))
        return await _purge(conn, dag, found, {one.job_id for one in found}, delay_seconds)


async def enforce(conn: Connection, dag: DagKey, *, delay_seconds: float) -> list[Purged]:
    """Purge what the policies of the DAG's Assets do not keep any longer. May be repeated."""
    if await pointers.lock_known(conn, dag) is None:
        return []
    # Looked at under the lock: a cutover may have come between.
    assessed = assess(await retention.held(conn, dag))
    if not assessed.due:
        return []
    found = await purges.candidates(conn, dag, await purges.kept(conn, dag, keep=0), but=assessed.kept)
    return await _purge(conn, dag, found, assessed.due, delay_seconds)


async def _purge(
    conn: Connection, dag: DagKey, found: Sequence[Candidate], due: AbstractSet[UUID], delay_seconds: float
) -> list[Purged]:
    """Purge the groups of `found` that have a generation of `due`."""
    by_job: dict[UUID, list[Candidate]] = {}
    for one in found:
        by_job.setdefault(one.job_id, []).append(one)
    done: list[Purged] = []
    for group in _groups(by_job):
        if due.isdisjoint(group):
            continue
        why = await _why_kept(conn, dag, [one for job in group for one in by_job[job]])
        for job_id in group:
            done += [Purged(one, why) for one in by_job[job_id]]
            if why is None:
                versions = [one.version_id for one in by_job[job_id]]
                await purges.mark(conn, jobs=[job_id], versions=versions, delay_seconds=delay_seconds)
    await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")
    return done


def _groups(by_job: dict[UUID, list[Candidate]]) -> list[list[UUID]]:
    """Generations that go together or stay together, since one reads another: in each, readers come first.

    A part of them would be a trap: applied again, what stayed is taken up as whole, and what it moved is gone.
    """
    readers = {
        job_id: {reader for one in outputs for reader in one.readers} & by_job.keys()
        for job_id, outputs in by_job.items()
    }
    groups = {job_id: {job_id} for job_id in by_job}
    for job_id, read_by in readers.items():
        for reader in read_by:
            joined = groups[job_id] | groups[reader]
            groups.update(dict.fromkeys(joined, joined))
    order = list(TopologicalSorter(readers).static_order())
    found = {id(group): group for group in groups.values()}
    return [[job_id for job_id in order if job_id in group] for group in found.values()]


async def _why_kept(conn: Connection, dag: DagKey, group: list[Candidate]) -> str | None:
    jobs, unneeded = {one.job_id for one in group}, {one.version_id for one in group}
    for one in group:
        if one.running:
            return f"tasks of {one.job} still run; try again when they have ended"
        if foreign := set(one.readers) - jobs:
            namespace, reader, job = await purges.reader(conn, foreign)
            return (
                f"{one.job}.{one.output} is read by {namespace}/{reader}/{job}; once {reader} has gone on to "
                f"another version, or is deleted, purge its former ones: tracectl gc {reader} -n {namespace} "
                "--keep 0"
            )
        sole = [
            found
            for found in await relocations.sole_ranges(conn, org_id=dag.org_id, cold_version=one.version_id)
            if found.hot_version not in unneeded
        ]
        if sole:
            return (
                f"{one.job}.{one.output} holds the only copy of rows {sole[0].first} to {sole[0].last} of a hot "
                "table; it goes once a later version has them in files, or with that table"
            )
    return None
