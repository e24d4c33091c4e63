"""Jobs, sources and published assets as metrics: by name, within a bound, from what the databases hold."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import pytest
from prometheus_client import Gauge

from tests import graphs
from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.conftest import Feed
from tests.integration.dispatch.two_orgs import Orgs
from tests.integration.store.watching import Statements
from tests.support.deploying import NEIGHBOUR
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.loops.gauges_by_name import AssetGauges, JobGauges, StoreGauges
from traceplane.drivers.objects import S3Objects
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Database
from traceplane.store.statements import gauges_by_name as by_name

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
Look = Callable[..., Any]


@pytest.fixture(autouse=True)
def _fresh() -> Iterator[None]:
    """Other tests of this process share the registry."""
    yield
    for collector in metrics.REGISTRY._collector_to_names:
        if isinstance(collector, Gauge) and collector._labelnames:
            collector.clear()


@pytest.fixture
def look(dispatcher: Dispatcher) -> Look:
    """One pass over jobs and sources, with a bound."""

    async def run(most: int = 50) -> None:
        settings = dispatcher.settings.model_copy(update={"metrics_names": most})
        await JobGauges(dispatcher.state, settings).run_once()

    return run


def value(name: str, dag: str = "chain", job: str = "compact", **labels: str) -> float | None:
    return metrics.REGISTRY.get_sample_value(name, {"dag": dag, "job_name": job, **labels})


def tasks(job: str, dag: str = "chain") -> list[float | None]:
    return [value("trace_job_tasks", dag, job, state=state) for state in ("Queued", "Running", "Retrying", "Dead")]


async def test_a_job_shows_its_queue_by_state_and_its_oldest_task(
    jobs: dict[str, UUID], feed: Feed, caller: Caller, sql: Sql, look: Look
) -> None:
    await feed.partitions(5)
    await caller.claim(jobs["compact"], max_tasks=3)
    # The three that were claimed: one runs, one is retried, one is dead.
    ids = [str(row["id"]) for row in sql("SELECT id FROM tasks WHERE status = 'Running' ORDER BY id")]
    for task, column in zip(ids[1:], ("next_retry_at", "finished_at"), strict=True):
        sql(
            f"UPDATE tasks SET status = 'Failed', {column} = now() WHERE id = %(id)s",
            id=task,
        )
    sql("UPDATE tasks SET queued_at = now() - interval '90 s' WHERE status = 'Queued'")
    await look()
    assert tasks("compact") == [2, 1, 1, 1]
    assert value("trace_job_queue_oldest_seconds") == pytest.approx(90, abs=30)
    assert tasks("ranges") == [0, 0, 0, 0], "a job without tasks is shown, too"
    assert value("trace_job_queue_oldest_seconds", job="ranges") == 0


async def test_a_job_is_counted_from_zero_before_anything_of_it_failed(deploy: Any, look: Look) -> None:
    manifest = graphs.chain("counted-from-zero")
    manifest["spec"]["publish"] = []
    await deploy(manifest)
    await look()
    failed = [
        value("trace_task_attempts_total", "counted-from-zero", job, result="Failed")
        for job in ("compact", "follow", "ranges")
    ]
    assert failed == [0, 0, 0]


async def test_a_lease_that_is_not_renewed_is_near_its_end(
    jobs: dict[str, UUID], feed: Feed, caller: Caller, sql: Sql, look: Look
) -> None:
    await feed.partitions(2)
    await caller.claim(jobs["compact"], max_tasks=2)
    await look()
    assert value("trace_job_leases_near_expiry") == 0
    sql(
        "UPDATE tasks SET heartbeat_at = now() - interval '80 s', lease_expires_at = now() + interval '39 s'"
        " WHERE id = (SELECT min(id::text)::uuid FROM tasks WHERE status = 'Running')"
    )
    await look()
    assert value("trace_job_leases_near_expiry") == 1


async def test_the_deepest_queues_are_named_and_the_others_summed(
    jobs: dict[str, UUID], feed: Feed, look: Look
) -> None:
    await feed.partitions(3)
    await feed.cursor(100)
    await look(most=1)
    assert tasks("compact") == [3, 0, 0, 0]
    assert tasks("ranges") == [None] * 4
    assert tasks("_other", "_other") == [2, 0, 0, 0], "the range job's task and the follower's"
    await look()
    assert tasks("_other", "_other") == [None] * 4, "what is named now is not in the sum any more"


async def test_jobs_of_a_deleted_dag_are_gone(jobs: dict[str, UUID], feed: Feed, sql: Sql, look: Look) -> None:
    await feed.partitions(1)
    await look()
    assert tasks("compact") == [1, 0, 0, 0]
    sql("UPDATE dag_current_versions SET deleted_at = now()")
    await look()
    assert tasks("compact") == [None] * 4
    assert value("trace_job_source_running", job="follow") is None


async def test_another_organisation_is_not_counted(orgs: Orgs, dispatcher: Dispatcher) -> None:
    asked: dict[str, Any] = {"org_id": dispatcher.settings.org_id, "most": 50}
    orgs.sql.execute(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope)"
        " SELECT org_id, namespace, id, gen_random_uuid()::text, 'Event', '{}' FROM jobs WHERE name = 'compact'"
    )
    orgs.sql.execute(PARTITION, {"job": orgs.job("compact", NEIGHBOUR), "key": "a", "rows": 9, "bytes": 9,
                                 "superseded": None})  # fmt: skip
    found = await by_name.jobs(orgs.conn, **asked)
    assert {queue.job: queue.queued for queue in found} == {"compact": 1, "follow": 0, "ranges": 0}
    assert {asset.asset: asset.rows for asset in await by_name.assets(orgs.conn, **asked)} == {
        "cold-blocks": None, "hot-blocks": None,
    }  # fmt: skip
    orgs.sql.execute("UPDATE jobs SET paused = true WHERE org_id = %s", [asked["org_id"]])
    assert await by_name.sources(orgs.conn, **asked) == []


def source() -> dict[str, float | None]:
    names = ("running", "healthy", "lag_blocks", "reorg_below_finality")
    return {name: value(f"trace_job_source_{name}", job="follow") for name in names}


async def test_a_source_shows_whether_it_runs_and_what_it_last_reported(
    jobs: dict[str, UUID], caller: Caller, sql: Sql, look: Look
) -> None:
    await look()
    assert source() == {"running": 0, "healthy": 0, "lag_blocks": None, "reorg_below_finality": 0}
    await caller.claim(jobs["follow"])
    await look()
    assert source() == {"running": 1, "healthy": 1, "lag_blocks": None, "reorg_below_finality": 0}
    report = '{"healthy": false, "message": "stuck", "position": 90, "head": 100}'
    sql("UPDATE tasks SET report = %(report)s::jsonb WHERE status = 'Running'", report=report)
    await look()
    assert source() == {"running": 1, "healthy": 0, "lag_blocks": 10, "reorg_below_finality": 0}
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    await look()
    assert source() == {"running": 0, "healthy": 0, "lag_blocks": None, "reorg_below_finality": 0}


async def test_a_source_that_met_a_reorg_below_finality_says_so(
    jobs: dict[str, UUID], caller: Caller, sql: Sql, look: Look
) -> None:
    await caller.claim(jobs["follow"])
    for code, deep in (("ProvidersFailed", 0), ("ReorgBelowFinality", 1)):
        error = f'{{"code": "{code}", "retryable": false}}'
        sql(
            "UPDATE tasks SET status = 'Failed', finished_at = now(), error = %(error)s::jsonb"
            " WHERE job_id = %(job)s",
            error=error,
            job=jobs["follow"],
        )
        await look()
        assert source() == {"running": 0, "healthy": 0, "lag_blocks": None, "reorg_below_finality": deep}


@pytest.mark.parametrize("change", ["paused = true", "provisioned_at = NULL"])
async def test_a_source_that_cannot_run_yet_or_was_paused_is_not_expected_to(
    jobs: dict[str, UUID], sql: Sql, look: Look, change: str
) -> None:
    sql(f"UPDATE jobs SET {change} WHERE name = 'follow'")
    await look()
    assert source()["running"] is None


async def test_sources_that_do_not_run_are_named_first(deploy: Any, caller: Caller, look: Look) -> None:
    jobs = await deploy()
    other = graphs.chain("zz")
    other["spec"]["publish"] = []
    await deploy(other)
    await caller.claim(jobs["follow"])
    await look(most=1)
    assert value("trace_job_source_running", "zz", "follow") == 0
    assert value("trace_job_source_running", "_other", "_other") == 1


@pytest.fixture
def assets(dispatcher: Dispatcher) -> Look:
    """One pass over published assets, with a bound."""

    async def run(most: int = 50, data: Database | None = None) -> None:
        settings = dispatcher.settings.model_copy(update={"metrics_names": most})
        await AssetGauges(dispatcher.state, data or dispatcher.data, settings).run_once()

    return run


def asset(name: str) -> tuple[float | None, float | None, float | None]:
    """When it was last committed, its rows and its bytes."""
    get = metrics.REGISTRY.get_sample_value
    named = {"asset": name}
    committed = get("trace_asset_last_commit_timestamp_seconds", named)
    return committed, get("trace_asset_rows", named), get("trace_asset_size_bytes", named)


PARTITION = """
INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end,
                                location, files, rows, bytes, manifest_sha256, task_id, attempt, committed_at,
                                superseded_at)
