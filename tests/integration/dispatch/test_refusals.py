"""Who may call what, with which bodies: every refusal is a problem with a stable code, and changes nothing."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import UUID, uuid4

import httpx
import pytest

from tests import services
from tests.integration.dispatch.callers import (
    WORKER_TOKEN,
    Caller,
    completion,
    fence_of,
    signing_key,
    written_commit,
)
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.settings import Settings
from traceplane.taskapi.routes import ROUTES
from traceplane.web.authentication import Scheme
from traceplane_sdk import wire

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]
GUARDED = [route for route in ROUTES if route.scheme is not Scheme.NONE]
TOUCHED = ("tasks", "task_attempts", "events", "partition_versions", "relocations", "outbox", "operator_state")


def problem(answer: httpx.Response, status: int, code: str) -> None:
    assert (answer.status_code, answer.json().get("code")) == (status, code), answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    assert answer.json()["status"] == status


def bodies(lease: wire.ClaimedTask) -> dict[str, Any]:
    return {
        "claim": {"worker_id": "w", "job": lease.task.job.id},
        "heartbeat": {"leases": [fence_of(lease)]},
        "events": {"fence": fence_of(lease), "id": str(uuid4())},
        "complete": {"completions": [completion(lease)]},
        "credentials": {"fence": fence_of(lease)},
    }


@pytest.fixture
async def lease(caller: Caller, jobs: dict[str, UUID], feed: Feed) -> wire.ClaimedTask:
    await feed.partitions(1)
    (claimed,) = await caller.claim(jobs["compact"])
    return claimed


@pytest.fixture
def unchanged(sql: Sql) -> Callable[[], None]:
    """Asserts that state is as it was when the fixture was made."""

    def picture() -> list[Any]:
        return [sql(f"SELECT * FROM {table}") for table in TOUCHED]

    before: list[Any] = []

    def check() -> None:
        if not before:
            before.append(picture())
        assert picture() == before[0]

    return check


async def test_every_guarded_route_refuses_every_other_principal(
    lease: wire.ClaimedTask, http: httpx.AsyncClient, unchanged: Callable[[], None]
):
    unchanged()
    proofs = {
        "nobody": {},
        "a user": {"Authorization": "Bearer something"},
        "an empty worker": {"X-Trace-Worker-Token": ""},
        "a wrong worker": {"X-Trace-Worker-Token": WORKER_TOKEN + "x"},
        "a wrong task": {"X-Trace-Task-Capability": "a.b.c"},
        "a worker": {"X-Trace-Worker-Token": WORKER_TOKEN},
        "a task": {"X-Trace-Task-Capability": lease.capability_token},
    }
    for route in GUARDED:
        for name, headers in proofs.items():
            if name == {Scheme.WORKER: "a worker", Scheme.TASK: "a task"}[route.scheme]:
                continue
            answer = await http.post(route.path, json=bodies(lease)[route.call], headers=headers)
            code = "BadWorkerToken" if route.scheme is Scheme.WORKER else "BadCapability"
            assert (answer.status_code, answer.json()["code"]) == (401, code), (route.path, name)
    unchanged()


async def test_a_token_is_good_for_its_own_attempts_only(
    caller: Caller, jobs: dict[str, UUID], feed: Feed, lease: wire.ClaimedTask, unchanged: Callable[[], None]
):
    await feed.partitions(1, first=1)
    (other,) = await caller.claim(jobs["compact"])
    unchanged()
    for call in ("heartbeat", "events", "complete", "credentials"):
        problem(await caller.task_call(call, other.capability_token, bodies(lease)[call]), 403, "NotCovered")
        later = {**fence_of(lease), "attempt": lease.attempt + 1}
        body = {
            "heartbeat": {"leases": [later]},
            "events": {"fence": later, "id": str(uuid4())},
            "complete": {"completions": [{"fence": later, "status": "Completed"}]},
            "credentials": {"fence": later},
        }[call]
        problem(await caller.task_call(call, lease.capability_token, body), 403, "NotCovered")
    unchanged()


BACKWARD = {"key": "9-1", "start": 9, "end": 1}
UNCOMMITTED = {"input": 1, "output": "blocks", "delete_hot": True}
WRONG_COMPLETIONS: list[tuple[dict[str, Any], int, str]] = [
    ({"status": "Done"}, 400, "InvalidBody"),
    ({"status": "Failed"}, 400, "BadCompletion"),
    ({"status": "Completed", "error": {"code": "X", "message": ""}}, 400, "BadCompletion"),
    ({"status": "Failed", "error": {"code": "lower", "message": ""}}, 400, "InvalidBody"),
    ({"status": "Released", "events": [{"output": "blocks", "cursor": 1}]}, 400, "BadCompletion"),
    ({"status": "Completed", "events": [{"output": "nowhere", "cursor": 1}]}, 400, "UnknownOutput"),
    ({"status": "Completed", "events": [{"output": "blocks"}]}, 400, "BadEvent"),
    ({"status": "Completed", "events": [{"output": "blocks", "partition": BACKWARD}]}, 400, "BadEvent"),
    ({"status": "Completed", "relocations": [UNCOMMITTED]}, 400, "BadRelocation"),
    ({"status": "Completed", "surprise": 1}, 400, "InvalidBody"),
    ({"status": "Completed", "events": [{"output": "blocks", "cursor": 2**63}]}, 400, "InvalidBody"),
    ({"status": "Completed", "state": {"big": "x" * (wire.MAX_STATE_BYTES + 1)}}, 413, "StateTooLarge"),
    (
        {"status": "Completed", "events": [{"output": "blocks", "cursor": 1}] * (wire.MAX_ITEMS + 1)},
        400,
        "InvalidBody",
    ),
]


async def test_wrong_completions_are_refused_whole(
    lease: wire.ClaimedTask, caller: Caller, unchanged: Callable[[], None]
):
    unchanged()
    for wrong, status, code in WRONG_COMPLETIONS:
        body = {"completions": [{"fence": fence_of(lease), **wrong}]}
        problem(await caller.task_call("complete", lease.capability_token, body), status, code)
        unchanged()


REORG = {"output": "blocks", "start": 0, "end": 9, "reason": "Reorg"}
WRONG_REPORTS: list[tuple[dict[str, Any], str]] = [
    ({"events": [{"output": "nowhere", "cursor": 1}]}, "UnknownOutput"),
    ({"events": [{"output": "blocks"}]}, "BadEvent"),
    ({"events": [{"output": "blocks", "partition": BACKWARD}]}, "BadEvent"),
    ({"invalidations": [{**REORG, "output": "nowhere"}]}, "UnknownOutput"),
    ({"invalidations": [{**REORG, "start": 10}]}, "BadInvalidation"),
    ({"invalidations": [{**REORG, "time_start": "yesterday"}]}, "BadInvalidation"),
]


async def test_wrong_reports_are_refused_whole(
    lease: wire.ClaimedTask, caller: Caller, unchanged: Callable[[], None]
):
    unchanged()
    for wrong, code in WRONG_REPORTS:
        problem(await caller.report(lease, **wrong), 400, code)
        unchanged()


async def test_without_an_object_store_nothing_is_committed_and_no_credentials_are_given(
    lease: wire.ClaimedTask, caller: Caller, dispatcher: Dispatcher, unchanged: Callable[[], None]
):
    unchanged()
    output = await written_commit(dispatcher.objects, dispatcher.settings, lease)
    dispatcher.completions._objects = dispatcher.leases._credentials = None
    problem(await caller.complete(lease, outputs=[output]), 400, "NoObjectStore")
    body = {"fence": fence_of(lease)}
    problem(await caller.task_call("credentials", lease.capability_token, body), 400, "NoObjectStore")
    unchanged()


async def test_a_task_that_only_the_newest_run_of_its_job_may_do_is_not_claimed_by_name(
    http: httpx.AsyncClient, feed: Feed, sql: Sql
):
    event = await feed.cursor(5)
    (task,) = sql("SELECT id FROM tasks WHERE event_id = %(event)s", event=event)
    body = {"worker_id": "w", "task_id": str(task["id"])}
    answer = await http.post("/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": WORKER_TOKEN})
    problem(answer, 400, "ClaimByJob")


async def test_a_task_named_twice_is_refused(
    lease: wire.ClaimedTask, caller: Caller, unchanged: Callable[[], None]
):
    unchanged()
    twice = {"completions": [completion(lease), completion(lease)]}
    problem(await caller.task_call("complete", lease.capability_token, twice), 400, "DuplicateTask")
    beats = {"leases": [fence_of(lease), fence_of(lease)]}
    problem(await caller.task_call("heartbeat", lease.capability_token, beats), 400, "DuplicateTask")
    unchanged()


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: route.path)
async def test_bodies_are_bounded_and_typed(lease: wire.ClaimedTask, http: httpx.AsyncClient, route: Any):
    headers = {
        "X-Trace-Worker-Token": WORKER_TOKEN,
        "X-Trace-Task-Capability": lease.capability_token,
        "Content-Type": "application/json",
    }
    large = b'"' + b"x" * wire.MAX_BODY_BYTES + b'"'

    async def drip() -> Any:
        for start in range(0, len(large), 65536):
            yield large[start : start + 65536]

    problem(await http.post(route.path, content=large, headers=headers), 413, "BodyTooLarge")
    problem(await http.post(route.path, content=drip(), headers=headers), 413, "BodyTooLarge")
    for content in (b"", b"{", b"[]", b"null", b"{}", b"\xff\xfe", b'{"a":' * 5000):
        problem(await http.post(route.path, content=content, headers=headers), 400, "InvalidBody")
    plain = {**headers, "Content-Type": "text/plain"}
    problem(await http.post(route.path, content=b"{}", headers=plain), 415, "UnsupportedMediaType")


async def test_what_is_not_in_the_table_is_refused(http: httpx.AsyncClient):
    for path in (
        "/",
        "/v1/task",
        "/v1/task/claim",
        "/internal",
        "/v1/query",
        "/docs",
        "/openapi.json",
        "/healthz/",
    ):
        problem(await http.get(path), 404, "NotFound")
    problem(await http.get("/v1/task/complete"), 405, "MethodNotAllowed")
    problem(await http.delete("/metrics"), 405, "MethodNotAllowed")


@pytest.mark.parametrize(
    ("body", "status", "code"),
    [
        ({"worker_id": "w"}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": str(uuid4()), "task_id": str(uuid4())}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": str(uuid4())}, 404, "UnknownJob"),
        ({"worker_id": "w", "task_id": str(uuid4())}, 404, "UnknownTask"),
        ({"worker_id": "", "job": str(uuid4())}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": "../etc"}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": str(uuid4()), "max_tasks": 0}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": str(uuid4()), "max_tasks": 100_000}, 400, "InvalidBody"),
        ({"worker_id": "w", "job": str(uuid4()), "wait_seconds": 1e9}, 400, "InvalidBody"),
    ],
)
async def test_wrong_claims_are_refused(http: httpx.AsyncClient, body: dict[str, Any], status: int, code: str):
    answer = await http.post("/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": WORKER_TOKEN})
    problem(answer, status, code)


async def test_two_worker_tokens_are_valid_during_a_rotation(
    settings: Settings, http: httpx.AsyncClient, dispatcher: Dispatcher, monkeypatch: pytest.MonkeyPatch
):
    monkeypatch.setattr("traceplane.identity.mounted.LOOK_SECONDS", 0.0)
    assert settings.worker_token_file is not None

    async def status(token: str) -> int:
        body = {"worker_id": "w", "job": str(uuid4())}
        return (
            await http.post("/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": token})
        ).status_code

    new = "the-next-token-of-the-tests"
    assert (await status(WORKER_TOKEN), await status(new)) == (404, 401)
    settings.worker_token_file.write_text(f"{WORKER_TOKEN}\n{new}\n")
    assert (await status(WORKER_TOKEN), await status(new)) == (404, 404)
    settings.worker_token_file.write_text(f"{new}\n")
    assert (await status(WORKER_TOKEN), await status(new)) == (401, 404)
    settings.worker_token_file.unlink()
    assert await status(new) == 404, "a file that is away for a moment locks nobody out"


async def test_signing_keys_rotate_without_a_gap(
    lease: wire.ClaimedTask, caller: Caller, settings: Settings, tmp_path: Path, dispatcher: Dispatcher
):
    from traceplane.identity.capability import Capabilities

    assert settings.capability_key_file is not None
    (tmp_path / "new.pem").write_bytes(signing_key())
    rotated = Capabilities(tmp_path / "new.pem", settings.capability_key_file, issuer="trace")
    assert rotated.verify(lease.capability_token).claim_id
    assert len(rotated.jwks()["keys"]) == 2
    answer = (await caller.http.get("/internal/jwks/task")).json()
    assert [key["kid"] for key in answer["keys"]] == [rotated.jwks()["keys"][1]["kid"]]
    assert all(set(key) == {"crv", "kty", "x", "y", "kid", "use", "alg"} for key in answer["keys"]), (
        "no private part"
    )


async def test_a_completion_outlives_a_restart_of_postgres(
    lease: wire.ClaimedTask, caller: Caller, postgres: services.Postgres, sql: Sql
):
    postgres.stop()
    try:
        answer = await caller.complete(lease)
        problem(answer, 503, "Unavailable")
        assert answer.headers["retry-after"]
    finally:
        postgres.restart()
    async with asyncio.timeout(120):
        while (answer := await caller.complete(lease)).status_code == 503:
            pass
    assert answer.json()["completions"][0]["status"] == "Completed"
