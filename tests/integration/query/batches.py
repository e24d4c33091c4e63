"""Batch queries as tests submit them, wait for them, and change them behind the service's back."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import httpx
import psycopg

from tests.integration.query.callers import ask
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from traceplane.query.attach.batch_queries import BatchQueries

NO_SLOT = {"query_batch_concurrency": 0}
"""What is submitted waits."""


def submit(client: Client, sql: str, **body: Any) -> str:
    """The id of a query that waits now."""
    answer = client.post(sql, mode="batch", **body)
    assert answer.status_code == 202, answer.text
    assert answer.headers["location"] == f"/v1/queries/{answer.json()['id']}"
    assert answer.json()["state"] == "Queued"
    return str(answer.json()["id"])


def ended(client: Client, query: str) -> httpx.Response:
    """What the service says when the query has ended."""
    for _ in range(6):
        answer = ask(client, "GET", query, wait=20)
        if answer.status_code != 202:
            return answer
    raise AssertionError(answer.text)


def row(world: World, query: str) -> dict[str, Any]:
    with psycopg.connect(world.databases.data_dsn, row_factory=psycopg.rows.dict_row) as connection:
        found = connection.execute("SELECT * FROM trace.query_batches WHERE id = %s", (query,)).fetchone()
    assert found is not None
    return found


def change(world: World, assignments: str, query: str) -> None:
    with psycopg.connect(world.databases.data_dsn) as connection:
        connection.execute(f"UPDATE trace.query_batches SET {assignments} WHERE id = %s", (query,))  # type: ignore[arg-type]


def results(world: World) -> int:
    with psycopg.connect(world.databases.data_dsn) as connection:
        found = connection.execute("SELECT count(*) FROM trace.query_results").fetchone()
    assert found is not None
    return int(found[0])


def wake(world: World, payload: str = "") -> None:
    """What a change by another process tells."""
    with psycopg.connect(world.databases.data_dsn) as connection:
        connection.execute("SELECT pg_notify('trace_query_batches', %s)", (payload,))


def in_queue(client: Client, call: Callable[[BatchQueries], Any]) -> Any:
    with client.service.databases.batch_queries() as found:
        return call(found)