SELECT v.org_id, v.dataset_id, v.id, %(key)s, 0, 1, 'x', '[]', %(rows)s, %(bytes)s, 'x', gen_random_uuid(), 1,
       now() - interval '1 h', %(superseded)s
FROM dataset_versions v WHERE v.job_id = %(job)s
"""


async def test_an_asset_shows_when_it_was_last_committed_its_rows_and_its_bytes(
    jobs: dict[str, UUID], feed: Feed, sql: Sql, assets: Look, dispatcher: Dispatcher
) -> None:
    await assets()
    _, rows, size = asset("hot-blocks")
    assert rows == 0, "its table is empty"
    assert size
    assert size > 0
    assert asset("cold-blocks")[1:] == (None, None)
    await feed.cursor(7)
    sql(PARTITION, job=jobs["compact"], key="a", rows=10, bytes=100, superseded=None)
    sql(PARTITION, job=jobs["compact"], key="b", rows=5, bytes=50, superseded=None)
    sql(PARTITION, job=jobs["compact"], key="b", rows=99, bytes=999, superseded="now")
    await assets()
    assert asset("hot-blocks")[0] == pytest.approx(time.time(), abs=60)
    committed, rows, size = asset("cold-blocks")
    assert committed == pytest.approx(time.time() - 3600, abs=60)
    assert (rows, size) == (15, 150)


async def test_an_asset_without_a_row_is_as_old_as_its_place(jobs: dict[str, UUID], sql: Sql, assets: Look) -> None:
    sql("UPDATE dataset_versions SET provisioned_at = now() - interval '2 h'")
    await assets()
    for name in ("hot-blocks", "cold-blocks"):
        assert asset(name)[0] == pytest.approx(time.time() - 7200, abs=60)
    sql("UPDATE dataset_versions SET provisioned_at = NULL")
    await assets()
    assert asset("hot-blocks")[0] is None, "its table is not there yet, which the outbox tells"
    sql(PARTITION, job=jobs["compact"], key="a", rows=10, bytes=100, superseded=None)
    sql("UPDATE dataset_versions SET provisioned_at = now()")
    await assets()
    assert asset("cold-blocks")[0] == pytest.approx(time.time() - 3600, abs=60), "a commit is what counts"


async def test_assets_of_a_deleted_dag_are_gone(jobs: dict[str, UUID], feed: Feed, sql: Sql, assets: Look) -> None:
    await feed.cursor(7)
    await assets()
    assert asset("hot-blocks")[0] is not None
    sql("UPDATE dag_current_versions SET deleted_at = now()")
    await assets()
    assert asset("hot-blocks") == (None, None, None)


async def test_the_stalest_assets_are_named_and_the_others_summed(
    jobs: dict[str, UUID], feed: Feed, sql: Sql, assets: Look
) -> None:
    await feed.cursor(7)
    sql(PARTITION, job=jobs["compact"], key="a", rows=10, bytes=100, superseded=None)
    await assets(most=1)
    assert asset("cold-blocks")[1] == 10
    assert asset("hot-blocks") == (None, None, None)
    assert asset("_other")[0] == pytest.approx(time.time(), abs=60)


async def test_how_fresh_assets_are_is_known_without_the_data_database(
    jobs: dict[str, UUID], feed: Feed, assets: Look
) -> None:
    await feed.cursor(7)
    away = Database("postgresql://nobody@127.0.0.1:1/none", application="test", wait_seconds=0.2)
    await assets(data=away)
    await away.close()
    committed, rows, _ = asset("hot-blocks")
    assert committed is not None
    assert rows is None


async def test_a_store_that_does_not_answer_is_down(dispatcher: Dispatcher) -> None:
    get = metrics.REGISTRY.get_sample_value
    await StoreGauges(dispatcher.state, dispatcher.data, dispatcher.objects).run_once()
    assert {store: get("trace_store_up", {"store": store}) for store in ("state", "data", "objects")} == {
        "state": 1, "data": 1, "objects": 1,
    }  # fmt: skip
    away = Database("postgresql://nobody@127.0.0.1:1/none", application="test", wait_seconds=0.2)
    objects = S3Objects(dispatcher.settings.model_copy(update={"s3_bucket": "no-such-bucket"}))
    await StoreGauges(away, dispatcher.data, objects).run_once()
    await away.close()
    assert {store: get("trace_store_up", {"store": store}) for store in ("state", "data", "objects")} == {
        "state": 0, "data": 1, "objects": 0,
    }  # fmt: skip


async def test_attempts_and_waits_are_counted_by_dag_job_and_result(
    jobs: dict[str, UUID], feed: Feed, caller: Caller, sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    names = {"dag": "chain", "job_name": "compact"}

    def counted(result: str) -> float:
        return metrics.REGISTRY.get_sample_value("trace_task_attempts_total", names | {"result": result}) or 0

    def waits() -> float:
        return metrics.REGISTRY.get_sample_value("trace_schedule_to_start_seconds_count", names) or 0

    before, waited = counted("LeaseExpired"), waits()
    await feed.partitions(1)
    await caller.claim(jobs["compact"])
    assert waits() == waited + 1
    sql("UPDATE tasks SET lease_expires_at = now() - interval '1 s' WHERE status = 'Running'")
    await loop_of("reaper")()
    assert counted("LeaseExpired") == before + 1


async def test_a_retry_that_is_due_and_not_queued_is_overdue(
    jobs: dict[str, UUID], feed: Feed, caller: Caller, sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    await feed.partitions(1)
    await caller.claim(jobs["compact"])
    sql("UPDATE tasks SET status = 'Failed', next_retry_at = now() + interval '1 h' WHERE status = 'Running'")
    await loop_of("gauges")()
    assert metrics.REGISTRY.get_sample_value("trace_retry_overdue_seconds") == 0
    sql("UPDATE tasks SET next_retry_at = now() - interval '90 s' WHERE status = 'Failed'")
    await loop_of("gauges")()
    assert metrics.REGISTRY.get_sample_value("trace_retry_overdue_seconds") == pytest.approx(90, abs=30)


async def test_a_row_of_the_outbox_that_was_given_up_counts_as_news_for_an_hour(
    jobs: dict[str, UUID], sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    def shown() -> list[float | None]:
        names = ("trace_outbox_failed", "trace_outbox_failed_last_hour")
        return [metrics.REGISTRY.get_sample_value(name) for name in names]

    sql("DELETE FROM outbox")
    for minutes, expected in ((59, [1, 1]), (61, [2, 1])):
        sql(
            "INSERT INTO outbox (org_id, kind, payload, status, finished_at)"
            " SELECT org_id, 'delete_hot_rows', '{}', 'Failed', now() - make_interval(mins => %(minutes)s)"
            " FROM jobs LIMIT 1",
            minutes=minutes,
        )
        await loop_of("gauges")()
        assert shown() == expected


async def test_a_look_takes_the_same_statements_however_many_jobs_and_assets_there_are(
    deploy: Any, dispatcher: Dispatcher, sql: Sql, monkeypatch: pytest.MonkeyPatch
) -> None:
    statements, counts, found = Statements(monkeypatch), [], []
    for number in range(3):
        manifest = graphs.chain(f"chain-{number}")
        for entry in manifest["spec"]["publish"]:
            entry["asset"] += f"-{number}"
        # Not by the outbox's effect, whose wake-ups would run statements of their own meanwhile.
        await deploy(manifest, provision=False)
        sql("UPDATE jobs SET provisioned_at = now()")
        async with dispatcher.state.autocommit() as conn:
            statements.begin()
            for ask in (by_name.jobs, by_name.sources, by_name.assets):
                found.append(len(await ask(conn, org_id=dispatcher.settings.org_id, most=50)))
            counts.append(statements.count)
    assert found == [3, 1, 2, 6, 2, 4, 9, 3, 6]
    assert counts == [3, 3, 3]
