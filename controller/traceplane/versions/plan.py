"""What a change of a DAG would do, before anything happens.   (pure)

The rebuild scope is the one that a deploy decides by (`diff.scope`). What a rebuilt job has to do follows from what
it reads: where that is kept, each partition that was announced makes one task, and the number is exact; where it is
rebuilt as well, the running version's own tasks are the estimate.
"""

from __future__ import annotations

from collections.abc import Collection, Mapping
from dataclasses import dataclass

from traceplane.graph import Graph, GraphJob
from traceplane.store.statements.asset_inputs import Reader
from traceplane.store.statements.plans import Size
from traceplane.store.statements.versions import StoredGeneration
from traceplane.versions import diff

KEEP, REBUILD, RESTORE, ADD, REMOVE = "Keep", "Rebuild", "Restore", "Add", "Remove"
"""Restore: a former generation, which is built, takes the place of the one that runs."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Planned:
    """One job of the DAG. `tasks` to be run (None: not known before it runs), `exact` or estimated; `partitions`,
    `rows` and `bytes` are those that are made again, `rpc_calls` those that a source spends anew."""

    job: str
    action: str
    reasons: tuple[str, ...] = ()
    tasks: int | None = 0
    exact: bool = True
    partitions: int = 0
    rows: int = 0
    bytes: int = 0
    rpc_calls: int | None = 0


@dataclass(frozen=True, slots=True)
class Plan:
    """A DAG's plan. `result`: Create, Nothing, Swap (all is built: at once), or Rebuild. Jobs upstream first."""

    result: str
    jobs: tuple[Planned, ...]


def plan(
    graph: Graph,
    known: Collection[StoredGeneration],
    sizes: Collection[Size],
    *,
    active_spec_hash: str | None,
    calls: Mapping[str, int],
) -> Plan:
    """What deploying `graph` would do. `known`: the generations that run, and those of `graph` that exist; `sizes`:
    of those that run, and of what other DAGs publish; `calls`: by operator, the RPC calls of one value of its scope
    column."""
    if active_spec_hash is None:
        return Plan("Create", tuple(Planned(job=job.name, action=ADD, tasks=None) for job in graph.jobs))
    rebuilds = {rebuild.job: rebuild.reasons for rebuild in diff.scope(graph, known)}
    active = {generation.name: generation.config_hash for generation in known if generation.active}
    elsewhere = {edge.asset.version_id for job in graph.jobs for edge in job.inputs if edge.asset}
    by_job: dict[str, list[Size]] = {}
    for size in sizes:
        # Of what other DAGs publish, by the version: their jobs may have the names of this one's.
        by_job.setdefault(str(size.version) if str(size.version) in elsewhere else size.job, []).append(size)
    jobs = [
        _planned(graph, job, rebuilds, by_job, active.get(job.name), calls.get(job.operator, 0))
        for job in graph.jobs
    ]
    removed = sorted(active.keys() - {job.name for job in graph.jobs})
    jobs += [Planned(job=name, action=REMOVE) for name in removed]
    if rebuilds:
        return Plan("Rebuild", tuple(jobs))
    return Plan("Nothing" if graph.spec_hash == active_spec_hash else "Swap", tuple(jobs))


def readers(graph: Graph, plan: Plan, reading: Collection[Reader]) -> list[tuple[Reader, str]]:
    """Those of the readers in other DAGs whom a plan of `graph` concerns, each with what it means for it."""
    published = {publication.asset: (publication.job, publication.output) for publication in graph.publications}
    actions = {job.job: job.action for job in plan.jobs}
    found = []
    for one in reading:
        if (now := published.get(one.asset)) is None:
            found.append((one, f"goes on with the rows there are: nobody publishes asset {one.asset} then"))
        elif now != (one.job, one.output):
            job, output = now
            found.append((one, f"is rebuilt after the cutover: asset {one.asset} is {job}/{output} then"))
        elif actions[one.job] == REBUILD:
            found.append((one, "is rebuilt after the cutover"))
        elif actions[one.job] != KEEP:
            found.append((one, "goes back with it, or is rebuilt where it was not built over those rows"))
    return found


def _planned(
    graph: Graph,
    job: GraphJob,
    rebuilds: Mapping[str, tuple[str, ...]],
    sizes: Mapping[str, Collection[Size]],
    runs: str | None,
    calls: int,
) -> Planned:
    """`runs`: the config hash of the generation that runs."""
    if job.name not in rebuilds:
        known = KEEP if runs == job.config_hash else RESTORE
        return Planned(job=job.name, action=known if runs else ADD)
    own = sizes.get(job.name, ())
    tasks, exact = _tasks(graph, job, rebuilds, sizes)
    return Planned(
        job=job.name,
        action=REBUILD if runs else ADD,
        reasons=rebuilds[job.name],
        tasks=tasks,
        exact=exact,
        partitions=sum(size.partitions for size in own),
        rows=sum(size.rows for size in own),
        bytes=sum(size.bytes for size in own),
        rpc_calls=_calls(job, own, calls),
    )


def _tasks(
    graph: Graph, job: GraphJob, rebuilds: Mapping[str, tuple[str, ...]], sizes: Mapping[str, Collection[Size]]
) -> tuple[int | None, bool]:
    if job.activation == "Source":
        return 1, True
    triggers = [edge for edge in job.inputs if edge.trigger]
    if any(edge.own and edge.own[0] in rebuilds for edge in triggers):
        own = [size.tasks for size in sizes.get(job.name, ())]
        return (max(own), False) if own else (None, False)
    read = [(edge.asset.version_id if edge.asset else edge.job, edge.output) for edge in triggers]
    given = [size for name, output in read for size in sizes.get(name, ()) if size.output == output]
    if job.execution_strategy == "PerPartition":
        return sum(size.announced for size in given), True
    # One run reads everything past the cursor; there is one for each dataset that has announced anything.
    return sum(size.position is not None for size in given), True


def _calls(job: GraphJob, own: Collection[Size], calls: int) -> int | None:
    if not calls:
        return 0
    positions = [size.position for size in own if size.position is not None]
    starts = [output.schema.first_value for output in job.outputs if output.schema.first_value is not None]
    if not positions or not starts:
        return None  # how long its chain is nobody knows before it runs
    return max(0, max(positions) - min(starts) + 1) * calls
