"""The user API over real HTTP: every route, its door, its pages."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import uuid4

import httpx
import pytest

from tests import services
from tests.integration.query.world import NAMESPACE, World
from tests.issuer import Issuer
from traceplane.settings import Settings
from traceplane.userapi.app import app
from traceplane.userapi.routes import ROUTES

pytestmark = pytest.mark.services

Get = Callable[..., httpx.Response]


@pytest.fixture
def get(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> Get:
    """GET as `alice`, a reader, or with another token."""
    world.user(oidc.url, "alice", "reader")
    settings = Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url, jwks_min_refresh_seconds=0.001)
    url = serve(app(settings))

    def fetch(path: str, token: str | None = None, **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or oidc.token('alice')}"}
        return httpx.get(f"{url}{path}", headers=headers if token != "" else {}, params=query, timeout=10)

    return fetch


def add_tasks(world: World, job: str, count: int, status: str = "Queued") -> None:
    """Queued or canceled tasks of a job."""
    finished = "now()" if status == "Canceled" else "NULL"
    world.state.execute(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, status, scope, finished_at)"
        f" SELECT org_id, namespace, id, %s || g, 'Event', %s, '{{}}', {finished}"
        " FROM jobs, generate_series(1, %s) g WHERE name = %s",
        (str(uuid4()), status, count, job),
    )


def join_dag(world: World) -> None:
    """Make every job a member of the active version."""
    world.state.execute(
        "INSERT INTO dag_version_jobs (dag_version_id, job_id, org_id, runtime, priority,"
        " heartbeat_timeout_seconds, min_workers, max_workers, placement)"
        " SELECT %s, id, org_id, 'Pod', 0, 60, 0, 4, '{}' FROM jobs",
        (world.dag_version,),
    )


def test_shows_dags_and_their_jobs_with_queues(world: World, get: Get) -> None:
    world.federated()
    join_dag(world)
    add_tasks(world, "follow", 3)
    listed = get("/v1/dags").json()
    assert [(d["namespace"], d["name"], d["jobs"]) for d in listed["items"]] == [(NAMESPACE, "monad", 2)]
    assert get("/v1/dags/monad").json() == listed["items"][0]
    jobs = {job["name"]: job for job in get("/v1/dags/monad/jobs").json()["items"]}
    assert {name: job["queued"] for name, job in jobs.items()} == {"follow": 3, "compact": 0}
    assert jobs["follow"]["oldest_queued_at"] is not None


def test_tasks_come_in_pages_newest_first_and_each_once(world: World, get: Get) -> None:
    world.federated()
    add_tasks(world, "follow", 25)
    add_tasks(world, "compact", 5, "Canceled")
    seen: list[str] = []
    cursor: dict[str, str] = {}
    for _ in range(4):
        page = get("/v1/dags/monad/tasks", limit=10, **cursor).json()
        seen += [task["id"] for task in page["items"]]
        if page["next_cursor"] is None:
            break
        cursor = {"cursor": page["next_cursor"]}
    assert len(seen) == 30
    assert seen == sorted(set(seen), reverse=True)


def test_tasks_are_narrowed_by_status_and_job(world: World, get: Get) -> None:
    world.federated()
    add_tasks(world, "follow", 2)
    add_tasks(world, "compact", 1, "Canceled")
    canceled = get("/v1/dags/monad/tasks", status="Canceled").json()["items"]
    assert [task["job"] for task in canceled] == ["compact"]
    assert len(get("/v1/dags/monad/tasks", job="follow").json()["items"]) == 2


def test_assets_are_shown_to_whom_they_are_for(world: World, get: Get, oidc: Issuer) -> None:
    _, cold = world.federated()
    world.policy("cold-blocks", "S3", roles=["finance"])
    world.user(oidc.url, "fiona", "reader", "finance")
    names = [asset["name"] for asset in get("/v1/assets").json()["items"]]
    assert names == ["hot-blocks"], "what is made of something closed is closed"
    fiona = oidc.token("fiona")
    assert [a["name"] for a in get("/v1/assets", fiona).json()["items"]] == ["blocks", "cold-blocks", "hot-blocks"]
    assert get("/v1/assets/cold-blocks").status_code == 404
    assert get("/v1/assets/cold-blocks", fiona).json()["version"] == str(cold)
    assert get("/v1/assets/hot-blocks").json()["columns"][0]["name"] == "block_number"


def test_partitions_of_a_federated_asset_are_its_cold_ones(world: World, get: Get) -> None:
    hot, cold = world.federated()
    for start in range(0, 5000, 1000):
        world.compact(hot, cold, start, start + 999)
    first = get("/v1/assets/blocks/partitions", limit=3).json()
    rest = get("/v1/assets/blocks/partitions", limit=3, cursor=first["next_cursor"]).json()
    assert [p["start"] for p in first["items"] + rest["items"]] == [0, 1000, 2000, 3000, 4000]
    assert rest["next_cursor"] is None
    assert get("/v1/assets/hot-blocks/partitions").json() == {"items": [], "next_cursor": None}


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: route.path)
def test_every_route_refuses_who_may_not(route: Any, world: World, get: Get, oidc: Issuer) -> None:
    path = route.path.format(name="blocks")
    world.user(oidc.url, "rolf")
    world.user(oidc.url, "fred", "finance")
    worker = "a-shared-worker-token-of-forty-characters"
    table = {
        "": 401,
        worker: 401,
        oidc.token("alice", exp=1): 401,
        oidc.token("alice", aud="trace.task"): 401,
        oidc.token("mallory"): 403,
        oidc.token("rolf"): 403,
        oidc.token("fred"): 403,
    }
    assert {token: get(path, token).status_code for token in table} == table
    assert get(path, "").headers["www-authenticate"] == "Bearer"


def test_user_of_another_organisation_is_nobody_here(world: World, get: Get, oidc: Issuer) -> None:
    other = uuid4()
    world.state.execute("INSERT INTO orgs (id, name) VALUES (%s, 'other')", (other,))
    user = world.user(oidc.url, "olga", "reader")
    world.state.execute("UPDATE users SET org_id = %s WHERE id = %s", (other, user))
    assert get("/v1/dags", oidc.token("olga")).status_code == 403


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/v1/nothing", {}, 404),
        ("/v1/dags/none", {}, 404),
        ("/v1/dags/none/tasks", {}, 404),
        ("/v1/dags/..%2Fadmin", {}, 404),
        ("/v1/assets/NONE", {}, 404),
        ("/v1/dags", {"limit": "0"}, 400),
        ("/v1/dags", {"limit": "501"}, 400),
        ("/v1/dags", {"limit": "ten"}, 400),
        ("/v1/dags", {"limit": "9" * 5000}, 400),
        ("/v1/dags", {"cursor": "%%%"}, 400),
        ("/v1/dags", {"cursor": "WzFd"}, 400),
        ("/v1/dags", {"namespace": "a b"}, 400),
        ("/v1/dags/monad/tasks", {"status": "queued"}, 400),
        ("/v1/dags/monad/tasks", {"cursor": "WyJ4Il0"}, 400),
    ],
)
def test_wrong_requests_are_told_what_is_wrong(path: str, query: dict[str, str], status: int, get: Get) -> None:
    answer = get(path, **query)
    assert answer.status_code == status, answer.text
    assert answer.headers["content-type"] == "application/problem+json"
    for name in query:
        assert answer.json()["detail"].startswith(f"{name}: ")


def test_writing_is_not_there(get: Get, oidc: Issuer, serve: Callable[[Any], str]) -> None:
    url = serve(app(Settings(state_dsn="postgresql://none", oidc_issuer=oidc.url)))
    assert httpx.post(f"{url}/v1/dags").status_code == 405
    assert httpx.post(f"{url}/v1/dags/monad/rollback").status_code == 404


def test_state_away_is_said_and_nothing_secret(oidc: Issuer, serve: Callable[[Any], str]) -> None:
    port = services.free_port()
    settings = Settings(state_dsn=f"postgresql://u:canary-secret@127.0.0.1:{port}/none", oidc_issuer=oidc.url)
    url = serve(app(settings))
    answer = httpx.get(f"{url}/v1/dags", headers={"Authorization": f"Bearer {oidc.token('alice')}"}, timeout=30)
    assert answer.status_code == 503
    assert "canary" not in answer.text
