"""The chain DAG through its versions: the verbs that move them, and what the dispatcher does between."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests import graphs, services
from traceplane.graph import Graph
from traceplane.store.engine import Database
from traceplane.store.statements import controller_facts, purges
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import rollout
from traceplane.versions.asset_policies import Policies
from traceplane.versions.readiness import Rollout

if TYPE_CHECKING:  # it makes fixtures of what stands here
    from tests.integration.store.conftest import Deploy

Rows = Callable[..., list[tuple[Any, ...]]]
DAG = DagKey(services.ORG_ID, "demo", "chain")


def chain(size: int = 20, **rollout_: Any) -> Graph:
    """The chain with another size of its ranges, so that `ranges` and `compact` are rebuilt."""
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = size
    if rollout_:
        manifest["spec"]["rollout"] = rollout_
    return graphs.assembled(manifest)


class Versions:
    """The verbs of a rollout, each in a transaction of its own, and what state shows."""

    def __init__(self, state: Database, rows: Rows) -> None:
        self._state = state
        self.rows = rows

    async def facts(self) -> controller_facts.DagFacts:
        async with self._state.transaction() as conn:
            found = await controller_facts.dag_facts(conn, DAG)
        assert found is not None
        return found

    async def look(self) -> Rollout:
        facts = await self.facts()
        assert facts.staged_version_id is not None
        async with self._state.transaction() as conn:
            return await rollout.look(conn, active=facts.active_version_id, staged=facts.staged_version_id)

    async def cut_over(self, graph: Graph) -> bool:
        """What the controller does at a look, a while after the first that found the staged version ready."""
        facts = await self.facts()
        if facts.staged_version_id is not None:
            await self.run(rollout.observe, active=facts.active_version_id, staged=facts.staged_version_id)
            self.rows("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
        async with self._state.transaction() as conn:
            return await rollout.cut_over(conn, DAG, graph.spec_hash, cutover=graph.cutover, policies=Policies())

    async def run(self, verb: Callable[..., Awaitable[Any]], **given: Any) -> Any:
        async with self._state.transaction() as conn:
            return await verb(conn, DAG, **given)

    async def forget(self, limit: int = 5_000, calls: int = 100) -> int:
        """What the janitor does with what was purged, `calls` times at most; how many rows went."""
        total = 0
        for _ in range(calls):
            async with self._state.transaction() as conn:
                done = await purges.forget(conn, limit=limit)
            if not done:
                break
            total += done
        return total

    def event(self, job: UUID, number: int, *, partition: bool = False) -> None:
        """An accepted event of what a generation writes."""
        key = (f"{number - 9}-{number}", number - 9, number) if partition else (None, None, None)
        self.rows(
            "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key,"
            " range_start, range_end) SELECT gen_random_uuid(), org_id, dataset_id, id, %s, %s, %s, %s, %s"
            " FROM dataset_versions WHERE job_id = %s",
            *("Partition" if partition else "Cursor", number, *key, job),
        )

    def ids(self, *, staged: bool) -> dict[str, UUID]:
        """Generations by job, of the active or the staged version."""
        which = "staged" if staged else "active"
        return dict(
            self.rows(
                "SELECT j.name, j.id FROM dag_current_versions c"
                f" JOIN dag_version_jobs v ON v.dag_version_id = c.{which}_version_id"
                " JOIN jobs j ON j.id = v.job_id"
            )
        )

    def finish(self, **columns: str) -> None:
        """Every table is made, and every task of a reactive job ends: completed, or as `columns` say."""
        self.rows("UPDATE jobs SET provisioned_at = now()")
        values = {"status": "'Completed'", "finished_at": "now()"} | columns
        assignments = ", ".join(f"{name} = {value}" for name, value in values.items())
        self.rows(
            f"UPDATE tasks t SET {assignments} FROM jobs j"
            " WHERE j.id = t.job_id AND j.activation = 'Reactive' AND t.status = 'Queued'"
        )

    def tasks(self, job: UUID) -> list[str]:
        """Statuses of a generation's tasks."""
        return [status for (status,) in self.rows("SELECT status FROM tasks WHERE job_id = %s ORDER BY id", job)]


async def running(deploy: Deploy, versions: Versions) -> dict[str, UUID]:
    """The chain deployed and at work: its source is at 99, and everything that it caused is done."""
    done = await deploy(chain())
    ids = {job.name: job.id for job in done.jobs}
    versions.event(ids["follow"], 99)
    versions.event(ids["ranges"], 19, partition=True)
    return ids
