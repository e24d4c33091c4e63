"""Batch queries: queued, run under a lease, answered, canceled, released; and what their users are told."""

from __future__ import annotations

import asyncio
import hashlib
import io
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pyarrow.parquet as pq
import pytest

from tests.integration.query.callers import ENDLESS, ask, in_flight
from tests.integration.query.conftest import Client
from tests.integration.query.world import World, block_hash
from tests.issuer import Issuer
from tests.support.waiting import until
from traceplane.errors import Stale, Unavailable
from traceplane.query.attach.batch_queries import BatchQueries, Claim
from traceplane.query.batch import runner

pytestmark = pytest.mark.services

NO_SLOT = {"query_batch_concurrency": 0}
SQL = "SELECT block_number FROM hot_blocks ORDER BY 1"


@pytest.fixture
def blocks(world: World) -> World:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 24_999)
    return world


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


def file_of(said: dict[str, Any]) -> Any:
    answer = httpx.get(said["output"]["url"], timeout=60)
    assert hashlib.sha256(answer.content).hexdigest() == said["output"]["sha256"]
    return pq.read_table(io.BytesIO(answer.content))


def in_queue(client: Client, call: Callable[[BatchQueries], Any]) -> Any:
    with client.service.databases.batch_queries() as found:
        return call(found)


def test_a_batch_query_is_submitted_run_and_its_answer_fetched(blocks: World, client: Client) -> None:
    query = submit(client, SQL)
    answer = ended(client, query)
    assert answer.status_code == 200, answer.text
    said = answer.json()
    assert (said["id"], said["row_count"], said["truncated"], said["format"]) == (query, 25_000, False, "parquet")
    assert file_of(said)["block_number"].to_pylist() == list(range(25_000))
    kept = row(blocks, query)
    assert (kept["state"], kept["attempt"], kept["sql"], kept["runner"]) == ("Succeeded", 1, None, None)
    again = client.post("SELECT count(*) FROM hot_blocks", as_of=said["as_of"])
    assert again.json()["rows"] == [[25_000]]


def test_a_small_answer_is_a_file_too(client: Client) -> None:
    said = ended(client, submit(client, "SELECT 42 AS answer, 'x' AS word")).json()
    assert file_of(said).to_pylist() == [{"answer": 42, "word": "x"}]
    assert file_of(ended(client, submit(client, "SELECT 1 AS n WHERE false")).json()).num_rows == 0


def test_a_batch_query_has_a_memory_of_its_own(start_service: Callable[..., Client]) -> None:
    client = start_service(query_memory_mb=96, query_batch_memory_mb=768)
    hungry = "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 20) || range FROM range(3000000))"
    assert client.refused(hungry)[0] == 422
    assert file_of(ended(client, submit(client, hungry)).json()).to_pydict() == {"count_star()": [3_000_000]}


def test_an_answer_may_be_cut_to_its_first_rows(blocks: World, client: Client) -> None:
    said = ended(client, submit(client, SQL, overflow="truncate")).json()
    assert (file_of(said).num_rows, said["truncated"]) == (10_000, True)


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


def test_a_failure_is_reported_as_that_of_an_interactive_query(client: Client) -> None:
    failing = {ENDLESS: (5, 408), "SELECT lower(1, 2)": (30, 400), "SELECT union_value(a := 1) AS u": (30, 422)}
    for sql, (seconds, status) in failing.items():
        now = client.post(sql, timeout_seconds=seconds, format="parquet")
        later = ended(client, submit(client, sql, timeout_seconds=seconds))
        assert (now.status_code, later.status_code) == (status, status)
        assert later.json() == now.json()
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


def test_the_queue_is_bounded_for_each_user_and_for_all(
    world: World, oidc: Issuer, start_service: Callable[..., Client]
) -> None:
    client = start_service(**NO_SLOT, query_batch_queue=3, query_batch_queue_per_user=2)
    world.user(oidc.url, "bob", "reader")
    bob = Client(client.url, oidc.token("bob"), client.service)
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
        assert file_of(ended(client, answer.json()["id"]).json()).to_pylist() == [{"n": 7}]
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


def test_a_query_is_its_users_own(world: World, oidc: Issuer, client: Client) -> None:
    query = submit(client, "SELECT 1")
    world.user(oidc.url, "bob", "reader")
    bob = Client(client.url, oidc.token("bob"), client.service)
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


