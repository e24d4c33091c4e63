"""A commit is what the worker says it is, in its own place, or it is refused and nothing is accepted of it."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import msgspec
import pytest

from tests.integration.dispatch.callers import Caller, written_commit
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch import verify
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane_sdk import wire

pytestmark = pytest.mark.services

OTHER = {"key": "20-39", "start": 20, "end": 39}
BACKWARD = {"key": "19-0", "start": 19, "end": 0}
NAMED = {"key": "first", "start": 0, "end": 19}
FILE = {"path": "blocks_0_19.parquet", "rows": 20, "bytes": 35, "sha256": "0" * 64}
"""What `written_commit` writes, but for the sum."""


@pytest.fixture
async def lease(caller: Caller, jobs: dict[str, UUID], feed: Feed) -> wire.ClaimedTask:
    """A task of `compact`, whose range is 0 to 19."""
    await feed.partitions(1)
    (claimed,) = await caller.claim(jobs["compact"])
    return claimed


@pytest.fixture
def verified(dispatcher: Dispatcher, lease: wire.ClaimedTask) -> Callable[..., Any]:
    """Writes a commit of another attempt of the task, whose range is `scope`, and verifies it.

    `manifest` changes what is written, `said` what is said of it, `output` what the job declares; `own` is the
    range that the dispatcher gave the task.
    """
    (declared,) = (msgspec.to_builtins(one) for one in lease.task.outputs)

    async def verify_commit(
        scope: dict[str, Any] = lease.task.scope,
        own: tuple[int | None, int | None] = (0, 19),
        output: dict[str, Any] | None = None,
        manifest: dict[str, Any] | None = None,
        said: dict[str, Any] | None = None,
    ) -> list[dict[str, object]]:
        task = msgspec.structs.replace(lease.task, task_id=str(uuid4()), scope=scope)
        claimed = msgspec.structs.replace(lease, task=task)
        commit = await written_commit(dispatcher.objects, dispatcher.settings, claimed, **(manifest or {}))
        return await verify.commit(
            dispatcher.objects,
            committed=msgspec.convert(commit | (said or {}), wire.CommittedOutput),
            output=declared | (output or {}),
            task_id=task.task_id,
            attempt=claimed.attempt,
            scope=own,
        )

    return verify_commit


WRONG: dict[str, tuple[dict[str, Any], str]] = {
    "an output that is a table": ({"output": {"storage": "Postgres"}}, "lives in Postgres"),
    "a key that is not the range": ({"scope": NAMED}, "the key of a range is start-end"),
    "a range that ends before it starts": ({"scope": BACKWARD, "own": (None, None)}, "the key of a range is"),
    "another range than the task's": ({"scope": OTHER}, "the task's own is 0-19"),
    "the place of another dataset": ({"output": {"location": "s3://bucket/other/"}}, "this attempt writes below"),
    "another manifest than is said": ({"said": {"manifest_sha256": "0" * 64}}, "do not agree"),
    "a manifest of another dataset": ({"manifest": {"dataset": str(uuid4())}}, "is of another format"),
    "a manifest of another version": ({"manifest": {"version": str(uuid4())}}, "is of another format"),
    "a manifest of another attempt": ({"manifest": {"attempt": 9}}, "is of another format"),
    "rows that do not add up": ({"manifest": {"rows": 21}}, "do not add up"),
    "bytes that do not add up": ({"said": {"bytes": 36}}, "do not add up"),
    "a file that is named twice": ({"manifest": {"files": [FILE] * 2, "rows": 40, "bytes": 70}}, "a file twice"),
    "other columns": ({"manifest": {"columns": []}}, "columns differ"),
    "a file that is not there": ({"manifest": {"files": [{**FILE, "path": "x.parquet"}]}}, "missing, or not of 35"),
    "a file of another size": ({"manifest": {"files": [{**FILE, "bytes": 36}], "bytes": 36}}, "or not of 36 bytes"),
    "a manifest that is none": ({"manifest": {"files": 1}}, "_manifest.json: Expected"),
}


async def test_a_commit_is_refused_that_is_not_what_is_said_of_it(verified: Callable[..., Any]):
    assert [file["rows"] for file in await verified()] == [20]
    for wrong, (changes, message) in WRONG.items():
        with pytest.raises(verify.BadCommit) as refused:
            await verified(**changes)
        assert message in str(refused.value), wrong


async def test_a_completion_with_a_wrong_commit_changes_nothing(
    dispatcher: Dispatcher, lease: wire.ClaimedTask, caller: Caller, sql: Callable[..., list[dict[str, Any]]]
):
    output = await written_commit(dispatcher.objects, dispatcher.settings, lease, rows=21)
    answer = await caller.complete(lease, outputs=[output])
    assert (answer.status_code, answer.json()["code"]) == (400, "BadCommit")
    assert not sql("SELECT id FROM partition_versions")
    assert [row["status"] for row in sql("SELECT status FROM tasks WHERE attempt > 0")] == ["Running"]
