"""Lineage of an asset through the user API: both ways, runs, waits, bounds, and only what its reader may know."""

from __future__ import annotations

from typing import Any
from uuid import UUID, uuid4

import pytest

from tests import services
from tests.integration.query.conftest import Get
from tests.integration.query.world import NAMESPACE, World
from traceplane.store.documents import document
from traceplane.store.statements import lineage
from traceplane.userapi import lineage as handlers

pytestmark = pytest.mark.services


def reads(world: World, version: UUID, *inputs: UUID) -> None:
    """Make the job of a version read others."""
    for position, read in enumerate(inputs):
        world.state.execute(
            "INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)"
            " SELECT v.job_id, %s, v.org_id, i.dataset_id, i.id, true FROM dataset_versions v, dataset_versions i"
            " WHERE v.id = %s AND i.id = %s",
            (position, version, read),
        )


def test_lineage_goes_both_ways_and_names_what_one_may_read(world: World, get: Get) -> None:
    hot, cold = world.federated()
    sums = world.dataset("sum", "S3", "sums")
    report = world.dataset("report", "S3", "report")
    world.dataset("other", "S3", "other")
    reads(world, cold, hot)
    reads(world, sums, cold, hot)
    reads(world, report, sums)
    world.policy("sums", "S3", roles=["analyst"])

    def found(asset: str) -> list[tuple[str, int, str, str | None]]:
        items = get(f"/v1/assets/{asset}/lineage").json()["items"]
        return [(item["side"], item["distance"], item["job"], item["asset"]) for item in items]

    assert found("cold-blocks") == [
        ("Asset", 0, "compact", "cold-blocks"),
        ("Upstream", 1, "follow", "hot-blocks"),
        ("Downstream", 1, "sum", None),
        ("Downstream", 2, "report", "report"),
    ]
    assert [row[:3] for row in found("blocks")] == [
        ("Asset", 0, "compact"),
        ("Asset", 0, "follow"),
        ("Downstream", 1, "sum"),
        ("Downstream", 2, "report"),
    ]
    items = {item["job"]: item for item in get("/v1/assets/report/lineage").json()["items"]}
    assert set(items["sum"]["inputs"]) == {str(cold), str(hot)}
    assert (items["report"]["inputs"], items["follow"]["inputs"]) == ([str(sums)], [])
    assert (items["follow"]["side"], items["follow"]["distance"]) == ("Upstream", 2)
    assert get("/v1/assets/sums/lineage").status_code == 404


def test_lineage_knows_no_job_that_left_its_dag(world: World, get: Get) -> None:
    hot, cold = world.federated()
    reads(world, cold, hot)
    # Its dataset is published still, as in the moments before the version without the job is.
    world.state.execute("DELETE FROM dag_version_jobs m USING jobs j WHERE j.id = m.job_id AND j.name = 'compact'")
    assert [item["job"] for item in get("/v1/assets/hot-blocks/lineage").json()["items"]] == ["follow"]
    assert [item["job"] for item in get("/v1/assets/cold-blocks/lineage").json()["items"]] == ["compact", "follow"]


def test_lineage_is_bounded_and_says_so(world: World, get: Get, monkeypatch: pytest.MonkeyPatch) -> None:
    hot, cold = world.federated()
    reads(world, cold, hot)
    monkeypatch.setattr(handlers, "MOST", 1)
    found = get("/v1/assets/cold-blocks/lineage").json()
    assert ([item["job"] for item in found["items"]], found["truncated"]) == (["compact"], True)


def test_the_runs_of_a_partition_a_range_or_everything(world: World, get: Get, monkeypatch: Any) -> None:
    hot, cold = world.federated()
    reads(world, cold, hot)
    for first in (0, 10, 20):
        world.compact(hot, cold, first, first + 9)
        world.announce(hot, first + 9)

    def found(**asked: Any) -> list[tuple[Any, ...]]:
        items = get("/v1/assets/cold-blocks/runs", **asked).json()["items"]
        return [(run["distance"], run["job"], run["start"], run["end"], run["rows"]) for run in items]

    assert found() == [(0, "compact", first, first + 9, 10) for first in (0, 10, 20)]
    assert found(partition="10-19") == [(0, "compact", 10, 19, 10)]
    assert found(start=9, end=10) == [(0, "compact", 0, 9, 10), (0, "compact", 10, 19, 10)]
    assert found(start=30, end=99) == []
    assert found(start=12, end=12, depth=1) == [(0, "compact", 10, 19, 10), (1, "follow", 10, 19, None)]
    read = [get("/v1/assets/cold-blocks/runs", partition="10-19").json()["items"][0]["inputs"][0]]
    assert [(one["namespace"], one["dag"], one["job"]) for one in read] == [(NAMESPACE, "monad", "follow")]
    hot_runs = get("/v1/assets/hot-blocks/runs", start=5, end=12).json()["items"]
    assert [(run["start"], run["end"], run["inputs"]) for run in hot_runs] == [(5, 12, [])]
    monkeypatch.setattr(handlers, "MOST", 2)
    assert get("/v1/assets/cold-blocks/runs").json()["truncated"]


def announced(world: World, version: UUID, task: UUID, start: int | None, end: int) -> None:
    """An event of a task: of a partition, or of a cursor where there is no `start`."""
    kind, key = ("Cursor", None) if start is None else ("Partition", f"{start}-{end}")
    world.state.execute(
        "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key,"
        " range_start, range_end, producer_task_id)"
        " SELECT gen_random_uuid(), org_id, dataset_id, id, %s, %s, %s, %s, %s, %s"
        " FROM dataset_versions WHERE id = %s",
        (kind, end, key, start, None if start is None else end, task, version),
    )


