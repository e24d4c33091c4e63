"""Results of queries, their files and accesses to personal data leave when their time is over."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from uuid import uuid4

import psycopg
import pytest

from tests import services
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.loops.query_results import QueryResults
from traceplane.drivers.objects import StoredObject

pytestmark = pytest.mark.services

MONTH = timedelta(days=31)


@dataclass
class Aged:
    """The real object store, but the named keys are as old as a test wants them."""

    real: object
    ages: dict[str, timedelta] = field(default_factory=dict)

    def __getattr__(self, name: str) -> object:
        return getattr(self.real, name)

    async def head(self, key: str) -> StoredObject | None:
        found = await self.real.head(key)  # type: ignore[attr-defined]
        return found and self._aged(found)

    async def list(self, prefix: str, *, limit: int) -> list[StoredObject]:
        return [self._aged(found) for found in await self.real.list(prefix, limit=limit)]  # type: ignore[attr-defined]

    def _aged(self, found: StoredObject) -> StoredObject:
        then = datetime.now(UTC) - self.ages.get(found.key, timedelta())
        return StoredObject(found.key, found.size, then)


@pytest.fixture
def result(databases: services.Databases, bucket: str) -> Callable[..., None]:
    """Writes a result down, `age` ago, with or without an exported file."""

    def write(age: timedelta, key: str | None = None) -> None:
        with psycopg.connect(databases.data_dsn) as connection:
            connection.execute(
                "INSERT INTO trace.query_results (id, org_id, user_id, sql_sha256, format, rows, truncated, bytes,"
                " bytes_scanned, duration_ms, columns, versions, output_location, output_sha256, created_at)"
                " VALUES (%s, %s, %s, %s, 'json', 1, false, 1, 1, 1, '[]', '[]', %s, %s, now() - %s)",
                (
                    *(uuid4(), services.ORG_ID, uuid4(), "0" * 64),
                    *((f"s3://{bucket}/{key}", "x") if key else (None, None)),
                    age,
                ),
            )

    return write


def rows(databases: services.Databases, table: str = "query_results") -> int:
    with psycopg.connect(databases.data_dsn) as connection:
        found = connection.execute(f"SELECT count(*) FROM trace.{table}").fetchone()
    assert found is not None
    return int(found[0])


async def test_old_results_leave_with_their_files(
    dispatcher: Dispatcher,
    databases: services.Databases,
    object_store: services.ObjectStore,
    bucket: str,
    result: Callable[..., None],
) -> None:
    org = services.ORG_ID
    old, again, shared, young, half = (f"exports/{org}/{name}" for name in ("a", "b", "c", "d", "incoming/e"))
    for key in (old, again, shared, young, half):
        object_store.client().put_object(Bucket=bucket, Key=key, Body=b"x")
    result(MONTH)
    result(timedelta())
    for age, key in ((MONTH, old), (MONTH, again), (MONTH, shared), (timedelta(), shared), (timedelta(), young)):
        result(age, key)
    aged = Aged(dispatcher.objects, dict.fromkeys((old, shared, half), MONTH))
    await QueryResults(dispatcher.data, aged, dispatcher.settings).run_once()  # type: ignore[arg-type]
    assert sorted(object_store.keys(bucket, "exports/")) == sorted([again, shared, young])
    assert rows(databases) == 4, "the young ones, and the old one whose file was written again"


async def test_batch_queries_that_ended_long_ago_leave(
    dispatcher: Dispatcher, databases: services.Databases
) -> None:
    with psycopg.connect(databases.data_dsn) as connection:
        for state, days in (("Succeeded", 31), ("Canceled", 1), ("Queued", None)):
            connection.execute(
                "INSERT INTO trace.query_batches (id, org_id, user_id, sql, sql_sha256, namespace, overflow,"
                " seconds, state, created_at, ended_at) VALUES (%s, %s, %s, %s, %s, 'n', 'export', 1, %s,"
                " now() - interval '60 days', now() - make_interval(days => %s))",
                (uuid4(), services.ORG_ID, uuid4(), None if days else "SELECT 1", "0" * 64, state, days),
            )
    await next(loop for loop in dispatcher.loops() if loop.name == "results").run_once()
    assert rows(databases, "query_batches") == 2


async def test_accesses_to_personal_data_stay_much_longer(
    dispatcher: Dispatcher, databases: services.Databases
) -> None:
    with psycopg.connect(databases.data_dsn) as connection:
        for days in (0, 31, 729, 731):
            connection.execute(
                "INSERT INTO trace.pii_access_log (id, org_id, user_id, query_id, sql_sha256, namespace, relation,"
                " dataset_version_ids, pii_columns, accessed_at)"
                " VALUES (%s, %s, %s, %s, %s, 'n', 'r', '{}', '{}', now() - make_interval(days => %s))",
                (uuid4(), services.ORG_ID, uuid4(), uuid4(), "0" * 64, days),
            )
    await next(loop for loop in dispatcher.loops() if loop.name == "results").run_once()
    assert rows(databases, "pii_access_log") == 3
