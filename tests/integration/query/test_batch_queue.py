"""The queue of batch queries: bounded, served in turn, and left by who cancels."""

from __future__ import annotations

from collections.abc import Callable
from uuid import uuid4

import httpx
import pytest

from tests.integration.query.batches import NO_SLOT, ended, in_queue, row, submit
from tests.integration.query.callers import ENDLESS, ask, fetched, in_flight, reader
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from tests.support.waiting import until

pytestmark = pytest.mark.services


def test_the_queue_is_bounded_for_each_user_and_for_all(
    world: World, oidc: Issuer, start_service: Callable[..., Client]
) -> None:
    client = start_service(**NO_SLOT, query_batch_queue=3, query_batch_queue_per_user=2)
    bob = reader(world, oidc, client, "bob")
    first = submit(client, "SELECT 1")
    submit(client, "SELECT 1")
    assert client.refused("SELECT 1", mode="batch") == (429, "Overloaded")
    submit(bob, "SELECT 1")
    assert bob.refused("SELECT 1", mode="batch") == (429, "Overloaded")
    assert ask(client, "DELETE", first).json()["state"] == "Canceled"
    submit(bob, "SELECT 1")
    off = start_service(query_batch_queue=0)
    assert off.refused("SELECT 1", mode="batch") == (400, "BadRequest")


def test_a_query_without_a_free_slot_becomes_a_batch_query(start_service: Callable[..., Client]) -> None:
    client = start_service(query_concurrency=1, query_queue=0)
    with in_flight(client, ENDLESS):
        until(lambda: client.service.admission.running == 1)
        answer = client.post("SELECT 7 AS n")
        assert answer.status_code == 202
        assert fetched(ended(client, answer.json()["id"]).json()["output"]).to_pylist() == [{"n": 7}]
        assert client.service.admission.running == 1, "it ran all the while"


def test_a_query_is_canceled_while_it_waits(world: World, start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_SLOT)
    query = submit(client, "SELECT 1")
    assert ask(client, "GET", query).json()["state"] == "Queued"
    assert ask(client, "DELETE", query).json()["state"] == "Canceled"
    assert ask(client, "DELETE", query).status_code == 200
    assert (ask(client, "GET", query).status_code, row(world, query)["sql"]) == (410, None)


def test_a_query_is_canceled_while_it_runs(world: World, client: Client) -> None:
    query = submit(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    assert ask(client, "GET", query).json()["state"] == "Running"
    assert ask(client, "DELETE", query).json()["state"] in ("Running", "Canceled"), "it may end before the answer"
    answer = ended(client, query)
    assert (answer.status_code, answer.json()["code"]) == (410, "QueryCanceled")
    assert ended(client, submit(client, "SELECT 1")).status_code == 200, "its slot is free again"


def test_what_has_ended_is_not_canceled(client: Client) -> None:
    query = submit(client, "SELECT 1")
    ended(client, query)
    assert ask(client, "DELETE", query).json()["code"] == "QueryEnded"


def test_users_are_served_in_turn(world: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_SLOT)
    bob = reader(world, oidc, client, "bob")
    of_alice = [submit(client, f"SELECT {n}") for n in range(3)]
    of_bob = [submit(bob, f"SELECT {n}") for n in range(2)]
    turns = [str(in_queue(client, lambda found: found.claim(uuid4())).id) for _ in range(5)]
    assert turns == [of_alice[0], of_bob[0], of_alice[1], of_bob[1], of_alice[2]]
    assert in_queue(client, lambda found: found.claim(uuid4())) is None


def test_a_client_that_polls_as_it_is_told_stays_within_the_rate_limit(
    start_service: Callable[..., Client],
) -> None:
    client = start_service(**NO_SLOT, query_rate_per_minute=10)
    answer = client.post("SELECT 1", mode="batch")
    again = ask(client, "GET", answer.json()["id"])
    assert (answer.headers["retry-after"], again.headers["retry-after"]) == ("6", "6")


def test_metrics_show_the_length_of_the_queue(start_service: Callable[..., Client], world: World) -> None:
    client = start_service()
    busy = submit(client, ENDLESS)
    until(lambda: row(world, busy)["state"] == "Running")
    submit(client, ENDLESS)
    until(lambda: "trace_query_batches 2.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
    ask(client, "DELETE", busy)
    until(
        lambda: (
            'trace_query_seconds_count{code="QueryCanceled",fault="user"} 1.0'
            in httpx.get(f"{client.url}/metrics", timeout=60).text
        )
    )
    until(lambda: "trace_query_batches 1.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
