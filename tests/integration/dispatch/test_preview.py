"""A preview at work: runs past a cursor end with its range, partitions outside wait, and both go on without it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests import graphs
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher

pytestmark = pytest.mark.services


async def test_a_sample_is_built_first_and_then_the_rest_without_a_gap(
    dispatcher: Dispatcher,
    jobs: dict[str, UUID],
    feed: Feed,
    deploy: Callable[..., Any],
    sql: Callable[..., Any],
    loop_of: Callable[[str], Callable[[], Any]],
) -> None:
    async def work() -> list[int]:
        """The aggregator runs until it has nothing to do; where the partitions begin that wait to be compacted."""
        while await loop_of("local")():
            await dispatcher.local.idle()
        found = sql("SELECT range_start AS at FROM tasks WHERE job_id = %(job)s ORDER BY 1", job=new["compact"])
        return [row["at"] for row in found]

    def emitted() -> list[int]:
        found = sql(
            "SELECT e.range_end AS at FROM events e JOIN dataset_versions v ON v.id = e.dataset_version_id"
            " WHERE v.job_id = %(job)s ORDER BY 1",
            job=new["ranges"],
        )
        return [row["at"] for row in found]

    new = jobs
    await feed.cursor(999)
    await work()
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 50
    manifest["spec"]["rollout"] = {"preview": {"range": {"start": 120, "end": 260}}}
    new = await deploy(manifest)
    assert await work() == [100, 150, 200, 250]
    assert emitted() == [49, 99, 149, 199, 249, 299], "the range that 260 lies in is whole"
    await feed.cursor(1040)
    assert await work() == [100, 150, 200, 250], "nor does what is new reach past the range"
    del manifest["spec"]["rollout"]
    await deploy(manifest)
    final = 1040 - graphs.job(manifest, "follow")["config"]["finalityDepthBlocks"]
    starts = list(range(0, final - 48, 50))
    assert await work() == starts
    assert emitted() == [start + 49 for start in starts]
