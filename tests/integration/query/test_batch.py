"""Queries that are left to be run: in line, on a lane, answered, canceled, handed on; and what a user is told."""

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
from traceplane.query.api import app
from traceplane.query.attach.batch import Batches, Claimed
from traceplane.query.batch import runner

pytestmark = pytest.mark.services

NO_LANE = {"query_batch_concurrency": 0}
SQL = "SELECT block_number FROM hot_blocks ORDER BY 1"


@pytest.fixture
def blocks(world: World) -> World:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 24_999)
    return world


def left(client: Client, sql: str, **body: Any) -> str:
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


def queue(client: Client, ask_for: Callable[[Batches], Any]) -> Any:
    with client.service.databases.batches() as found:
        return ask_for(found)


def test_a_query_is_left_run_and_its_answer_fetched(blocks: World, client: Client) -> None:
    query = left(client, SQL)
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
    said = ended(client, left(client, "SELECT 42 AS answer, 'x' AS word")).json()
    assert file_of(said).to_pylist() == [{"answer": 42, "word": "x"}]
    assert file_of(ended(client, left(client, "SELECT 1 AS n WHERE false")).json()).num_rows == 0


def test_a_batch_query_has_a_memory_of_its_own(start_service: Callable[..., Client]) -> None:
    client = start_service(query_memory_mb=96, query_batch_memory_mb=768)
    hungry = "SELECT count(*) FROM (SELECT DISTINCT repeat('x', 20) || range FROM range(3000000))"
    assert client.refused(hungry)[0] == 422
    assert file_of(ended(client, left(client, hungry)).json()).to_pydict() == {"count_star()": [3_000_000]}


def test_who_wants_the_first_rows_only_gets_them(blocks: World, client: Client) -> None:
    said = ended(client, left(client, SQL, overflow="truncate")).json()
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
def test_what_can_be_refused_is_refused_at_once(
    sql: str, body: dict[str, Any], refusal: tuple[int, str], client: Client
) -> None:
    status, code = client.refused(sql, **{"mode": "batch", **body})
    assert status == refusal[0]
    assert code == refusal[1] or status == 400
    assert queue(client, Batches.open) == 0


def test_a_failure_is_told_as_an_interactive_query_tells_it(client: Client) -> None:
    failing = {ENDLESS: (5, 408), "SELECT lower(1, 2)": (30, 400), "SELECT union_value(a := 1) AS u": (30, 422)}
    for sql, (seconds, status) in failing.items():
        now = client.post(sql, timeout_seconds=seconds, format="parquet")
        later = ended(client, left(client, sql, timeout_seconds=seconds))
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
    answer = ended(client, query := left(client, sql))
    assert (answer.status_code, answer.json()["code"]) == (status, now.json()["code"])
    assert told in answer.json()["detail"]
    kept = str(row(world, query))
    assert told in kept
    assert not [quoted for quoted in (block_hash(0), "mine", "SELECT") if quoted in kept]


def test_the_line_is_bounded_for_each_user_and_for_all(
    world: World, oidc: Issuer, start_service: Callable[..., Client]
) -> None:
    client = start_service(**NO_LANE, query_batch_queue=3, query_batch_queue_per_user=2)
    world.user(oidc.url, "bob", "reader")
    bob = Client(client.url, oidc.token("bob"), client.service)
    first = left(client, "SELECT 1")
    left(client, "SELECT 1")
    assert client.refused("SELECT 1", mode="batch") == (429, "Overloaded")
    left(bob, "SELECT 1")
    assert bob.refused("SELECT 1", mode="batch") == (429, "Overloaded")
    assert ask(client, "DELETE", first).json()["state"] == "Canceled"
    left(bob, "SELECT 1")
    off = start_service(query_batch_queue=0)
    assert off.refused("SELECT 1", mode="batch") == (400, "BadRequest")


def test_a_query_for_which_there_is_no_turn_is_left_to_be_run(start_service: Callable[..., Client]) -> None:
    client = start_service(query_concurrency=1, query_queue=0)
    with in_flight(client, ENDLESS):
        until(lambda: client.service.admission.running == 1)
        answer = client.post("SELECT 7 AS n")
        assert answer.status_code == 202
        assert file_of(ended(client, answer.json()["id"]).json()).to_pylist() == [{"n": 7}]
        assert client.service.admission.running == 1, "it ran all the while"


def test_a_query_is_canceled_while_it_waits(world: World, start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_LANE)
    query = left(client, "SELECT 1")
    assert ask(client, "GET", query).json()["state"] == "Queued"
    assert ask(client, "DELETE", query).json()["state"] == "Canceled"
    assert ask(client, "DELETE", query).status_code == 200
    assert (ask(client, "GET", query).status_code, row(world, query)["sql"]) == (410, None)


