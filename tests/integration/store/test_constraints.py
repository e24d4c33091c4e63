"""The database itself refuses rows that no right code could write: the last guard of the state machine."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg import errors

from tests import graphs, services
from tests.integration.store.conftest import Deploy

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]

LEASE = {
    "attempt": 1,
    "started_at": "now",
    "lease_token": "00000000-0000-7000-8000-000000000001",
    "claim_id": "00000000-0000-7000-8000-000000000002",
    "worker_id": "w",
    "lease_epoch": 1,
    "lease_expires_at": "now",
}

LEGAL: dict[str, dict[str, Any]] = {
    "queued": {"status": "Queued"},
    "queued again": {"status": "Queued", "attempt": 2, "error": "{}"},
    "running": {"status": "Running", **LEASE},
    "completed, lease kept for repeats": {"status": "Completed", "finished_at": "now", **LEASE},
    "failed, to be retried": {"status": "Failed", "next_retry_at": "now", **LEASE},
    "failed for good": {"status": "Failed", "finished_at": "now", **LEASE},
    "canceled before it ran": {"status": "Canceled", "finished_at": "now"},
    "with a range": {"range_start": 0, "range_end": 0},
}

ILLEGAL: dict[str, tuple[dict[str, Any], str]] = {
    **{
        f"running without {column}": (
            {"status": "Running", **LEASE, column: 0 if column == "attempt" else None},
            "tasks_running_is_leased_check",
        )
        for column in LEASE
    },
    **{
        f"queued with {column}": ({"status": "Queued", column: LEASE[column]}, "tasks_queued_is_free_check")
        for column in ("lease_token", "claim_id", "worker_id", "lease_epoch", "lease_expires_at")
    },
    "queued and finished": ({"status": "Queued", "finished_at": "now"}, "tasks_queued_is_free_check"),
    "completed without an end": ({"status": "Completed"}, "tasks_terminal_has_end_check"),
    "canceled without an end": ({"status": "Canceled"}, "tasks_terminal_has_end_check"),
    "failed, neither retry nor end": ({"status": "Failed"}, "tasks_failed_retries_or_ends_check"),
    "failed, both retry and end": (
        {"status": "Failed", "finished_at": "now", "next_retry_at": "now"},
        "tasks_failed_retries_or_ends_check",
    ),
    "running with a retry": ({"status": "Running", **LEASE, "next_retry_at": "now"}, "tasks_retry_of_failed_check"),
    "of an unknown status": ({"status": "Paused"}, "tasks_status_check"),
    "of an unknown cause": ({"cause": "Whim"}, "tasks_cause_check"),
    "with a negative attempt": ({"attempt": -1}, "tasks_attempt_check"),
    "with half a range": ({"range_start": 1}, "tasks_range_check"),
    "with a range backwards": ({"range_start": 2, "range_end": 1}, "tasks_range_check"),
    "with an unknown priority": ({"priority": 2}, "tasks_priority_check"),
}


@pytest.fixture
async def insert(deploy: Deploy, databases: services.Databases) -> Callable[..., None]:
    """Inserts a task of a real generation."""
    await deploy(graphs.assembled(graphs.chain()))

    def run(columns: dict[str, Any], key: str = "key") -> None:
        values = {"dedupe_key": key, "cause": "Event", "scope": "{}", **columns}
        with psycopg.connect(databases.state_dsn) as connection:
            connection.execute(
                f"INSERT INTO tasks (org_id, namespace, job_id, {', '.join(values)})"
                f" SELECT org_id, namespace, id, {', '.join(['%s'] * len(values))} FROM jobs WHERE name = 'ranges'",
                list(values.values()),
            )

    return run


async def test_every_state_of_a_tasks_life_is_accepted(insert: Callable[..., None], rows: Rows):
    for name, columns in LEGAL.items():
        insert(columns, key=name)
    assert rows("SELECT count(*) FROM tasks WHERE cause = 'Event'") == [(len(LEGAL),)]


async def test_no_other_state_is(insert: Callable[..., None]):
    for name, (columns, constraint) in ILLEGAL.items():
        with pytest.raises(errors.CheckViolation) as refused:
            insert(columns, key=name)
        assert refused.value.diag.constraint_name == constraint, name


async def test_one_cause_makes_one_task(insert: Callable[..., None]):
    insert({}, key="event:1")
    with pytest.raises(errors.UniqueViolation):
        insert({}, key="event:1")


PARTITION = (
    "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start, range_end,"
    " location, files, rows, bytes, manifest_sha256, task_id, attempt, superseded_at)"
    " SELECT org_id, dataset_id, id, '0-9', 0, 9, location, '[]', 1, 1, '', gen_random_uuid(), 1, %s"
    " FROM dataset_versions WHERE storage = 'S3'"
)


async def test_a_partition_has_one_current_version_and_any_number_before(deploy: Deploy, rows: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    for superseded in ("now", "now", None):
        rows(PARTITION, superseded)
    with pytest.raises(errors.UniqueViolation):
        rows(PARTITION, None)


@pytest.mark.parametrize(
    ("statement", "constraint"),
    [
        (
            "UPDATE outbox SET status = 'Done'",
            "outbox_end_check",
        ),
        (
            "UPDATE jobs SET execution_strategy = NULL WHERE activation = 'Reactive'",
            "jobs_strategy_of_reactive_check",
        ),
        (
            "UPDATE dag_version_jobs SET min_workers = max_workers + 1",
            "dag_version_jobs_workers_check",
        ),
        (
            "INSERT INTO assets (org_id, namespace, name, storage, description, policy, resource_uid)"
            " SELECT id, 'demo', 'a', 'Federated', '', '{}', 'u' FROM orgs",
            "assets_federation_check",
        ),
        (
            "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind)"
            " SELECT id, org_id, dataset_id, id, 'Cursor' FROM dataset_versions",
            "events_scope_check",
        ),
    ],
)
async def test_other_tables_refuse_contradictions(deploy: Deploy, rows: Rows, statement: str, constraint: str):
    await deploy(graphs.assembled(graphs.chain()))
    with pytest.raises(errors.CheckViolation) as refused:
        rows(statement)
    assert refused.value.diag.constraint_name == constraint
