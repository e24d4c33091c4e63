"""Lineage of an asset through the user API: both ways, within bounds, and only what its reader may know."""

from __future__ import annotations

from uuid import UUID

import pytest

from tests.integration.query.conftest import Get
from tests.integration.query.world import World
from traceplane.userapi import reads as handlers

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
    monkeypatch.setattr(handlers, "LINEAGE_VERSIONS", 1)
    found = get("/v1/assets/cold-blocks/lineage").json()
    assert ([item["job"] for item in found["items"]], found["truncated"]) == (["compact"], True)
