"""A compaction of what another DAG publishes copies: the rows are that DAG's, and stay where they are."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests import graphs, services
from tests.integration.operators.following import Activity
from tests.integration.worker.pipelines import manifest, running
from traceplane.settings import Settings

pytestmark = pytest.mark.services


def archive() -> dict[str, Any]:
    """Copies of the blocks that another DAG has in a hot table, range by range."""
    dag = manifest()
    dag["metadata"]["name"] = "archive"
    compact = graphs.job(dag, "compact") | {"outputs": ["blocks"], "config": {"deleteAfterCompact": False}}
    compact["inputs"] = [{"from": {"asset": "ranges"}}, {"from": {"asset": "hot-blocks"}, "trigger": False}]
    dag["spec"]["jobs"] = [compact]
    dag["spec"]["publish"] = [{"asset": "archived-blocks", "from": {"job": "compact", "output": "blocks"}}]
    return dag


async def test_rows_of_another_dag_are_copied_and_never_moved(
    settings: Settings,
    deploy: Callable[..., Any],
    databases: services.Databases,
    object_store: services.ObjectStore,
    chain: services.Chain,
    tmp_path: Path,
) -> None:
    upstream = graphs.without(manifest(), "compact")
    upstream["spec"]["publish"].append({"asset": "ranges", "from": {"job": "ranges", "output": "ranges"}})
    jobs = await deploy(upstream)
    jobs |= await deploy(archive(), reads=["ranges", "hot-blocks"])
    parts = {"databases": databases, "store": object_store, "chain": chain, "jobs": jobs, "folder": tmp_path}
    with running(settings, **parts) as pipeline:
        Activity(chain).blocks(24)
        pipeline.keep("follow")
        pipeline.keep("compact")
        pipeline.until("final ranges are copied", lambda: pipeline.compacted() == ["0-9", "10-19"])
        rows, _ = pipeline.cold("blocks")
        assert [row["block_number"] for row in rows] == list(range(20))
        assert pipeline.sql("select * from relocations") == []
        assert pipeline.sql("select * from outbox where kind = 'delete_hot_rows'") == []
