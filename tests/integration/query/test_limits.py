"""Limits, and what stays standing when a query runs into one."""

from __future__ import annotations

import os
import signal
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from contextlib import ExitStack
from typing import Any

import httpx
import pytest

from tests.integration.query.callers import ENDLESS, in_flight, reader
from tests.integration.query.cells import cells_of, cpu_ticks, left_in
from tests.integration.query.conftest import Client
from tests.integration.query.world import NAMESPACE, World
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.query.admission.pools import Pool

pytestmark = pytest.mark.services


def test_time_limit_ends_the_query(start_service: Callable[..., Client]) -> None:
    client = start_service(query_timeout_seconds=2)
    assert client.refused(ENDLESS) == (408, "QueryTimeout")
    assert client.refused(ENDLESS, timeout_seconds=0.5) == (408, "QueryTimeout")
    assert client.refused("SELECT 1", timeout_seconds=3) == (400, "BadRequest")
    until(lambda: client.post("SELECT 1").status_code == 200)


def test_answers_are_cut_at_the_row_limit_and_say_so(start_service: Callable[..., Client]) -> None:
    client = start_service(query_max_rows=10)
    exact = client.post("SELECT * FROM range(10) ORDER BY 1").json()
    assert (exact["row_count"], exact["truncated"]) == (10, False)
    cut = client.post("SELECT * FROM range(11) ORDER BY 1", overflow="truncate").json()
    assert (cut["rows"], cut["row_count"], cut["truncated"]) == ([[n] for n in range(10)], 10, True)
    assert (
        client.post("FROM range(5000000)", format="csv", overflow="truncate").headers["x-trace-truncated"] == "true"
    )


PADDED = "SELECT range AS n, repeat('x', 100) AS pad FROM range(1000) ORDER BY n"


def test_answers_are_cut_at_the_byte_limit_between_rows(start_service: Callable[..., Client]) -> None:
    client = start_service(query_max_bytes=10_000)
    for form in ("json", "csv"):
        answer = client.post(PADDED, format=form, overflow="truncate")
        assert len(answer.content) < 11_500
        assert answer.status_code == 200
    cut = client.post(PADDED, overflow="truncate").json()
    assert cut["truncated"]
    assert 80 < cut["row_count"] == len(cut["rows"]) < 100
    huge = client.post("SELECT repeat('x', 1000000)", overflow="truncate").json()
    assert (huge["rows"], huge["truncated"]) == ([], True)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT length(repeat('x', 2000000000))",
        "SELECT repeat('x', 2000000000)",
        "SELECT list(range) FROM range(500000000)",
        "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 500) || range FROM range(50000000))",
        "SELECT length(string_agg(repeat('y', 1000), '')) FROM range(100000000)",
        "SELECT list_reduce(range(1000000), lambda a, b: a || b::VARCHAR) FROM range(10)",
        "SELECT array_agg(a) FROM range(100000) a, range(100000) b",
    ],
)
def test_a_query_that_wants_the_machine_ends_and_others_answer(
    sql: str, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_memory_mb=128, query_timeout_seconds=8)
    with ThreadPoolExecutor(1) as pool:
        hungry = pool.submit(client.post, sql)
        for _ in range(5):
            assert client.rows("SELECT 1 + 1") == [[2]]
        answer = hungry.result()
    assert answer.status_code in (408, 422), answer.text
    assert answer.json()["code"] in (
        "QueryTimeout",
        "QueryOutOfMemory",
        "QueryCrashed",
        "QueryFailed",
        "InvalidQuery",
    )
    assert client.rows("SELECT 1") == [[1]]


def test_a_query_that_takes_more_than_its_budget_ends_alone(start_service: Callable[..., Client]) -> None:
    """The text is beside what DuckDB counts, fits into the address space, and stays while it is looked into."""
    client = start_service(query_memory_mb=64, query_timeout_seconds=600)
    hungry = "SELECT count(*) FROM range(1000000000000) WHERE contains(repeat('x', {}), range::VARCHAR || 'y')"
    with in_flight(client, hungry.format(20_000_000)):
        until(lambda: client.service.admission.running == 1)
        assert client.refused(hungry.format(230_000_000)) == (422, "QueryOutOfMemory")
        assert client.service.admission.running == 1, "one inside its budget goes on"
        assert client.rows("SELECT 1") == [[1]]