def test_a_query_is_canceled_while_it_runs(world: World, client: Client) -> None:
    query = left(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    assert ask(client, "GET", query).json()["state"] == "Running"
    assert ask(client, "DELETE", query).json()["state"] in ("Running", "Canceled"), "it may end before the answer"
    answer = ended(client, query)
    assert (answer.status_code, answer.json()["code"]) == (410, "QueryCanceled")
    assert ended(client, left(client, "SELECT 1")).status_code == 200, "its lane is free again"


def test_what_has_ended_is_not_canceled(client: Client) -> None:
    query = left(client, "SELECT 1")
    ended(client, query)
    assert ask(client, "DELETE", query).json()["code"] == "QueryEnded"


def test_a_query_is_its_users_own(world: World, oidc: Issuer, client: Client) -> None:
    query = left(client, "SELECT 1")
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


def test_roles_count_when_its_turn_comes(blocks: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    waiting = start_service(**NO_LANE)
    asset, role = left(waiting, SQL), left(waiting, "SELECT 1")
    blocks.policy("hot-blocks", "Postgres", roles=["analyst"])
    client = start_service()
    assert ended(client, asset).json()["code"] == "RelationNotFound"
    assert ended(client, role).status_code == 200
    late = left(waiting, ENDLESS)  # holds the lane
    until(lambda: row(blocks, late)["state"] == "Running")
    role = left(waiting, "SELECT 1")
    with psycopg.connect(blocks.databases.state_dsn) as connection:
        connection.execute("DELETE FROM org_role_memberships")
    change(blocks, "cancel = true", late)
    wake(blocks, late)
    until(lambda: row(blocks, role)["state"] == "Failed")
    assert (row(blocks, role)["error_status"], row(blocks, role)["error_code"]) == (403, "Forbidden")


def test_turns_go_around_the_users(world: World, oidc: Issuer, start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_LANE)
    world.user(oidc.url, "bob", "reader")
    bob = Client(client.url, oidc.token("bob"), client.service)
    of_alice = [left(client, f"SELECT {n}") for n in range(3)]
    of_bob = [left(bob, f"SELECT {n}") for n in range(2)]
    turns = [str(queue(client, lambda found: found.claim(uuid4())).id) for _ in range(5)]
    assert turns == [of_alice[0], of_bob[0], of_alice[1], of_bob[1], of_alice[2]]
    assert queue(client, lambda found: found.claim(uuid4())) is None


def test_what_a_lost_runner_left_is_run_by_another(world: World, start_service: Callable[..., Client]) -> None:
    waiting = start_service(**NO_LANE)
    query = left(waiting, "SELECT 5 AS n")
    lost: Claimed = queue(waiting, lambda found: found.claim(uuid4()))
    change(world, "lease_until = now() - interval '1 second'", query)
    client = start_service()
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 2
    with pytest.raises(Stale):
        queue(waiting, lambda found: found.end(lost.lease, "Succeeded"))
    with pytest.raises(Stale):
        queue(waiting, lambda found: found.hold(lost.lease))


def test_a_query_whose_runners_keep_dying_is_given_up(world: World, start_service: Callable[..., Client]) -> None:
    waiting = start_service(**NO_LANE)
    query = left(waiting, "SELECT 1")
    for _ in range(runner.MAX_ATTEMPTS):
        queue(waiting, lambda found: found.claim(uuid4()))
        change(world, "lease_until = now() - interval '1 second'", query)
    start_service()
    until(lambda: row(world, query)["state"] == "Failed")
    assert row(world, query)["error_code"] == "RunnerLost"


def test_who_loses_the_lease_stops_and_writes_nothing(world: World, start_service: Callable[..., Client]) -> None:
    client = start_service()
    query = left(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    thief = uuid4()
    change(world, f"runner = '{thief}', attempt = 9", query)
    wake(world, query)
    assert ended(client, left(client, "SELECT 1")).status_code == 200, "its lane is free again"
    kept = row(world, query)
    assert (kept["state"], kept["runner"], kept["attempt"], results(world)) == ("Running", thief, 9, 1)


def test_an_answer_that_comes_after_the_lease_was_lost_counts_for_nothing(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    client, thief = start_service(), uuid4()
    real = client.service.engine._placed

    def placed(job: Any, body: bytes) -> Any:
        change(world, f"runner = '{thief}'", str(job.caller.query))
        return real(job, body)

    monkeypatch.setattr(client.service.engine, "_placed", placed)
    query = left(client, "SELECT 1")
    until(lambda: row(world, query)["runner"] == thief and not client.service.runner._turns)
    monkeypatch.undo()
    assert ended(client, left(client, "SELECT 1")).status_code == 200
    assert (row(world, query)["state"], results(world)) == ("Running", 1)


async def test_a_service_that_stops_hands_its_queries_back(
    world: World, start_service: Callable[..., Client]
) -> None:
    service = (client := start_service(**NO_LANE)).service
    settings = service.settings.model_copy(update={"query_batch_concurrency": 1})
    lanes = runner.Runner(
        settings, service.databases, service.supervisor, service.engine, service.telemetry, lambda: None
    )
    running = asyncio.create_task(lanes.run())
    query = await asyncio.to_thread(left, client, ENDLESS)
    await asyncio.to_thread(until, lambda: row(world, query)["state"] == "Running")
    lanes.stop()
    await running
    lanes.close()
    kept = row(world, query)
    assert (kept["state"], kept["attempt"], kept["runner"]) == ("Queued", 0, None)


def test_a_claim_outlives_a_count_that_fails(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    def uncounted(_: Batches) -> int:
        raise Unavailable("the queue of batch queries cannot be read")

    monkeypatch.setattr(Batches, "open", uncounted)
    query = left(client, "SELECT 1")
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 1, "not when the lease had run out"


def test_a_lease_is_renewed_on_after_a_defect(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = left(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running")
    real, defects = Batches.hold, [ValueError("a defect")]

    def hold(batches: Batches, lease: Any) -> bool:
        if defects:
            raise defects.pop()
        return real(batches, lease)

    monkeypatch.setattr(Batches, "hold", hold)
    wake(world, query)
    until(lambda: not defects)
    assert ask(client, "DELETE", query).status_code == 200
    until(lambda: row(world, query)["state"] == "Canceled")


def test_a_query_whose_lease_cannot_be_renewed_ends_before_another_runs_it(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    query = left(client, ENDLESS)
    until(lambda: row(world, query)["state"] == "Running" and UUID(query) in client.service.runner._turns)

    def hold(*_: Any) -> bool:
        raise ValueError("a defect")

    monkeypatch.setattr(Batches, "hold", hold)
    monkeypatch.setattr(runner, "LEASE_SECONDS", 0.0)
    wake(world, query)
    until(lambda: not client.service.runner._turns)
    assert row(world, query)["state"] == "Running", "whoever claims it says what becomes of it"


def test_who_looks_as_often_as_told_stays_within_the_limit(start_service: Callable[..., Client]) -> None:
    client = start_service(**NO_LANE, query_rate_per_minute=10)
    answer = client.post("SELECT 1", mode="batch")
    again = ask(client, "GET", answer.json()["id"])
    assert (answer.headers["retry-after"], again.headers["retry-after"]) == ("6", "6")


def test_a_notification_that_is_not_ours_is_ignored(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RESTART_SECONDS", 3600.0)
    client = start_service()
    told = client.service.runner.told
    heard, real = [], told.tell
    monkeypatch.setattr(told, "tell", lambda query: (heard.append(query), real(query)))
    until(client.service.runner.listener.connected.is_set)
    wake(world, "no-id")
    wake(world, str(last := uuid4()))
    until(lambda: last in heard)
    assert ended(client, left(client, "SELECT 1")).status_code == 200


def test_lanes_that_an_error_ended_begin_again(
    world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(app, "RESTART_SECONDS", 0.0)
    client = start_service()
    busy = left(client, ENDLESS)
    until(lambda: row(world, busy)["state"] == "Running")
    told = client.service.runner.told
    real, defects = told.tell, [ValueError("a defect")]

    def tell(query: UUID) -> None:
        if defects:
            raise defects.pop()
        real(query)

    monkeypatch.setattr(told, "tell", tell)
    until(client.service.runner.listener.connected.is_set)
    wake(world, str(uuid4()))
    until(lambda: not defects)
    assert ended(client, left(client, "SELECT 1")).status_code == 200, "and what ran is not in the way"
    assert row(world, busy)["state"] == "Running", "it is claimed again when its lease runs out"


def test_what_we_depend_on_may_be_away_for_a_while(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(runner, "PAUSE_SECONDS", 0.0)
    real, away = client.service.databases.roles, [True, True, False]

    def roles(user: UUID) -> frozenset[str]:
        if away.pop(0):
            raise Unavailable("the state database does not answer")
        return real(user)

    monkeypatch.setattr(client.service.databases, "roles", roles)
    query = left(client, "SELECT 1")
    assert ended(client, query).status_code == 200
    assert row(world, query)["attempt"] == 3


def test_what_stays_away_fails_the_query(world: World, client: Client, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(runner, "PAUSE_SECONDS", 0.0)

    def roles(user: UUID) -> frozenset[str]:
        raise Unavailable("the state database does not answer")

    monkeypatch.setattr(client.service.databases, "roles", roles)
    answer = ended(client, left(client, "SELECT 1"))
    assert (answer.status_code, answer.json()["code"]) == (503, "Unavailable")


def test_a_defect_of_ours_is_told_without_its_text(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch
) -> None:
    def roles(user: UUID) -> frozenset[str]:
        raise ValueError("secret")

    monkeypatch.setattr(client.service.databases, "roles", roles)
    answer = ended(client, left(client, "SELECT 1"))
    assert (answer.status_code, answer.json()["code"], "secret" in answer.text) == (500, "Internal", False)


def test_figures_tell_of_the_line(start_service: Callable[..., Client], world: World) -> None:
    client = start_service()
    busy = left(client, ENDLESS)
    until(lambda: row(world, busy)["state"] == "Running")
    left(client, ENDLESS)
    until(lambda: "trace_query_batches 2.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
    ask(client, "DELETE", busy)
    until(
        lambda: (
            'trace_query_seconds_count{code="QueryCanceled"} 1.0'
            in httpx.get(f"{client.url}/metrics", timeout=60).text
        )
    )
    until(lambda: "trace_query_batches 1.0" in httpx.get(f"{client.url}/metrics", timeout=60).text)
