"""What a source reports with its heartbeat: kept behind the fence, shown while it runs, news where it is some."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import services
from tests.integration.dispatch.callers import Caller, fence_of
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.store.statements import browse_dags, controller_facts
from traceplane.store.statements.pointers import DagKey
from traceplane_sdk import wire

pytestmark = pytest.mark.services
Sql = Callable[..., list[dict[str, Any]]]
Shown = Callable[[], Awaitable[Any]]

FINE = {"healthy": True, "message": "following", "position": 7, "head": 9}
LOST = {"healthy": False, "message": "provider 0: HTTP 401: not authorised", "position": 7, "head": None}


@pytest.fixture
async def source(caller: Caller, jobs: dict[str, UUID]) -> wire.ClaimedTask:
    """The follower's lease."""
    (lease,) = await caller.claim(jobs["follow"])
    return lease


@pytest.fixture
def shown(dispatcher: Dispatcher) -> Shown:
    """The report that the controller sees of the source."""

    async def look() -> Any:
        async with dispatcher.state.transaction() as conn:
            facts = await controller_facts.dag_facts(conn, DagKey(services.ORG_ID, "demo", "chain"))
        assert facts is not None
        return {job.name: job.report for job in facts.jobs}["follow"]

    return look


async def test_the_newest_report_shows_until_the_next(caller: Caller, source: wire.ClaimedTask, shown: Shown):
    assert await shown() is None
    await caller.heartbeat(source, **LOST)
    assert await shown() == LOST
    await caller.heartbeat(source)
    assert await shown() == LOST, "a heartbeat without one says that nothing changed"
    await caller.heartbeat(source, **FINE)
    assert await shown() == FINE


async def test_a_report_extends_the_lease_as_any_heartbeat_does(caller: Caller, source: wire.ClaimedTask, sql: Sql):
    sql(
        "UPDATE tasks SET heartbeat_at = heartbeat_at - interval '1 h',"
        " lease_expires_at = lease_expires_at - interval '1 h'"
    )
    state = await caller.heartbeat(source, **LOST)
    assert state.lease_expires_at is not None
    assert sql("SELECT lease_expires_at > now() AS held FROM tasks WHERE status = 'Running'") == [{"held": True}]


async def test_a_report_expires_with_its_lease(caller: Caller, source: wire.ClaimedTask, sql: Sql, shown: Shown):
    await caller.heartbeat(source, **LOST)
    sql("UPDATE tasks SET lease_expires_at = now() WHERE status = 'Running'")
    assert await shown() is None


async def test_the_next_attempt_begins_without_a_report(
    caller: Caller, source: wire.ClaimedTask, jobs: dict[str, UUID], shown: Shown, sql: Sql
):
    await caller.heartbeat(source, **LOST)
    await caller.complete(source, "Released")
    assert await shown() is None
    await caller.claim(jobs["follow"])
    assert await shown() is None
    assert sql("SELECT report FROM tasks WHERE status = 'Running'") == [{"report": None}]


async def test_a_stale_report_changes_nothing(
    caller: Caller, source: wire.ClaimedTask, jobs: dict[str, UUID], shown: Shown
):
    await caller.complete(source, "Released")
    (current,) = await caller.claim(jobs["follow"])
    await caller.heartbeat(current, **FINE)
    assert (await caller.heartbeat(source, **LOST)).lease_expires_at is None
    assert await shown() == FINE


async def test_only_another_health_or_another_trouble_wakes_the_controller(
    caller: Caller, source: wire.ClaimedTask, dispatcher: Dispatcher, jobs: dict[str, UUID]
):
    said: list[tuple[dict[str, Any], bool]] = [
        (FINE, True),
        ({**FINE, "position": 8}, False),
        ({**FINE, "message": "at the head"}, False),
        (LOST, True),
        ({**LOST, "position": 8}, False),
        ({**LOST, "message": "provider 0: HTTP 500"}, True),
        (FINE, True),
    ]
    with psycopg.connect(dispatcher.settings.state_dsn, autocommit=True) as listener:
        listener.execute("LISTEN trace_wake")
        for report, is_news in said:
            await caller.heartbeat(source, **report)
            await dispatcher.wakeups.close()
            listener.execute("SELECT pg_notify('trace_wake', 'end')")
            payloads = []
            for notice in listener.notifies(timeout=60):
                if notice.payload == "end":
                    break
                payloads.append(notice.payload)
            assert payloads == ([str(jobs["follow"])] if is_news else []), report


async def test_users_see_what_a_running_source_says(
    caller: Caller, source: wire.ClaimedTask, dispatcher: Dispatcher
):
    async def reports() -> list[Any]:
        page: dict[str, Any] = {"job": "follow", "status": None, "before": None, "limit": 9}
        async with dispatcher.state.autocommit() as conn:
            found = await browse_dags.tasks(conn, services.ORG_ID, namespace="demo", dag="chain", **page)
        return [task["report"] for task in found]

    await caller.heartbeat(source, **LOST)
    assert await reports() == [LOST]
    await caller.complete(source, "Released")
    assert await reports() == [None]


@pytest.mark.parametrize(
    "report",
    [
        {"healthy": True},
        {"healthy": True, "message": "x" * 1025},
        {"healthy": "yes", "message": ""},
        {"healthy": True, "message": "", "position": 2**63},
        {"healthy": True, "message": "zero \x00 byte"},
        {"healthy": True, "message": "", "more": 1},
    ],
)
async def test_a_report_out_of_bounds_is_refused(
    caller: Caller, source: wire.ClaimedTask, shown: Shown, report: dict[str, Any]
):
    body = {"leases": [{**fence_of(source), "report": report}]}
    answer = await caller.task_call("heartbeat", source.capability_token, body)
    assert answer.status_code == 400, answer.text
    assert await shown() is None