def hot_sums(world: World) -> tuple[UUID, dict[UUID, str]]:
    """A hot dataset made from 30 cold blocks, and names of two tasks."""
    cold, sums = world.publish(("compact", "S3", "cold-blocks"), ("sum", "Postgres", "sums"))
    reads(world, sums, cold)
    world.compact(cold, cold, 0, 29)
    return sums, {uuid4(): "died", uuid4(): "again"}


def test_a_cursor_that_is_announced_again_was_written_by_the_latest_run(world: World, get: Get) -> None:
    sums, names = hot_sums(world)
    died, again = names
    for task, cursor in ((died, 9), (died, 19), (again, 9), (again, 29)):
        announced(world, sums, task, None, cursor)

    def found(start: int, end: int) -> list[tuple[str, int, int]]:
        items = get("/v1/assets/sums/runs", start=start, end=end, depth=1).json()["items"]
        made = [(names[UUID(run["task_id"])], run["start"], run["end"]) for run in items if run["distance"] == 0]
        assert len(items) > len(made), "what they read is known as well"
        return made

    assert found(3, 4) == [("again", 3, 4)]
    assert found(0, 9) == [("again", 0, 9)]
    assert found(9, 10) == [("again", 9, 9), ("died", 10, 10)]
    assert found(12, 29) == [("died", 12, 19), ("again", 20, 29)]


def test_a_hot_partition_is_done_once_it_is_announced_by_the_latest_run(world: World, get: Get) -> None:
    sums, names = hot_sums(world)
    world.state.execute("UPDATE jobs SET activation = 'Reactive', execution_strategy = 'PerPartition'")
    died, again = names
    for task, start in ((died, 20), (died, 0), (again, 20)):
        announced(world, sums, task, start, start + 9)

    def found(at: int) -> tuple[str, list[str]]:
        explained = get("/v1/assets/sums/explanation", at=at).json()["items"][0]
        made = get("/v1/assets/sums/runs", start=at, end=at).json()["items"]
        return explained["reason"], [names[UUID(run["task_id"])] for run in made]

    assert found(0) == found(9) == ("Done", ["died"])
    assert found(10) == found(19) == found(30) == ("WaitsForInput", [])
    assert found(20) == found(29) == ("Done", ["again"])
    announced(world, world.version("compact"), died, 30, 39)
    cold = get("/v1/assets/cold-blocks/explanation", at=35).json()["items"][0]
    assert cold["reason"] != "Done", "a cold partition is one that is committed"
    (made,) = get("/v1/assets/sums/runs", partition="20-29").json()["items"]
    assert (names[UUID(made["task_id"])], made["start"], made["end"]) == ("again", 20, 29)


def test_the_runs_of_a_range_cost_what_it_holds_however_long_the_history(world: World) -> None:
    hot, cold = world.federated()
    world.state.execute(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
        " SELECT org_id, dataset_id, id, n::text, n, n, '', '[]', 1, 1, 'x', gen_random_uuid(), 1"
        " FROM dataset_versions, generate_series(0, 19999) n WHERE id = %s",
        (cold,),
    )
    world.state.execute(
        "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value)"
        " SELECT gen_random_uuid(), org_id, dataset_id, id, 'Cursor', n"
        " FROM dataset_versions, generate_series(0, 19999) n WHERE id = %s",
        (hot,),
    )
    world.state.execute("ANALYZE")
    asked = [{"version": version, "key": None, "start": 9000, "end": 9001} for version in (hot, cold)]
    given = {"org": services.ORG_ID, "asked": document(asked), "limit": 10}
    explained = world.state.execute(f"EXPLAIN (ANALYZE, FORMAT JSON) {lineage.RUNS}", given).fetchone()
    read = dict.fromkeys(("events", "partition_versions"), 0)
    nodes = [explained[0][0]["Plan"]]
    for node in nodes:
        nodes += node.get("Plans", [])
        if node.get("Relation Name") in read:
            met = sum(node.get(name, 0) for name in ("Actual Rows", "Rows Removed by Filter"))
            read[node["Relation Name"]] += met * node["Actual Loops"]
    assert 2 <= read["events"] <= 10
    assert 2 <= read["partition_versions"] <= 10


@pytest.mark.parametrize(
    ("asked", "said"),
    [
        ({"start": 1}, "start, end: give both"),
        ({"start": 2, "end": 1}, "start not after end"),
        ({"start": 1, "end": 2, "partition": "1-2"}, "partition: give either"),
        ({"depth": 33}, "depth: from 0 to 32"),
        ({"start": "1e3", "end": 5}, "start: a whole number of 64 bits"),
        ({"start": 2**63, "end": 2**63}, "start: a whole number of 64 bits"),
    ],
)
def test_a_range_that_is_none_is_refused(world: World, get: Get, asked: dict[str, Any], said: str) -> None:
    world.federated()
    answer = get("/v1/assets/cold-blocks/runs", **asked)
    assert answer.status_code == 400
    assert said in answer.json()["detail"]


def test_an_asset_is_explained_job_by_job_to_those_who_may_read_it(world: World, get: Get) -> None:
    hot, cold = world.federated()
    reads(world, cold, hot)
    world.compact(hot, cold, 0, 9)
    world.announce(hot, 12)

    def found(asset: str, **asked: Any) -> list[tuple[str, str]]:
        items = get(f"/v1/assets/{asset}/explanation", **asked).json()["items"]
        return [(wait["job"], wait["reason"]) for wait in items]

    assert found("cold-blocks", at=4) == [("compact", "Done"), ("follow", "Done")]
    assert found("hot-blocks") == [("follow", "NotRunning")]
    world.policy("cold-blocks", "S3", roles=["analyst"])
    assert get("/v1/assets/cold-blocks/explanation").status_code == 404
    assert get("/v1/assets/cold-blocks/runs").status_code == 404
