"""A DAG that reads an asset of the chain, and the chain that goes on to another version under it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any
from uuid import UUID

from tests import services
from tests.integration.store.rolling import Rows, Versions, chain
from traceplane import graph
from traceplane.graph import AssetRef, Graph
from traceplane.operator_registry import load
from traceplane.store.engine import Database
from traceplane.store.statements import controller_facts
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import asset_inputs, rollout
from traceplane.versions.asset_policies import Policies

if TYPE_CHECKING:  # it makes fixtures of what stands here
    from tests.integration.store.conftest import Deploy

SUMS = DagKey(services.ORG_ID, "demo", "sums")
READ = AssetRef("demo", "cold-blocks")


def manifest(namespace: str = "demo", sql: str = "SELECT block_number, gas_used AS gas FROM cold_blocks") -> Any:
    """Gas by block, of what the chain's DAG publishes."""
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "DAG",
        "metadata": {"name": "sums", "namespace": namespace, "uid": "uid-2"},
        "spec": {
            "jobs": [
                {
                    "name": "gas",
                    "activation": "Reactive",
                    "runtime": "Pod",
                    "operator": "query",
                    "inputs": [{"from": {"asset": "cold-blocks"}}],
                    "executionStrategy": "PerPartition",
                    "config": {
                        "sql": sql,
                        "columns": [{"name": "block_number", "type": "Int64"}, {"name": "gas", "type": "Int64"}],
                        "scopeColumn": "block_number",
                        "uniqueKey": ["block_number"],
                    },
                    "outputs": ["gas"],
                    "updateStrategy": "Replace",
                }
            ],
            "publish": [{"asset": "gas", "from": {"job": "gas", "output": "gas"}}],
        },
    }


class Sums:
    """The reading DAG: assembled over what state knows, and moved as the controller moves it."""

    def __init__(self, state: Database, deploy: Deploy, rows: Rows) -> None:
        self._state, self._deploy, self.rows = state, deploy, rows
        self._generation = 0

    async def run(self, verb: Any, *given: Any, **named: Any) -> Any:
        async with self._state.transaction() as conn:
            return await verb(conn, *given, **named)

    async def graph(self, written: Any = None) -> Graph:
        parsed = graph.parse("DAG", written or manifest())
        assert not isinstance(parsed, list)
        key = DagKey(services.ORG_ID, parsed.metadata.namespace, parsed.name)
        read = graph.Assets(await self.run(asset_inputs.look_up, key, [READ]))
        made = graph.assemble(parsed, [], [], load(), read=read)
        assert isinstance(made, Graph), [str(problem) for problem in made]
        return made

    async def deploy(self, written: Any = None) -> str:
        self._generation += 1
        done = await self._deploy(await self.graph(written), uid="uid-2", generation=self._generation)
        self.last = done
        return done.result

    async def cut_over(self, written: Any = None) -> Any:
        facts = await self.run(controller_facts.dag_facts, SUMS)
        given = {"active": facts.active_version_id, "staged": facts.staged_version_id}
        await self.run(rollout.observe, SUMS, **given)
        self.rows("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
        swap = {"cutover": "Auto", "policies": Policies()}
        return await self.run(rollout.cut_over, SUMS, (await self.graph(written)).spec_hash, **swap)

    def reads(self) -> list[UUID]:
        """The dataset version that the active version's job reads."""
        return [
            version
            for (version,) in self.rows(
                "SELECT i.dataset_version_id FROM dag_current_versions c"
                " JOIN dag_version_jobs m ON m.dag_version_id = c.active_version_id"
                " JOIN job_inputs i ON i.job_id = m.job_id WHERE c.dag = 'sums'"
            )
        ]

    def written(self, job: str) -> list[UUID]:
        """The dataset version that a job of the chain's active version writes."""
        return [
            version
            for (version,) in self.rows(
                "SELECT v.id FROM dag_current_versions c"
                " JOIN dag_version_jobs m ON m.dag_version_id = c.active_version_id"
                " JOIN jobs j ON j.id = m.job_id AND j.name = %s"
                " JOIN dataset_versions v ON v.job_id = j.id WHERE c.dag = 'chain'",
                job,
            )
        ]


async def cut_over_upstream(deploy: Deploy, upstream: Versions, size: int, generation: int) -> None:
    await deploy(chain(size), generation=generation)
    upstream.finish()
    assert await upstream.cut_over(chain(size))