def test_users_are_served_in_turn(world: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_SLOT)
    world.user(oidc.url, "bob", "reader")
    bob = Client(client.url, oidc.token("bob"), client.service)
    of_alice = [submit(client, f"SELECT {n}") for n in range(3)]
    of_bob = [submit(bob, f"SELECT {n}") for n in range(2)]
    turns = [str(in_queue(client, lambda found: found.claim(uuid4())).id) for _ in range(5)]
    assert turns == [of_alice[0], of_bob[0], of_alice[1], of_bob[1], of_alice[2]]
    assert in_queue(client, lambda found: found.claim(uuid4())) is None


def test_the_query_of_a_lost_runner_is_run_by_another(world: World, start_service: Callable[..., Client]) -> None:
    waiting = start_service(**NO_SLOT)
    query = submit(waiting, "SELECT 5 AS n")
    lost: Claim = in_queue(waiting, lambda found: found.claim(uuid4()))
    change(world, "lease_until = now() - interval '1 second'", query)
    client = start_service()
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 2
    with pytest.raises(Stale):
        in_queue(waiting, lambda found: found.complete(lost.lease, "Succeeded"))
    with pytest.raises(Stale):
        in_queue(waiting, lambda found: found.renew(lost.lease))


def test_a_query_whose_runners_keep_dying_fails(world: World, start_service: Callable[..., Client]) -> None:
    waiting = start_service(**NO_SLOT)
    query = submit(waiting, "SELECT 1")
    for _ in range(runner.MAX_ATTEMPTS):
        in_queue(waiting, lambda found: found.claim(uuid4()))
        change(world, "lease_until = now() - interval '1 second'", query)
    start_service()
    until(lambda: row(world, query)["state"] == "Failed")
    assert row(world, query)["error_code"] == "RunnerLost"


