"""The user API over real HTTP: every route, its door, its pages."""

from __future__ import annotations

import base64
from collections.abc import Callable
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import psycopg
import pytest
from psycopg.types.json import Jsonb

from tests import services
from tests.integration.dispatch.callers import signing_key
from tests.integration.query.conftest import CONTRACT, Get
from tests.integration.query.world import COLUMNS, NAMESPACE, World, add_tasks
from tests.issuer import Issuer
from traceplane.identity.capability import Capabilities
from traceplane.identity.grants import Grants, Prefixes
from traceplane.settings import Settings
from traceplane.userapi.app import app
from traceplane.userapi.routes import ROUTES
from traceplane.web.authentication import Scheme
from traceplane_sdk.columns import FORMS

pytestmark = pytest.mark.services

GUARDED = [route for route in ROUTES if route.scheme is not Scheme.NONE]


def test_shows_dags_and_their_jobs_with_queues(world: World, get: Get) -> None:
    world.federated()
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


def test_an_asset_is_shown_with_its_columns_and_how_far_it_is(world: World, get: Get) -> None:
    hot, cold = world.federated()
    for start in (0, 1000):
        world.compact(hot, cold, start, start + 999)
    world.recompute(cold, 0, 999)
    world.state.execute(
        "INSERT INTO events (id, org_id, dataset_id, dataset_version_id, kind, cursor_value)"
        " SELECT gen_random_uuid(), org_id, dataset_id, id, 'Cursor', n"
        " FROM dataset_versions, unnest(ARRAY[1500, 2500]) n WHERE id = %s",
        (hot,),
    )
    noted = [{**COLUMNS[0], "pii": True, "description": "Height."}, {"name": "new", "type": "Quaternion"}]
    world.state.execute("UPDATE dataset_versions SET columns = %s WHERE id = %s", (Jsonb(noted), hot))
    found = get("/v1/assets/blocks").json()
    assert (found["sql_name"], found["cursor"]) == ("default.blocks", 2500)
    assert (found["partitions"], found["rows"]) == (2, 2000)
    assert found["bytes"] == sum(p["bytes"] for p in get("/v1/assets/blocks/partitions").json()["items"])
    unsaid = {"nullable": False, "pii": False, "description": ""}
    assert found["columns"] == [
        {
            "name": "block_number",
            "type": "Int64",
            "sql_type": FORMS["Int64"].duckdb,
            "nullable": False,
            "pii": True,
            "description": "Height.",
        },
        {"name": "new", "type": "Quaternion", "sql_type": None, **unsaid},
    ]
    assert found["columns"] == get("/v1/assets/hot-blocks").json()["columns"]
    hot_one, cold_one = (get(f"/v1/assets/{name}").json() for name in ("hot-blocks", "cold-blocks"))
    assert (hot_one["cursor"], hot_one["partitions"], hot_one["rows"]) == (2500, 0, 0)
    assert (cold_one["cursor"], cold_one["partitions"], cold_one["rows"]) == (None, 2, 2000)


def test_partitions_of_a_federated_asset_are_its_cold_ones(world: World, get: Get) -> None:
    hot, cold = world.federated()
    for start in range(0, 5000, 1000):
        world.compact(hot, cold, start, start + 999)
    first = get("/v1/assets/blocks/partitions", limit=3).json()
    rest = get("/v1/assets/blocks/partitions", limit=3, cursor=first["next_cursor"]).json()
    assert [p["start"] for p in first["items"] + rest["items"]] == [0, 1000, 2000, 3000, 4000]
    assert rest["next_cursor"] is None
    assert get("/v1/assets/hot-blocks/partitions").json() == {"items": [], "next_cursor": None}


