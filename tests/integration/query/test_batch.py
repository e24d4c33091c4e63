"""Batch queries as their users see them: submitted, refused, answered, and what they are told of a failure."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest

from tests.integration.query.batches import NO_SLOT, change, ended, in_queue, row, submit, wake
from tests.integration.query.callers import ENDLESS, ask, fetched, reader
from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.query.attach.batch_queries import BatchQueries
from traceplane.query.broker.failures import without_statement

pytestmark = pytest.mark.services

SQL = "SELECT block_number FROM hot_blocks ORDER BY 1"


def test_a_batch_query_is_submitted_run_and_its_answer_fetched(blocks: World, client: Client) -> None:
    query = submit(client, SQL)
    answer = ended(client, query)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["id"], said["row_count"], said["truncated"], said["format"]) == (query, 25_000, False, "parquet")
    assert fetched(said["output"])["block_number"].to_pylist() == list(range(25_000))
    kept = row(blocks, query)
    assert (kept["state"], kept["attempt"], kept["sql"], kept["runner"]) == ("Succeeded", 1, None, None)
    again = client.post("SELECT count(*) FROM hot_blocks", as_of=said["as_of"])
    assert again.json()["rows"] == [[25_000]]


def test_a_small_answer_is_a_file_too(client: Client) -> None:
    said = ended(client, submit(client, "SELECT 42 AS answer, 'x' AS word")).json()
    assert fetched(said["output"]).to_pylist() == [{"answer": 42, "word": "x"}]
    assert fetched(ended(client, submit(client, "SELECT 1 AS n WHERE false")).json()["output"]).num_rows == 0


def test_a_batch_query_has_a_memory_of_its_own(start_service: Callable[..., Client]) -> None:
    client = start_service(query_memory_mb=96, query_batch_memory_mb=768)
    hungry = "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 20) || range FROM range(3000000))"
    assert client.refused(hungry)[0] == 422
    assert fetched(ended(client, submit(client, hungry)).json()["output"]).to_pydict() == {
        "count_star()": [3_000_000]
    }


def test_an_answer_may_be_cut_to_its_first_rows(blocks: World, client: Client) -> None:
    said = ended(client, submit(client, SQL, overflow="truncate")).json()
    assert (fetched(said["output"]).num_rows, said["truncated"]) == (10_000, True)


@pytest.mark.parametrize(
    ("sql", "body", "refusal"),
    [
        ("DROP TABLE x", {}, (400, "NotASelect")),
        ("FROM nowhere", {}, (404, "RelationNotFound")),
        ("SELECT 1", {"timeout_seconds": 3601}, (400, "BadRequest")),
        ("SELECT 1", {"as_of": "x"}, (400, "BadRequest")),
        ("SELECT 1", {"mode": "later"}, (400, "InvalidRequest")),
    ],
)
def test_what_can_be_refused_is_refused_when_it_is_submitted(
    sql: str, body: dict[str, Any], refusal: tuple[int, str], client: Client
) -> None:
    status, code = client.refused(sql, **{"mode": "batch", **body})
    assert status == refusal[0]
    assert code == refusal[1] or status == 400
    assert in_queue(client, BatchQueries.count_open) == 0


def test_a_failure_is_reported_as_that_of_an_interactive_query_but_for_the_statement(client: Client) -> None:
    failing = {ENDLESS: (5, 408), "SELECT lower(1, 2)": (30, 400), "SELECT union_value(a := 1) AS u": (30, 422)}
    for sql, (seconds, status) in failing.items():
        now = client.post(sql, timeout_seconds=seconds, format="parquet")
        later = ended(client, submit(client, sql, timeout_seconds=seconds))
        assert (now.status_code, later.status_code) == (status, status)
        said = now.json()
        assert later.json() == said | {"detail": without_statement(said["detail"])}
    assert client.rows("SELECT 1") == [[1]]


@pytest.mark.parametrize(
    ("sql", "status", "told"),
    [
        ("SELECT CAST(hash AS INTEGER) AS mine FROM hot_blocks", 422, "ConversionException"),
        ("SELECT error(hash) AS mine FROM hot_blocks", 422, "InvalidInputException"),
        ("SELECT nothing, 'mine' FROM cold_blocks", 400, 'Referenced column "nothing" not found'),
        ("SELECT lower(hash, 'mine') FROM cold_blocks", 400, "No function matches"),
    ],
)
def test_what_is_kept_of_a_failure_quotes_neither_row_nor_statement(
    sql: str, status: int, told: str, world: World, client: Client
) -> None:
    """It stays for as long as results do, and the statement is gone when the query ends."""
    hot, cold = world.federated()
    world.follow(hot, 0, 0)
    world.compact(hot, cold, 0, 0)
    now = client.post(sql)
    assert now.status_code == status
    assert block_hash(0) in now.text or "mine" in now.text, "who waits is told more"
    answer = ended(client, query := submit(client, sql))
    assert (answer.status_code, answer.json()["code"]) == (status, now.json()["code"])
    assert told in answer.json()["detail"]
    kept = str(row(world, query))
    assert told in kept
    assert not [quoted for quoted in (block_hash(0), "mine", "SELECT") if quoted in kept]


def test_a_query_is_its_users_own(world: World, oidc: Issuer, client: Client) -> None:
    query = submit(client, "SELECT 1")
    bob = reader(world, oidc, client, "bob")
    for method in ("GET", "DELETE"):
        assert ask(bob, method, query).status_code == 404
        assert ask(bob, method, str(uuid4())).status_code == 404
    assert ended(client, query).status_code == 200


@pytest.mark.parametrize("wait", ["-1", "21", "soon", "nan"])
def test_waiting_is_bounded(wait: str, client: Client) -> None:
    answer = ask(client, "GET", str(uuid4()), wait=wait)
    assert (answer.status_code, answer.json()["code"]) == (400, "BadRequest")


def test_a_task_waits_for_its_answer(client: Client) -> None:
    fence = {"task_id": str(uuid4()), "attempt": 1, "lease_token": str(uuid4())}
    answer = httpx.post(
        f"{client.url}/v1/task/query", json={"sql": "SELECT 1", "mode": "batch", "fence": fence}, timeout=60
    )
    assert answer.status_code in (400, 401)


def test_roles_are_those_at_the_time_it_runs(
    blocks: World, oidc: Issuer, start_service: Callable[..., Client]
) -> None:
    waiting = start_service(**NO_SLOT)
    asset, role = submit(waiting, SQL), submit(waiting, "SELECT 1")
    blocks.policy("hot-blocks", "Postgres", roles=["analyst"])
    client = start_service()
    assert ended(client, asset).json()["code"] == "RelationNotFound"
    assert ended(client, role).status_code == 200
    late = submit(waiting, ENDLESS)  # holds the slot
    until(lambda: row(blocks, late)["state"] == "Running")
    role = submit(waiting, "SELECT 1")
    with psycopg.connect(blocks.databases.state_dsn) as connection:
        connection.execute("DELETE FROM org_role_memberships")
    change(blocks, "cancel = true", late)
    wake(blocks, late)
    until(lambda: row(blocks, role)["state"] == "Failed")
    assert (row(blocks, role)["error_status"], row(blocks, role)["error_code"]) == (403, "Forbidden")