def test_a_runner_that_loses_the_lease_stops_and_writes_nothing(
    world: World, start_service: Callable[..., Client]
) -> None:
    client = start_service()
    query = submit(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    thief = uuid4()
    change(world, f"runner = '{thief}', attempt = 9", query)
    wake(world, query)
    assert ended(client, submit(client, "SELECT 1")).status_code == 200, "its slot is free again"
    kept = row(world, query)
    assert (kept["state"], kept["runner"], kept["attempt"], results(world)) == ("Running", thief, 9, 1)


def test_an_answer_that_comes_after_the_lease_was_lost_counts_for_nothing(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, thief = start_service(), uuid4()
    real = client.service.engine._store

    def store(query: Any, body: bytes) -> Any:
        change(world, f"runner = '{thief}'", str(query.caller.query))
        return real(query, body)

    monkeypatch.setattr(client.service.engine, "_store", store)
    query = submit(client, "SELECT 1")
    until(lambda: row(world, query)["runner"] == thief and not client.service.runner._attempts)
    monkeypatch.undo()
    assert ended(client, submit(client, "SELECT 1")).status_code == 200
    assert (row(world, query)["state"], results(world)) == ("Running", 1)


async def test_a_service_that_stops_releases_its_queries(
    world: World, start_service: Callable[..., Client]
) -> None:
    service = (client := start_service(**NO_SLOT)).service
    settings = service.settings.model_copy(update={"query_batch_concurrency": 1})
    slots = runner.Runner(
        settings, service.databases, service.supervisor, service.engine, service.telemetry, lambda: None
    )
    running = asyncio.create_task(slots.run())
    query = await asyncio.to_thread(submit, client, ENDLESS)
    await asyncio.to_thread(until, lambda: row(world, query)["state"] == "Running")
    slots.stop()
    await running
    slots.close()
    kept = row(world, query)
    assert (kept["state"], kept["attempt"], kept["runner"]) == ("Queued", 0, None)


def test_a_claim_does_not_depend_on_the_metric(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def uncounted(_: BatchQueries) -> int:
        raise Unavailable("the queue of batch queries cannot be read")

    monkeypatch.setattr(BatchQueries, "count_open", uncounted)
    query = submit(client, "SELECT 1")
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 1, "not when the lease had run out"


def test_a_lease_is_renewed_on_after_a_defect(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = submit(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    real, defects = BatchQueries.renew, [ValueError("a defect")]

    def renew(batches: BatchQueries, lease: Any) -> bool:
        if defects:
            raise defects.pop()
        return real(batches, lease)

    monkeypatch.setattr(BatchQueries, "renew", renew)
    wake(world, query)
    until(lambda: not defects)
    assert ask(client, "DELETE", query).status_code == 200
    until(lambda: row(world, query)["state"] == "Canceled")


def test_a_query_whose_lease_cannot_be_renewed_ends_before_another_runs_it(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = submit(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running" and UUID(query) in client.service.runner._attempts)

    def renew(*_: Any) -> bool:
        raise ValueError("a defect")

    monkeypatch.setattr(BatchQueries, "renew", renew)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0.0)
    wake(world, query)
    until(lambda: not client.service.runner._attempts)
    assert row(world, query)["state"] == "Running", "whoever claims it says what becomes of it"


def test_a_client_that_polls_as_it_is_told_stays_within_the_rate_limit(
    start_service: Callable[..., Client],
) -> None:
    client = start_service(**NO_SLOT, query_rate_per_minute=10)
    answer = client.post("SELECT 1", mode="batch")
    again = ask(client, "GET", answer.json()["id"])
    assert (answer.headers["retry-after"], again.headers["retry-after"]) == ("6", "6")


def test_a_notification_of_another_program_is_ignored(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start_service()
    waiters = client.service.runner.waiters
    notified, real = [], waiters.notify
    monkeypatch.setattr(waiters, "notify", lambda query: (notified.append(query), real(query)))
    until(client.service.runner.listener.connected.is_set)
    wake(world, "no-id")
    wake(world, str(last := uuid4()))
    until(lambda: last in notified)
    assert ended(client, submit(client, "SELECT 1")).status_code == 200


def test_a_defect_in_the_listener_ends_no_query_and_is_survived(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client = start_service()
    busy = submit(client, ENDLESS)
    until(lambda: row(world, busy)["state"] == "Running")
    waiters = client.service.runner.waiters
    real, defects = waiters.notify, [ValueError("a defect")]

    def notify(query: UUID) -> None:
        if defects:
            raise defects.pop()
        real(query)

    monkeypatch.setattr(waiters, "notify", notify)
    until(client.service.runner.listener.connected.is_set)
    wake(world, str(uuid4()))
    until(lambda: not defects)
    assert (row(world, busy)["state"], row(world, busy)["attempt"]) == ("Running", 1)
    assert ask(client, "DELETE", busy).status_code == 200
    assert ended(client, busy).status_code == 410, "it is heard again, before the lease is renewed for long"
    assert ended(client, submit(client, "SELECT 1")).status_code == 200


def test_a_query_is_retried_while_a_dependency_is_unavailable(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.0)
    real, away = client.service.databases.roles, [True, True, False]

    def roles(user: UUID) -> frozenset[str]:
        if away.pop(0):
            raise Unavailable("the state database does not answer")
        return real(user)

    monkeypatch.setattr(client.service.databases, "roles", roles)
    query = submit(client, "SELECT 1")
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 3


def test_a_dependency_that_stays_unavailable_fails_the_query(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "RETRY_SECONDS", 0.0)

    def roles(user: UUID) -> frozenset[str]:
        raise Unavailable("the state database does not answer")

    monkeypatch.setattr(client.service.databases, "roles", roles)
    answer = ended(client, submit(client, "SELECT 1"))
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")


def test_a_defect_of_the_service_is_reported_without_its_text(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def roles(user: UUID) -> frozenset[str]:
        raise ValueError("secret")

    monkeypatch.setattr(client.service.databases, "roles", roles)
    answer = ended(client, submit(client, "SELECT 1"))
    assert (answer.status_code, answer.json()["code"], "secret" in answer.text) == (500, "Internal", False)


def test_metrics_show_the_length_of_the_queue(start_service: Callable[..., Client], world: World) -> None:
    client = start_service()
    busy = submit(client, ENDLESS)
    until(lambda: row(world, busy)["state"] == "Running")
    submit(client, ENDLESS)
    until(lambda: "trace_query_batches 2.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
    ask(client, "DELETE", busy)
    until(
        lambda: (
            'trace_query_seconds_count{code="QueryCanceled"} 1.0'
            in httpx.get(f"{client.url}/metrics", timeout=60).text
        )
    )
    until(lambda: "trace_query_batches 1.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
