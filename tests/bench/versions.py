"""A rollback and a plan of a DAG of 1,000 assets with a million partitions.

The DAG was at two versions, in which every asset was made by another generation, and all of it is committed: so a
rollback moves a thousand pointers at once, and has to find out that a million tasks are done. Both are measured
against one second, in the transactions that `tracectl` causes.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

import psycopg

from tests import graphs, services
from tests.support.planning import planned
from traceplane.graph import Graph
from traceplane.store.engine import Database
from traceplane.store.statements import controller_facts, versions
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deploy, rollout

ASSETS, PARTITIONS = 1000, 1000
AIM_SECONDS = 1.0
DAG = DagKey(services.ORG_ID, "demo", "chain")

ANNOUNCE = """
INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key, range_start,
                    range_end, created_at)
SELECT trace_uuid7(), v.org_id, v.dataset_id, v.id, 'Partition', n * 10 + 9, n * 10 || '-' || n * 10 + 9, n * 10,
       n * 10 + 9, now() - interval '1 hour'
FROM dataset_versions v JOIN jobs j ON j.id = v.job_id AND j.name = 'ranges', generate_series(1, %s) n
"""
WORK = """
WITH made AS (
    INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, max_attempts, scope, range_start, range_end,
                       event_id, status, attempt, finished_at)
    SELECT j.org_id, j.namespace, j.id, 'event:' || e.id, 'Event', 3, '{}', e.range_start, e.range_end, e.id,
           'Completed', 1, now()
    FROM jobs j JOIN job_inputs i ON i.job_id = j.id AND i.is_trigger
    JOIN events e ON e.dataset_version_id = i.dataset_version_id AND e.kind = 'Partition'
    WHERE j.operator = 'query'
    ON CONFLICT (job_id, dedupe_key)
    DO UPDATE SET status = 'Completed', attempt = 1, finished_at = now() WHERE tasks.status = 'Queued'
    RETURNING id, job_id, range_start, range_end
)
INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end,
                                location, files, rows, bytes, manifest_sha256, task_id, attempt)
SELECT v.org_id, v.dataset_id, v.id, m.range_start || '-' || m.range_end, m.range_start, m.range_end, 'x', '[]', 10,
       1000, 'x', m.id, 1
FROM made m JOIN dataset_versions v ON v.job_id = m.job_id
"""


def manifest(assets: int, token: str) -> dict[str, Any]:
    """A chain, its ranges, and `assets` statements over each range, all published."""
    written = graphs.without(graphs.chain(), "compact")
    for number in range(assets):
        written["spec"]["jobs"].append(
            {
                "name": f"gas-{number}",
                "activation": "Reactive",
                "runtime": "Pod",
                "operator": "query",
                "rebuildToken": token,
                "inputs": [
                    {"from": {"job": "ranges", "output": "ranges"}},
                    {"from": {"job": "follow", "output": "blocks"}, "trigger": False},
                ],
                "executionStrategy": "PerPartition",
                "config": {
                    "sql": "SELECT block_number, gas_used AS gas FROM hot_blocks",
                    "columns": [{"name": "block_number", "type": "Int64"}, {"name": "gas", "type": "Int64"}],
                    "scopeColumn": "block_number",
                    "uniqueKey": ["block_number"],
                },
                "outputs": ["gas"],
                "updateStrategy": "Replace",
            }
        )
        written["spec"]["publish"].append(
            {"asset": f"gas-{number}", "from": {"job": f"gas-{number}", "output": "gas"}}
        )
    return written


class World:
    """The DAG in a database."""

    def __init__(self, dsn: str) -> None:
        self.dsn = dsn
        self.state = Database(dsn, application="bench")
        self.generation = 0

    async def run(self, verb: Callable[..., Awaitable[Any]], *given: Any, **named: Any) -> Any:
        async with self.state.transaction() as conn:
            return await verb(conn, *given, **named)

    def sql(self, *statements: str) -> None:
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            for statement in statements:
                connection.execute(statement)

    async def deploy(self, wanted: Graph) -> str:
        self.generation += 1
        given = {"resource_uid": "u", "generation": self.generation, "bucket": "bucket"}
        done = await self.run(deploy.deploy, org_id=services.ORG_ID, graph=wanted, **given)
        return str(done.result)

    async def work(self, partitions: int) -> None:
        """What is announced, done, and committed, by every generation so far."""
        with psycopg.connect(self.dsn, autocommit=True) as connection:
            if not connection.execute("SELECT 1 FROM events LIMIT 1").fetchone():
                connection.execute(ANNOUNCE, [partitions])
            connection.execute(WORK)
        self.sql("UPDATE jobs SET provisioned_at = now()", "VACUUM ANALYZE")

    async def activate(self, wanted: Graph) -> None:
        """The staged version takes over."""
        facts = await self.run(controller_facts.pointer_facts, DAG)
        known = await self.run(
            versions.generations, DAG, active=facts.active_version_id, staged=facts.staged_version_id, wanted=()
        )
        job_ids = await self.run(versions.job_ids, facts.staged_version_id)
        await self.run(deploy.activate, DAG, facts.staged_version_id, known, job_ids)

    async def plan(self, wanted: Graph) -> str:
        result: str = (await self.run(planned, DAG, wanted)).result
        return result


async def measure(dsn: str, assets: int, partitions: int) -> None:
    """Fill, then the rollback and the plan."""
    world = World(dsn)
    first, second, third = (graphs.assembled(manifest(assets, token)) for token in ("a", "b", "c"))
    await world.deploy(first)
    await world.work(partitions)
    await world.deploy(second)
    await world.work(partitions)
    await world.activate(second)
    world.sql("VACUUM ANALYZE")
    sys.stderr.write("filled\n")
    took = []
    # Each generation was left once before: a first rollback looks for what it missed in all that there is.
    for _ in range(4):
        started = time.perf_counter()
        await world.run(rollout.roll_back, DAG, version=None)
        took.append(time.perf_counter() - started)
    show(f"rollback of {assets} assets with {assets * partitions} partitions", max(took[1:]))
    started = time.perf_counter()
    assert await world.plan(third) == "Rebuild"
    show(
        f"plan of a rebuild of {assets} assets with {assets * partitions} partitions", time.perf_counter() - started
    )
    await world.state.close()


def show(name: str, seconds: float) -> None:
    """A measure: how much of the second it leaves."""
    line = {
        "bench": "versions",
        "measure": name,
        "ratio": AIM_SECONDS / seconds,
        "aim": 1.0,
        "ours": seconds * 1000,
    }
    print(
        json.dumps(line | {"raw": AIM_SECONDS * 1000, "unit": "ms", "note": "against its bound; above 1 is good"})
    )


def main() -> None:
    """Run the bench; `ASSETS PARTITIONS` in the command line are for a smaller one."""
    assets, partitions = (int(given) for given in sys.argv[1:3] or (ASSETS, PARTITIONS))
    with services.postgres() as server:
        asyncio.run(measure(server.databases().state_dsn, assets, partitions))


if __name__ == "__main__":
    main()
