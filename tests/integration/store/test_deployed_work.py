"""What a deploy does to the work of jobs that leave their DAG, come back to it, or are new in it."""

from __future__ import annotations

from typing import Any

import pytest

from tests import graphs
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Rows

pytestmark = pytest.mark.services


def _event(rows: Rows, job: str, output: str, number: int) -> None:
    """An accepted event of a dataset's version, as the dispatcher stores it."""
    partition = job == "ranges"
    rows(
        "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value, partition_key,"
        " range_start, range_end) SELECT gen_random_uuid(), v.org_id, v.dataset_id, v.id, %s, %s, %s, %s, %s"
        " FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id WHERE d.job = %s AND d.output = %s",
        *(
            ("Partition", number, f"{number - 19}-{number}", number - 19, number)
            if partition
            else ("Cursor", number)
        ),
        *(() if partition else (None, None, None)),
        *(job, output),
    )


def _task(rows: Rows, job: str, key: str, **columns: Any) -> None:
    """A task of a job, in a state of its life."""
    values: dict[str, Any] = {"dedupe_key": key, "cause": "Event", "scope": "{}", **columns}
    if values.get("status") == "Running":
        values |= {"attempt": 1, "lease_epoch": 1, "worker_id": "w"}
        values |= dict.fromkeys(("lease_token", "claim_id"), "00000000-0000-7000-8000-000000000009")
        values |= dict.fromkeys(("lease_expires_at", "started_at"), "now")
    names = ", ".join(values)
    rows(
        f"INSERT INTO tasks (org_id, namespace, job_id, {names})"
        f" SELECT org_id, namespace, id, {', '.join(['%s'] * len(values))} FROM jobs WHERE name = %s",
        *values.values(),
        job,
    )


def _tasks(rows: Rows, job: str) -> list[tuple[Any, ...]]:
    return rows(
        "SELECT t.dedupe_key, t.status, t.cancel_requested FROM tasks t JOIN jobs j ON j.id = t.job_id"
        " WHERE j.name = %s ORDER BY t.dedupe_key",
        job,
    )


async def test_work_of_a_removed_job_is_canceled_and_comes_back_with_it(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    _event(rows, "ranges", "ranges", 19)
    ((first,),) = rows("SELECT id FROM events")
    _task(rows, "compact", f"event:{first}")
    _task(rows, "compact", "retrying", status="Failed", next_retry_at="now")
    _task(rows, "compact", "running", status="Running")
    _task(rows, "compact", "done", status="Completed", finished_at="now")

    await deploy(graphs.assembled(graphs.without(graphs.chain(), "compact")), generation=2)
    assert _tasks(rows, "compact") == [
        ("done", "Completed", False),
        (f"event:{first}", "Canceled", False),
        ("retrying", "Canceled", False),
        ("running", "Running", True),
    ]
    assert rows("SELECT asset FROM asset_publications") == [("hot-blocks",)]
    assert _tasks(rows, "follow") == [("source", "Queued", False)]

    _event(rows, "ranges", "ranges", 39)
    await deploy(graphs.assembled(graphs.chain()), generation=3)
    ((missed,),) = rows("SELECT id FROM events WHERE cursor_value = 39")
    assert {key: (status, asked) for key, status, asked in _tasks(rows, "compact")} == {
        "done": ("Completed", False),
        f"event:{first}": ("Queued", False),
        f"event:{missed}": ("Queued", False),
        "retrying": ("Canceled", False),
        "running": ("Running", False),
    }
    assert rows("SELECT scope, range_start, range_end FROM tasks WHERE dedupe_key = %s", f"event:{missed}") == [
        ({"kind": "partition", "key": "20-39", "start": 20, "end": 39}, 20, 39)
    ]


async def test_a_cursor_consumer_that_comes_back_gets_the_newest_event_alone(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    fewer = graphs.without(graphs.without(graphs.chain(), "compact"), "ranges")
    await deploy(graphs.assembled(fewer), generation=2)
    for number in (5, 9, 7):
        _event(rows, "follow", "blocks", number)
    await deploy(graphs.assembled(graphs.chain()), generation=3)
    assert rows("SELECT scope FROM tasks t JOIN jobs j ON j.id = t.job_id WHERE j.name = 'ranges'") == [
        ({"kind": "cursor", "cursor": 9},)
    ]


async def test_a_job_that_is_new_catches_up_on_events_older_than_itself(deploy: Deploy, rows: Rows):
    manifest = graphs.chain()
    await deploy(graphs.assembled(manifest))
    for number in (5, 9):
        _event(rows, "follow", "blocks", number)
    rows("UPDATE dag_current_versions SET deleted_at = now()")
    # It comes back with the follower's generation and its events, and with another job that reads them.
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 40
    await deploy(graphs.assembled(manifest), uid="uid-2")
    assert rows(
        "SELECT j.definition -> 'config' -> 'rangeSize', scope FROM tasks t JOIN jobs j ON j.id = t.job_id"
        " WHERE j.name = 'ranges'"
    ) == [(40, {"kind": "cursor", "cursor": 9})]
