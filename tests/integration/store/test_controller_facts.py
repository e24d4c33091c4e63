"""What the controller sees of DAGs, jobs and assets, and what looking costs."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.integration.store.watching import Statements
from traceplane.store.engine import Database
from traceplane.store.statements import controller_facts
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import deletion

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]
NAMESPACE = {"org_id": services.ORG_ID, "namespace": "demo"}
DAG = DagKey(**NAMESPACE, dag="chain")

TASK = (
    "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, status, attempt, queued_at,"
    " started_at, lease_token, claim_id, worker_id, lease_epoch, lease_expires_at, next_retry_at, finished_at,"
    " error)"
    " SELECT org_id, namespace, id, gen_random_uuid()::text, 'Event', '{}', %(status)s, 1, now() - interval '90 s',"
    " now(), t.token, t.token, t.worker, t.epoch, t.expires, %(retry)s, %(finished)s, %(error)s FROM jobs"
    " CROSS JOIN (SELECT CASE WHEN %(worker)s::text IS NOT NULL THEN gen_random_uuid() END AS token,"
    "   %(worker)s::text AS worker, CASE WHEN %(worker)s::text IS NOT NULL THEN 1 END AS epoch,"
    "   CASE WHEN %(worker)s::text IS NOT NULL THEN now() END AS expires) t"
    " WHERE name = %(job)s"
)


@pytest.fixture
def task(databases: services.Databases) -> Callable[..., None]:
    """Puts a task of a job into a state."""
    import psycopg

    def put(job: str, status: str, **columns: Any) -> None:
        values = dict.fromkeys(("worker", "retry", "finished", "error")) | {"job": job, "status": status} | columns
        with psycopg.connect(databases.state_dsn) as connection:
            connection.execute(TASK, values)

    return put


async def _dag(state: Database) -> controller_facts.DagFacts:
    async with state.transaction() as connection:
        facts = await controller_facts.dag_facts(connection, DAG)
    assert facts is not None
    return facts


async def test_a_dag_that_state_never_heard_of_is_none(state: Database):
    async with state.transaction() as connection:
        assert await controller_facts.dag_facts(connection, DAG) is None


async def test_a_job_shows_its_queue(deploy: Deploy, state: Database, task: Callable[..., None]):
    graph = graphs.assembled(graphs.chain())
    done = await deploy(graph)
    for status, columns in (
        ("Queued", {}),
        ("Queued", {}),
        ("Running", {"worker": "pod-a.1"}),
        ("Failed", {"retry": "now", "error": '{"code": "Flaky"}'}),
        ("Failed", {"finished": "now", "error": '{"code": "Broken"}'}),
        ("Completed", {"finished": "now"}),
    ):
        task("compact", status, **columns)
    facts = await _dag(state)
    assert (facts.active_version_id, facts.active_spec_hash) == (done.version_id, graph.spec_hash)
    assert facts.busy_workers == {"pod-a.1"}
    compact = next(job for job in facts.jobs if job.name == "compact")
    assert (compact.queued, compact.running, compact.retrying, compact.dead) == (2, 1, 1, 1)
    assert compact.oldest_queued_seconds == pytest.approx(90, abs=30)
    assert compact.last_failure is not None
    assert compact.last_failure["error"] == {"code": "Flaky"}
    assert (compact.provisioned, compact.runtime, compact.max_workers) == (True, "Pod", 1)
    follow = next(job for job in facts.jobs if job.name == "follow")
    assert (follow.queued, follow.running, follow.dead, follow.last_failure) == (1, 0, 0, None)


async def test_a_job_is_provisioned_when_all_its_tables_are(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))

    async def provisioned() -> set[str]:
        return {job.name for job in (await _dag(state)).jobs if job.provisioned}

    assert await provisioned() == {"compact"}
    rows("UPDATE jobs SET provisioned_at = now()")
    rows(
        "UPDATE dataset_versions SET provisioned_at = now() FROM datasets d"
        " WHERE d.id = dataset_id AND d.output <> 'logs'"
    )
    assert await provisioned() == {"compact", "ranges"}
    rows("UPDATE dataset_versions SET provisioned_at = now()")
    assert await provisioned() == {"compact", "ranges", "follow"}


async def test_assets_show_what_they_hold(deploy: Deploy, state: Database, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    rows(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt, superseded_at)"
        " SELECT org_id, dataset_id, id, key, 0, 19, location, '[]', 20, 1000, '', gen_random_uuid(), 1, gone"
        " FROM dataset_versions, (VALUES ('0-19', NULL), ('20-39', NULL), ('0-19', now())) AS p(key, gone)"
        " WHERE storage = 'S3'"
    )
    rows(
        "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value)"
        " SELECT gen_random_uuid(), v.org_id, d.id, v.id, 'Cursor', n FROM datasets d"
        " JOIN dataset_versions v ON v.dataset_id = d.id, generate_series(40, 50) n"
        " WHERE d.job = 'follow' AND d.output = 'blocks'"
    )
    async with state.transaction() as connection:
        facts = await controller_facts.asset_facts(
            connection, **NAMESPACE, names=["hot-blocks", "cold-blocks", "blocks"]
        )
        one = await controller_facts.asset_facts(connection, **NAMESPACE, names=["hot-blocks"])
    assert facts.keys() == {"hot-blocks", "cold-blocks"}
    assert one == {"hot-blocks": facts["hot-blocks"]}
    hot, cold = facts["hot-blocks"], facts["cold-blocks"]
    assert (hot.job, hot.output, hot.storage, hot.cursor, hot.partitions) == ("follow", "blocks", "Postgres", 50, 0)
    assert (cold.storage, cold.partitions, cold.rows, cold.bytes) == ("S3", 2, 40, 2000)
    assert hot.last_materialised_at is not None
    assert cold.last_materialised_at is not None


async def test_a_deleted_dag_is_known_no_more(deploy: Deploy, state: Database):
    async def known() -> tuple[tuple[str, str], ...]:
        async with state.transaction() as connection:
            return await controller_facts.known_dags(connection, **NAMESPACE)

    await deploy(graphs.assembled(graphs.chain()))
    assert await known() == (("chain", "uid-1"),)
    async with state.transaction() as connection:
        await deletion.begin(connection, DAG, "uid-1")
    assert await known() == ()
    facts = await _dag(state)
    assert facts.deleted_at is not None
    assert facts.jobs == ()


async def test_looking_and_deploying_cost_as_many_statements_for_300_jobs_as_for_3(
    deploy: Deploy, state: Database, monkeypatch: pytest.MonkeyPatch
):
    statements = Statements(monkeypatch)

    async def cost(manifest: dict[str, Any]) -> tuple[int, int, int]:
        counts = []
        graph = graphs.assembled(manifest)
        for _ in ("a first deploy", "one that changes nothing"):
            statements.begin()
            await deploy(graph)
            counts.append(statements.count)
        statements.begin()
        async with state.transaction() as connection:
            facts = await controller_facts.dag_facts(connection, DagKey(services.ORG_ID, "demo", graph.dag))
        assert facts is not None
        assert len(facts.jobs) == len(graph.jobs)
        assert statements.count == 3
        return counts[0], counts[1], statements.count

    small, large = graphs.chain("small"), graphs.chain("large")
    large["spec"]["publish"] = []
    for number in range(297):
        large["spec"]["jobs"].append(graphs.job(large, "ranges") | {"name": f"ranges-{number}"})
    assert await cost(large) == await cost(small)