def test_more_than_the_queue_holds_is_told_to_come_back(start_service: Callable[..., Client]) -> None:
    client = start_service(query_concurrency=1, query_queue=1, query_timeout_seconds=8, query_batch_queue=0)
    admission = client.service.admission
    with ThreadPoolExecutor(2) as pool:
        running = pool.submit(client.refused, ENDLESS)
        until(lambda: admission.running == 1)
        waiting = pool.submit(client.refused, ENDLESS)
        until(lambda: admission.waiting == 1)
        full = client.post(ENDLESS)
        assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (429, "Overloaded", "1")
        assert running.result() == (408, "QueryTimeout")
        assert waiting.result() in ((429, "Overloaded"), (408, "QueryTimeout"))  # its turn came too late, or late
    assert client.rows("SELECT 1") == [[1]]


def test_more_logins_than_may_wait_are_told_to_come_back(client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    """A state database that hangs fills the line of those who log in, and not the process."""
    came, go = threading.Event(), threading.Event()

    def principal(*_: Any) -> None:
        came.set()
        go.wait(60)

    monkeypatch.setattr(client.service.databases, "principal", principal)
    monkeypatch.setattr(client.service.pools, "logins", Pool("login", threads=1, waiting=0))
    with ThreadPoolExecutor() as pool:
        first = pool.submit(client.refused, "SELECT 1")
        try:
            assert came.wait(20)
            full = client.post("SELECT 1")
        finally:
            go.set()
        assert (full.status_code, full.json()["code"], full.headers["retry-after"]) == (429, "Overloaded", "1")
        assert first.result() == (403, "Forbidden")


def test_a_client_that_leaves_ends_its_query(start_service: Callable[..., Client]) -> None:
    client = start_service(query_concurrency=1)
    with in_flight(client, ENDLESS):
        until(lambda: client.service.admission.running == 1)
        until(lambda: any(cpu_ticks(pid) > 20 for pid in cells_of(client)))
        busy = [pid for pid in cells_of(client) if cpu_ticks(pid) > 20]
    until(lambda: client.service.admission.running == 0)
    until(lambda: not set(busy) & set(cells_of(client)))
    assert client.rows("SELECT 1") == [[1]]


def test_a_client_that_leaves_the_line_makes_room_and_leaves_no_query(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_concurrency=1, query_queue=1, query_batch_concurrency=0)
    admission = client.service.admission
    with in_flight(client, ENDLESS):
        until(lambda: admission.running == 1)
        with in_flight(client, "SELECT 1"):
            until(lambda: admission.waiting == 1)
        until(lambda: admission.waiting == 0)
        assert admission.running == 1
        assert (
            'trace_query_seconds_count{code="QueryCanceled",fault="user"} 1.0'
            in httpx.get(f"{client.url}/metrics", timeout=60).text
        )
    assert client.rows("SELECT 1") == [[1]], "the turn is free, and given to nobody who has gone"
    assert world.data.execute("SELECT count(*) FROM trace.query_batches").fetchone() == (0,)


def test_turns_go_around_the_users(world: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    alice = start_service(query_concurrency=1, query_queue=4, query_timeout_seconds=600)
    bob, admission = reader(world, oidc, alice, "bob"), alice.service.admission
    with ExitStack() as first, ThreadPoolExecutor(1) as pool:
        first.enter_context(in_flight(alice, ENDLESS))
        until(lambda: admission.running == 1)
        with in_flight(alice, ENDLESS), in_flight(alice, ENDLESS):
            until(lambda: admission.waiting == 2)
            of_bob = pool.submit(bob.post, "SELECT 7")
            until(lambda: admission.waiting == 3)
            first.close()
            answer = of_bob.result()
            assert (answer.status_code, answer.json().get("rows")) == (200, [[7]]), "an endless one is before it"
            until(lambda: (admission.running, admission.waiting) == (1, 1))


def test_nobody_has_the_whole_line(world: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    alice = start_service(query_concurrency=1, query_queue=2, query_timeout_seconds=600, query_batch_queue=0)
    bob, admission = reader(world, oidc, alice, "bob"), alice.service.admission
    with in_flight(alice, ENDLESS):
        until(lambda: admission.running == 1)
        with in_flight(alice, ENDLESS):
            until(lambda: admission.waiting == 1)
            full = alice.post("SELECT 1")
            assert (full.status_code, full.headers["retry-after"]) == (429, "1")
            assert full.json()["detail"].startswith("another query of yours is already waiting")
            with in_flight(bob, "SELECT 1"):
                until(lambda: admission.waiting == 2)


def test_a_crashing_cell_fails_its_query_only(start_service: Callable[..., Client]) -> None:
    client = start_service(query_concurrency=1)
    with ThreadPoolExecutor(1) as pool:
        running = pool.submit(client.post, ENDLESS)
        until(lambda: any(cpu_ticks(pid) > 20 for pid in cells_of(client)))
        for pid in cells_of(client):
            if cpu_ticks(pid) > 20:
                os.kill(pid, signal.SIGSEGV)
        answer = running.result()
    assert (answer.status_code, answer.json()["code"]) == (422, "QueryCrashed")
    assert "SIGSEGV" in answer.json()["detail"]
    assert client.rows("SELECT 1") == [[1]]


def test_a_dead_zygote_is_replaced(start_service: Callable[..., Client]) -> None:
    client = start_service()
    client.rows("SELECT 1")
    zygote = client.service.cells._process
    assert zygote is not None
    zygote.kill()
    zygote.wait()
    until(lambda: client.post("SELECT 1").status_code == 200)
    assert httpx.get(f"{client.url}/readyz", timeout=20).status_code == 200


def test_no_two_queries_share_their_random_numbers(client: Client) -> None:
    """Their processes are forks of one that has opened its database."""
    told = [client.post("SELECT random(), uuid()::VARCHAR").json()["rows"][0] for _ in range(4)]
    assert len({number for number, _ in told}) == len({text for _, text in told}) == 4


def test_nothing_of_a_query_stays_behind(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.compact(hot, cold, 0, 99)
    for sql in ("FROM blocks", "SELECT error('x') FROM blocks", "SELECT no_column FROM blocks", "SELECT 1"):
        client.post(sql)
    folder = client.service.settings.query_cache_dir / "cells"
    until(lambda: not left_in(folder))
    until(lambda: len(cells_of(client)) == client.service.settings.query_concurrency)


def test_more_than_the_cache_holds_is_refused_with_the_remedy(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_cache_mb=1)
    hot, cold = world.federated()
    for start in range(0, 60_000, 10_000):
        world.compact(hot, cold, start, start + 9_999)
    assert client.refused("SELECT count(DISTINCT hash) FROM blocks") == (413, "ScanTooLarge")
    for start in range(0, 60_000, 10_000):
        sql = f"SELECT count(DISTINCT hash) FROM blocks WHERE block_number BETWEEN {start} AND {start + 9_999}"
        assert client.rows(sql) == [[10_000]]
    kept = client.service.settings.query_cache_dir / "files"
    assert sum(file.stat().st_size for file in kept.iterdir()) <= 1024**2


@pytest.mark.parametrize(
    ("body", "code"),
    [
        (b"", "InvalidRequest"),
        (b"[]", "InvalidRequest"),
        (b'{"sql": 1}', "InvalidRequest"),
        (b'{"sql": "SELECT 1", "format": "xml"}', "InvalidRequest"),
        (b'{"sql": "SELECT 1", "mode": "later"}', "InvalidRequest"),
        (b'{"sql": "SELECT 1", "timeout_seconds": -1}', "InvalidRequest"),
        (b'{"sql": "SELECT 1", "namespace": "../x"}', "InvalidRequest"),
        (b'{"sql": "SELECT 1", "extra": 1}', "InvalidRequest"),
        (b'{"sql": "\xff"}', "InvalidRequest"),
        (b'{"sql": "' + b"x" * 300_000 + b'"}', "TooLarge"),
        (b'{"sql": ""}', "EmptyQuery"),
    ],
)
def test_wrong_bodies_are_refused(body: bytes, code: str, client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "application/json"}
    answer = httpx.post(f"{client.url}/v1/query", content=body, headers=headers, timeout=60)
    assert 400 <= answer.status_code < 500
    assert answer.json()["code"] == code


def test_a_body_that_is_not_declared_as_json_is_refused(client: Client) -> None:
    headers = {"Authorization": f"Bearer {client.token}", "Content-Type": "text/plain"}
    answer = httpx.post(f"{client.url}/v1/query", content=b'{"sql": "SELECT 1"}', headers=headers, timeout=60)
    assert (answer.status_code, answer.json()["code"]) == (415, "UnsupportedMediaType")


@pytest.mark.parametrize("mode", ["interactive", "batch"])
@pytest.mark.parametrize("name", ["../x", "Default", "-x", "x" * 64, ""])
def test_a_header_names_a_namespace_or_is_refused(world: World, client: Client, name: str, mode: str) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")

    def ask(namespace: str) -> httpx.Response:
        headers = {"Authorization": f"Bearer {client.token}", "X-Trace-Namespace": namespace}
        body = {"sql": "SELECT count(*) FROM hot_blocks", "mode": mode}
        return httpx.post(f"{client.url}/v1/query", json=body, headers=headers, timeout=60)

    refused = ask(name)
    assert (refused.status_code, refused.json()["code"]) == (400, "InvalidRequest")
    assert "X-Trace-Namespace" in refused.json()["detail"]
    assert world.data.execute("SELECT count(*) FROM trace.query_batches").fetchone() == (0,)
    assert [ask(namespace).status_code for namespace in ("elsewhere", NAMESPACE)] == [
        404,
        {"interactive": 200, "batch": 202}[mode],
    ]


def test_only_known_readers_with_valid_tokens_may_ask(world: World, client: Client, oidc: Issuer) -> None:
    world.user(oidc.url, "rolf")
    world.user(oidc.url, "wanda", "writer")
    world.user(oidc.url, "adam", "admin")
    expected = {
        "": 401,
        "nonsense": 401,
        oidc.token("alice", aud="other"): 401,
        oidc.token("alice", iss="https://elsewhere"): 401,
        oidc.token("alice", exp=1): 401,
        oidc.token("mallory"): 403,
        oidc.token("rolf"): 403,
        oidc.token("wanda"): 200,
        oidc.token("adam"): 200,
        oidc.token("alice"): 200,
    }
    found = {
        token: Client(client.url, token, client.service).post("SELECT 1").status_code for token in expected if token
    }
    found[""] = httpx.post(f"{client.url}/v1/query", json={"sql": "SELECT 1"}, timeout=60).status_code
    assert found == expected
    assert httpx.get(f"{client.url}/v1/query", timeout=60).status_code == 405
    assert httpx.get(f"{client.url}/v1/other", timeout=60).status_code == 404


def test_a_user_who_asks_too_often_is_told_when_to_come_back_and_others_are_not(
    world: World, oidc: Issuer, start_service: Callable[..., Client]
) -> None:
    client = start_service(query_rate_per_minute=3)
    assert [client.post("SELECT 1").status_code for _ in range(4)] == [200, 200, 200, 429]
    refused = client.post("SELECT 1")
    assert (refused.json()["code"], 1 <= int(refused.headers["retry-after"]) <= 20) == ("RateLimited", True)
    world.user(oidc.url, "bob", "reader")
    assert Client(client.url, oidc.token("bob"), client.service).rows("SELECT 1") == [[1]]