def test_pages_of_partitions_have_each_once_with_and_without_a_range(world: World, get: Get) -> None:
    _, cold = world.federated()
    for key, start in {"b": None, "5-9": 5, "a": None, "-3-4": -3, "5-7": 5, "c": None}.items():
        world.state.execute(
            "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
            " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
            " SELECT org_id, dataset_id, id, %s, %s, %s, 's3://b/x/', '[]', 1, 1, 'x', gen_random_uuid(), 1"
            " FROM dataset_versions WHERE id = %s",
            (key, start, start and 9, cold),
        )
    for limit in (1, 2, 4, 6):
        seen: list[str] = []
        cursor: dict[str, str] = {}
        while len(seen) < 7:
            page = get("/v1/assets/cold-blocks/partitions", limit=limit, **cursor).json()
            seen += [partition["key"] for partition in page["items"]]
            if page["next_cursor"] is None:
                break
            cursor = {"cursor": page["next_cursor"]}
        assert seen == ["-3-4", "5-7", "5-9", "a", "b", "c"]


@pytest.mark.parametrize("route", GUARDED, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_refuses_who_may_not(route: Any, world: World, get: Get, oidc: Issuer, tmp_path: Path) -> None:
    path = route.path.replace("{id:uuid}", str(uuid4())).format(name="blocks")
    world.user(oidc.url, "rolf")
    world.user(oidc.url, "fred", "finance")
    (tmp_path / "key.pem").write_bytes(signing_key())
    capability = Capabilities(tmp_path / "key.pem", issuer="trace").mint(
        claim_id=uuid4(),
        org_id=services.ORG_ID,
        job_id=uuid4(),
        tasks=[],
        grants=Grants([], Prefixes([], [])),
        seconds=60,
    )
    worker = "a-shared-worker-token-of-forty-characters"
    table = {
        "": 401,
        worker: 401,
        capability: 401,
        oidc.token("alice", exp=1): 401,
        oidc.token("alice", aud="trace.task"): 401,
        oidc.token("mallory"): 403,
        oidc.token("rolf"): 403,
        oidc.token("fred"): 403,
    }
    if route.role != "reader":
        table[oidc.token("alice")] = 403
    assert {token: get(path, token, route.method).status_code for token in table} == table
    assert get(path, "", route.method).headers["www-authenticate"] == "Bearer"
    for header in ("X-Trace-Task-Capability", "X-Trace-Worker-Token", "X-Forwarded-User"):
        said = httpx.request(route.method, str(get(path, "").url), headers={header: capability}, timeout=60)
        assert said.status_code == 401


def test_the_release_and_its_clock_are_shown_to_readers_and_health_to_admins(
    world: World, get: Get, oidc: Issuer
) -> None:
    before = datetime.now(UTC)
    found = get("/v1/version").json()
    assert (found["version"], found["api_version"]) == (version_of("traceplane"), "trace.dev/v1alpha1")
    assert before <= datetime.fromisoformat(found["time"]) <= datetime.now(UTC)
    world.user(oidc.url, "ada", "admin")
    assert get("/v1/health", oidc.token("ada")).json() == {"items": [], "next_cursor": None}, "it stands alone here"


def test_user_of_another_organisation_is_nobody_here(world: World, get: Get, oidc: Issuer) -> None:
    other = uuid4()
    world.state.execute("INSERT INTO orgs (id, name) VALUES (%s, 'other')", (other,))
    user = world.user(oidc.url, "olga", "reader")
    world.state.execute("UPDATE users SET org_id = %s WHERE id = %s", (other, user))
    assert get("/v1/dags", oidc.token("olga")).status_code == 403


LONG_CURSOR = base64.urlsafe_b64encode(b'["a", "%s"]' % (b"a" * 1024)).decode()


@pytest.mark.parametrize(
    ("path", "query", "status"),
    [
        ("/v1/nothing", {}, 404),
        ("/v1/dags/none", {}, 404),
        ("/v1/dags/none/tasks", {}, 404),
        ("/v1/dags/none/rollout", {}, 404),
        ("/v1/dags/..%2Fadmin", {}, 404),
        ("/v1/assets/NONE", {}, 404),
        ("/v1/dags/none%00", {}, 404),
        ("/v1/dags/none%00/tasks", {}, 404),
        ("/v1/dags", {"limit": "0"}, 400),
        ("/v1/dags", {"limit": "501"}, 400),
        ("/v1/dags", {"limit": "ten"}, 400),
        ("/v1/dags", {"limit": "9" * 5000}, 400),
        ("/v1/dags", {"limit": "0005009999999"}, 400),
        ("/v1/dags", {"limit": "1" * 5001}, 400),
        ("/v1/dags", {"limit": "-1"}, 400),
        ("/v1/dags", {"cursor": "%%%"}, 400),
        ("/v1/dags", {"cursor": "WzFd"}, 400),
        ("/v1/dags", {"cursor": LONG_CURSOR}, 400),
        ("/v1/dags", {"cursor": "WyJhIl0"}, 400),
        ("/v1/dags", {"namespace": "a b"}, 400),
        ("/v1/dags", {"namespace": "a\0"}, 400),
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


def test_a_refresh_is_shown_to_whom_the_asset_is_for_and_only_where_there_is_one(world: World, get: Get) -> None:
    world.policy("open", "S3")
    world.policy("closed", "S3", roles=["finance"])
    for name, said in (("nothing", "no asset"), ("closed", "no asset"), ("open", "was not refreshed")):
        answer = get(f"/v1/assets/{name}/refresh")
        assert (answer.status_code, said in answer.json()["detail"]) == (404, True), answer.text


def test_a_collection_says_what_it_does_not_understand(world: World, get: Get, oidc: Issuer) -> None:
    world.federated()
    world.user(oidc.url, "ada", "admin")
    for query in ({"keep": "-1"}, {"keep": "10000"}, {"keep": "two"}, {"dry_run": "yes"}):
        answer = get("/v1/dags/monad/gc", oidc.token("ada"), "POST", **query)
        assert answer.status_code == 400, answer.text
        assert answer.json()["detail"].startswith(f"{next(iter(query))}: ")
    found = get("/v1/dags/monad/gc", oidc.token("ada"), "POST", keep="9999", dry_run="true")
    assert found.json() == {"dry_run": True, "items": []}


def test_writing_is_not_there(get: Get, oidc: Issuer, serve: Callable[[Any], str]) -> None:
    url = serve(app(Settings(state_dsn="postgresql://none", oidc_issuer=oidc.url), pytest.fail))
    assert httpx.post(f"{url}/v1/dags", timeout=60).status_code == 405
    assert httpx.post(f"{url}/v1/dags/monad/trigger", timeout=60).status_code == 404


def test_state_away_is_said_and_nothing_secret(oidc: Issuer, serve: Callable[[Any], str]) -> None:
    port = services.free_port()
    settings = Settings(state_dsn=f"postgresql://u:canary-secret@127.0.0.1:{port}/none", oidc_issuer=oidc.url)
    url = serve(app(settings, pytest.fail))
    answer = httpx.get(f"{url}/v1/dags", headers={"Authorization": f"Bearer {oidc.token('alice')}"}, timeout=30)
    assert answer.status_code == 503
    assert "canary" not in answer.text


def _task(world: World, **columns: Any) -> str:
    """A task of `follow`, with these columns; its id."""
    add_tasks(world, "follow", 1)
    names = ", ".join(f"{name} = %s" for name in columns)
    row = world.state.execute(
        f"UPDATE tasks SET {names} WHERE id = (SELECT max(id::text)::uuid FROM tasks) RETURNING id",
        list(columns.values()),
    ).fetchone()
    return str(row[0])


@pytest.fixture
def wanda(world: World, oidc: Issuer) -> str:
    """Token of a writer; jobs are part of the active version."""
    world.federated()
    world.user(oidc.url, "wanda", "writer")
    world.state.execute("UPDATE dag_version_jobs SET max_attempts = 3")
    return oidc.token("wanda")


NOW = datetime.now(UTC)


@pytest.mark.parametrize(
    "over",
    [{"status": "Failed"}, {"status": "Canceled"}, {"status": "Failed", "finished_at": None, "next_retry_at": NOW}],
)
def test_a_task_that_is_over_is_tried_again(world: World, get: Get, wanda: str, over: dict[str, Any]) -> None:
    task = _task(world, attempt=3, max_attempts=3, **{"finished_at": NOW, **over})
    with psycopg.connect(world.databases.state_dsn, autocommit=True) as listener:
        listener.execute("LISTEN trace_wake")
        said = get(f"/v1/tasks/{task}/retry", wanda, "POST")
        assert [found.channel for found in listener.notifies(timeout=60, stop_after=1)] == ["trace_wake"]
    assert said.status_code == 200, said.text
    assert (said.json()["id"], said.json()["status"]) == (task, "Queued")
    assert (said.json()["attempt"], said.json()["max_attempts"]) == (3, 6)
    again = get(f"/v1/tasks/{task}/retry", wanda, "POST")
    assert (again.status_code, again.json()["code"]) == (409, "TaskState")
    assert again.json()["detail"].startswith("the task is Queued: only one that failed")


def test_nothing_is_tried_again_that_nobody_would_run(world: World, get: Get, wanda: str) -> None:
    task = _task(world, status="Failed", attempt=1, finished_at=NOW)
    world.state.execute("DELETE FROM dag_version_jobs")
    said = get(f"/v1/tasks/{task}/retry", wanda, "POST")
    assert (said.status_code, "not part of the running version" in said.json()["detail"]) == (409, True)


def test_a_task_is_canceled_or_asked_to_stop(world: World, get: Get, wanda: str) -> None:
    waiting = _task(world, priority=0)
    assert get(f"/v1/tasks/{waiting}/cancel", wanda, "POST").json()["status"] == "Canceled"
    again = get(f"/v1/tasks/{waiting}/cancel", wanda, "POST")
    assert (again.status_code, again.json()["detail"].split(":")[0]) == (409, "the task is Canceled already")
    running = _task(
        world,
        status="Running",
        attempt=1,
        started_at=NOW,
        claim_id=uuid4(),
        worker_id="w",
        lease_token=uuid4(),
        lease_epoch=1,
        lease_expires_at=NOW,
        heartbeat_at=NOW,
    )
    said = get(f"/v1/tasks/{running}/cancel", wanda, "POST").json()
    assert (said["status"], said["cancel_requested"]) == ("Running", True)
    source = _task(world, cause="Source")
    assert "ends with its DAG" in get(f"/v1/tasks/{source}/cancel", wanda, "POST").json()["detail"]
    assert get(f"/v1/tasks/{uuid4()}/cancel", wanda, "POST").status_code == 404
    assert get("/v1/tasks/none/cancel", wanda, "POST").status_code == 404


def only_version(get: Get) -> dict[str, Any]:
    (only,) = get("/v1/dags/monad/versions").json()["items"]
    return dict(only)


def test_versions_come_newest_first_with_the_active_one_marked(world: World, get: Get, wanda: str) -> None:
    hot = world.state.execute("SELECT id FROM dataset_versions WHERE storage = 'Postgres'").fetchone()[0]
    new = world.next_version(hot)
    found = get("/v1/assets/hot-blocks/versions").json()["items"]
    assert {item["id"]: item["active"] for item in found} == {str(new): True, str(hot): False}
    assert {item["kept"] for item in found} == {"active"}, "by the version of the DAG that has its job"
    assert {item["name"] for item in found} == {only_version(get)["name"]}
    (only,) = get("/v1/dags/monad/versions").json()["items"]
    assert (only["id"], only["active"]) == (str(world.dag_version), True)
    assert len(get("/v1/assets/hot-blocks/versions", limit=1).json()["items"]) == 1


def test_who_has_an_answer_already_gets_none(
    world: World, get: Get, oidc: Issuer, serve: Callable[[Any], str]
) -> None:
    world.federated()
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))
    mine = {"Authorization": f"Bearer {oidc.token('alice')}"}
    first = httpx.get(f"{url}/v1/assets", headers=mine, timeout=60)
    for sent in (first.headers["etag"], f'"other", W/{first.headers["etag"]}'):
        again = httpx.get(f"{url}/v1/assets", headers={**mine, "If-None-Match": sent}, timeout=60)
        assert (again.status_code, again.content) == (304, b"")
        CONTRACT.check(again)
    world.policy("hot-blocks", "Postgres", roles=["finance"])
    changed = httpx.get(f"{url}/v1/assets", headers={**mine, "If-None-Match": first.headers["etag"]}, timeout=60)
    assert changed.status_code == 200
    assert (
        httpx.get(f"{url}/v1/assets", headers={"If-None-Match": first.headers["etag"]}, timeout=60).status_code
        == 401
    )
