"""`range_splitter` in the dispatcher's own runtime: one event of each chunk, whatever became of an attempt."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import pytest
import yaml

from operators.range_splitter import run as splitting
from tests.integration.dispatch.conftest import Feed
from tests.services import ROOT
from traceplane.dispatch.accept import Unpacked
from traceplane.dispatch.dispatcher import Dispatcher

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
CHUNKS = 2_500
"""More than two reports, besides those of the completion."""


@pytest.fixture
async def partition(dispatcher: Dispatcher, deploy: Callable[..., Any], sql: Sql) -> None:
    """The example DAG with chunks of one block, and an event of a range."""
    manifest = yaml.safe_load((ROOT / "operators" / "range_splitter" / "example.yaml").read_text())
    manifest["metadata"] |= {"namespace": "default", "uid": "uid-1"}
    manifest["spec"]["jobs"][2]["config"]["chunkSize"] = 1
    version = Feed(dispatcher, await deploy(manifest), sql).version("ranges", "ranges")
    part = {"key": f"7-{CHUNKS + 6}", "start": 7, "end": CHUNKS + 6}
    await dispatcher.acceptance.relay(Unpacked([{"id": str(uuid4()), "version": str(version), **part}], [], []))


async def test_an_attempt_that_failed_after_its_reports_fires_no_chunk_twice(
    partition: None, dispatcher: Dispatcher, sql: Sql, loop_of: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def crash(**_result: Any) -> None:
        raise RuntimeError("after the reports, before the completion")

    with monkeypatch.context() as patched:
        patched.setattr(splitting, "Result", crash)
        assert await loop_of("local")() == 1
        await dispatcher.local.idle()
    fired = "SELECT count(*) AS n FROM events e JOIN datasets d ON d.id = e.dataset_id WHERE d.output = 'chunks'"
    assert sql(fired) == [{"n": 2_000}]
    sql("UPDATE tasks SET next_retry_at = now() WHERE status = 'Failed'")
    await loop_of("retry")()
    assert await loop_of("local")() == 1
    await dispatcher.local.idle()
    assert sql("SELECT status, attempt FROM tasks WHERE scope ->> 'kind' = 'partition'") == [
        {"status": "Completed", "attempt": 2}
    ]
    keys = sql(
        'SELECT e.range_start AS start, e.range_end AS "end" FROM events e JOIN datasets d ON d.id = e.dataset_id'
        " WHERE d.output = 'chunks' ORDER BY 1"
    )
    assert keys == [{"start": block, "end": block} for block in range(7, CHUNKS + 7)]
