"""`tracectl get` as a process: every noun, every form, its pages and its bounds."""

from __future__ import annotations

import csv
import io
import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest
import yaml

from tests.integration.query.command import tracectl
from tests.integration.query.world import COLUMNS, NAMESPACE, World, add_tasks
from tests.issuer import Issuer
from traceplane.settings import Settings
from traceplane.userapi.app import app
from traceplane_sdk.columns import FORMS

pytestmark = pytest.mark.services

Get = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> Get:
    """`tracectl` of `alice`, a reader, in a world with a compacted range and 505 tasks."""
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 9)
    add_tasks(world, "follow", 500)
    add_tasks(world, "compact", 5, "Canceled")
    world.user(oidc.url, "alice", "reader")
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))
    return lambda *arguments: tracectl(*arguments, TRACE_USER_URL=url, TRACE_TOKEN=oidc.token("alice"))


@pytest.fixture
def get(run: Get) -> Get:
    """`tracectl get` of the same."""
    return lambda *arguments: run("get", *arguments)


def rows(done: subprocess.CompletedProcess[str]) -> list[dict[str, Any]]:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_every_form_says_the_same(get: Get) -> None:
    expected = rows(get("jobs", "monad", "-o", "json"))
    assert {job["name"]: job["queued"] for job in expected} == {"follow": 500, "compact": 0}
    assert yaml.safe_load(get("jobs", "monad", "-o", "yaml").stdout) == expected
    table = list(csv.DictReader(io.StringIO(get("jobs", "monad", "-o", "csv").stdout)))
    assert {row["name"]: row["queued"] for row in table} == {"follow": "500", "compact": "0"}
    drawn = get("jobs", "monad").stdout
    assert drawn.split()[:3] == ["name", "operator", "runtime"]
    assert "follow" in drawn


def test_tasks_beyond_one_page_come_newest_first_up_to_the_limit(get: Get) -> None:
    found = rows(get("tasks", "monad", "-o", "json", "--limit", "1000"))
    ids = [task["id"] for task in found]
    assert len(set(ids)) == 505
    assert ids == sorted(ids, reverse=True)
    assert [task["id"] for task in rows(get("tasks", "-o", "json", "--limit", "3"))] == ids[:3]
    assert len(rows(get("tasks", "monad", "-o", "json"))) == 50


def test_tasks_are_narrowed(get: Get) -> None:
    canceled = rows(get("tasks", "monad", "--status", "Canceled", "-o", "json"))
    assert {(task["job"], task["status"]) for task in canceled} == {("compact", "Canceled")}
    assert rows(get("tasks", "monad", "--job", "follow", "--status", "Canceled", "-o", "json")) == []
    wrong = get("tasks", "monad", "--status", "Sleeping")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "Sleeping" in wrong.stderr or "status" in wrong.stderr


def test_assets_and_partitions_are_listed(get: Get) -> None:
    assets = rows(get("assets", "-n", NAMESPACE, "-o", "json"))
    assert [asset["name"] for asset in assets] == ["blocks", "cold-blocks", "hot-blocks"]
    one = rows(get("assets", "cold_blocks", "-n", NAMESPACE, "-o", "json"))
    assert (one["name"], one["sql_name"], one["rows"]) == ("cold-blocks", "default.cold_blocks", 10)
    drawn = get("assets", "cold-blocks").stdout
    assert "block_number" in drawn
    assert "Timestamp" in drawn
    lines = list(csv.DictReader(io.StringIO(get("assets", "cold-blocks", "-o", "csv").stdout)))
    assert [(line["name"], line["type"], line["sql_type"]) for line in lines] == [
        (column["name"], column["type"], FORMS[column["type"]].duckdb) for column in COLUMNS
    ]
    assert get("assets", "nothing").returncode == 1
    (partition,) = rows(get("partitions", "cold-blocks", "-o", "json"))
    assert (partition["key"], partition["rows"]) == ("0-9", 10)
    assert rows(get("dags", "-n", "elsewhere", "-o", "json")) == []


def test_lineage_and_waits_are_shown(run: Get) -> None:
    (own,) = rows(run("lineage", "cold-blocks", "-o", "json"))
    assert (own["side"], own["asset"], own["job"]) == ("Asset", "cold-blocks", "compact")
    assert "compact" in run("lineage", "cold_blocks").stdout
    assert run("lineage", "nothing").returncode == 1
    (made,) = rows(run("lineage", "cold-blocks", "--start", "4", "--end", "5", "-o", "json"))
    assert (made["partition"], made["attempt"], made["inputs"]) == ("0-9", 1, [])
    assert rows(run("lineage", "cold-blocks", "--partition", "0-9", "-o", "json")) == [made]
    refused = run("lineage", "cold-blocks", "--start", "4")
    assert (refused.returncode, "start, end: give both" in refused.stderr) == (1, True)
    (wait,) = rows(run("explain", "cold-blocks", "--at", "4", "-o", "json"))
    assert (wait["job"], wait["reason"], wait["message"]) == ("compact", "Done", "a committed partition holds 4")
    assert "NotRunning" in run("explain", "hot-blocks").stdout


@pytest.mark.parametrize("arguments", [("jobs",), ("tasks", "--limit", "0"), ("dags", "-o", "xml"), ("nothing",)])
def test_wrong_usage_is_told_apart_from_a_refusal(arguments: tuple[str, ...]) -> None:
    assert tracectl("get", *arguments).returncode == 2


def test_a_writer_cancels_and_retries_a_task_by_its_id(
    get: Get, world: World, oidc: Issuer, serve: Callable[[Any], str]
) -> None:
    world.user(oidc.url, "wanda", "writer")
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))
    task = rows(get("tasks", "monad", "--status", "Queued", "-o", "json", "--limit", "1"))[0]["id"]
    wanda = {"TRACE_USER_URL": url, "TRACE_TOKEN": oidc.token("wanda")}
    assert json.loads(tracectl("cancel", task, "-o", "json", **wanda).stdout)["status"] == "Canceled"
    again = tracectl("cancel", task, **wanda)
    assert (again.returncode, "nothing to cancel (TaskState)" in again.stderr) == (1, True)
    assert "Queued" in tracectl("retry", task, **wanda).stdout
    refused = tracectl("retry", task, TRACE_USER_URL=url, TRACE_TOKEN=oidc.token("alice"))
    assert (refused.returncode, "writer" in refused.stderr) == (1, True)
    assert tracectl("retry", "no-id", **wanda).returncode == 2
