"""A batch query runs under a lease: what is lost is run again, and what failed in the service harms no other."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any
from uuid import UUID, uuid4

import pytest

from tests.integration.query.batches import NO_SLOT, change, ended, in_queue, results, row, submit, wake
from tests.integration.query.callers import ENDLESS, ask
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from tests.support.waiting import until
from traceplane.errors import Stale, Unavailable
from traceplane.query.attach.batch_queries import BatchQueries, Claim
from traceplane.query.batch import runner

pytestmark = pytest.mark.services


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
