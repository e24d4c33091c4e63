"""What served its purpose leaves after its time; what still says something stays."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import pytest

from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.conftest import Feed

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
A_MONTH = "interval '31 days'"


async def consumed(caller: Caller, job: UUID) -> None:
    """Run the one task that a PerUpdate job has."""
    (claimed,) = await caller.claim(job)
    assert (await caller.complete(claimed)).status_code == 200


def count(sql: Sql, table: str, where: str = "true") -> int:
    return int(sql(f"SELECT count(*) AS n FROM {table} WHERE {where}")[0]["n"])


async def test_old_events_leave_with_the_finished_tasks_they_caused(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    for value in (10, 20, 30):
        await feed.cursor(value)
        await consumed(caller, jobs["ranges"])
    mine = f"job_id = '{jobs['ranges']}'"
    await loop_of("janitor")()
    assert count(sql, "tasks", mine) == 3, "nothing is old yet"
    sql(f"UPDATE events SET created_at = created_at - {A_MONTH}")
    await loop_of("janitor")()
    assert [row["cursor_value"] for row in sql("SELECT cursor_value FROM events")] == [30]
    assert count(sql, "tasks", mine) == 1
    assert count(sql, "task_attempts") == 1


async def test_what_waits_failed_for_good_or_stands_for_a_partition_stays(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    await feed.cursor(10)
    (claimed,) = await caller.claim(jobs["ranges"])
    error = {"code": "Broken", "message": "for good", "retryable": False}
    assert (await caller.complete(claimed, "Failed", error=error)).status_code == 200
    await feed.cursor(20)
    await feed.partitions(1)
    await feed.cursor(30)
    sql(f"UPDATE events SET created_at = created_at - {A_MONTH}")
    await loop_of("janitor")()
    kept = sql("SELECT cursor_value, partition_key FROM events ORDER BY cursor_value")
    assert [(row["cursor_value"], row["partition_key"]) for row in kept] == [(19, "0-19"), (20, None), (30, None)]
    assert count(sql, "tasks", "status = 'Failed'") == 1
    assert count(sql, "tasks", f"status = 'Queued' AND job_id = '{jobs['ranges']}'") == 2


async def test_effects_leave_the_outbox_after_a_week_and_failed_ones_never(
    jobs: dict[str, UUID], sql: Sql, loop_of: Callable[[str], Callable[[], Any]]
) -> None:
    done = count(sql, "outbox", "status = 'Done'")
    assert done > 1
    sql("UPDATE outbox SET status = 'Failed' WHERE id = (SELECT min(id) FROM outbox)")
    await loop_of("janitor")()
    assert count(sql, "outbox") == done
    sql("UPDATE outbox SET finished_at = finished_at - interval '8 days'")
    await loop_of("janitor")()
    assert sql("SELECT DISTINCT status FROM outbox") == [{"status": "Failed"}]
