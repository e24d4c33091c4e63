"""`tracectl rollout`, `rollback` and `get versions` as a process, through the user API."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests import services
from tests.integration.query.command import tracectl
from tests.integration.query.rollouts import Rollouts
from tests.integration.query.world import World
from tests.issuer import Issuer
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services

Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> Run:
    """`tracectl` of `wendy`, a writer, or of another, beside a DAG of two sources."""
    world.federated()
    world.user(oidc.url, "wendy", "reader", "writer")
    world.user(oidc.url, "rita", "reader")
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))

    def command(*arguments: str, user: str = "wendy") -> subprocess.CompletedProcess[str]:
        return tracectl(*arguments, TRACE_USER_URL=url, TRACE_TOKEN=oidc.token(user))

    return command


def cut_over(world: World, manual: bool = False) -> bool:
    with Rollouts(world) as rollouts:
        return rollouts.cut_over(manual=manual)


def rows(done: subprocess.CompletedProcess[str]) -> Any:
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


def test_a_rollout_is_shown_approved_and_rolled_back(world: World, run: Run) -> None:
    before = rows(run("rollout", "status", "monad", "-o", "json"))
    assert (before["phase"], before["staged_version"], before["jobs"]) == ("NothingStaged", None, [])
    new = world.rebuild("follow", "again")
    found = rows(run("rollout", "status", "monad", "-o", "json"))
    assert (found["phase"], found["active_version"], found["approved"]) == (
        "Rebuilding",
        before["active_version"],
        False,
    )
    assert [(job["job"], job["waits"]) for job in found["jobs"]] == [("follow", "it has written nothing yet")]
    drawn = run("rollout", "status", "monad").stdout
    assert "it has written nothing yet" in drawn

    world.announce(new, 9)
    assert not cut_over(world, manual=True), "nobody approved"
    wrong = run("rollout", "approve", "monad", "--version", "v1")
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "is not staged; the staged version of DAG monad is v" in wrong.stderr
    assert rows(run("rollout", "approve", "monad", "-o", "json"))["approved"]
    assert cut_over(world, manual=True)
    after = rows(run("rollout", "status", "monad", "-o", "json"))
    assert (after["active_version"], after["phase"]) == (found["staged_version"], "NothingStaged")
    assert run("rollout", "watch", "monad").stdout == f"{after['active_version']} is active\n"

    back = rows(run("rollback", "monad", "-o", "json"))
    assert (back["active_version"], back["held"]) == (before["active_version"], True)
    listed = rows(run("get", "versions", "monad", "-o", "json"))
    assert [one["name"] for one in listed if one["active"]] == [before["active_version"]]
    assert all(one["activated_at"] for one in listed)
    assert not rows(run("rollout", "resume", "monad", "-o", "json"))["held"]
    again = run("rollback", "monad", "--to", "v99")
    assert (again.returncode, again.stdout) == (1, "")
    assert "has no version 'v99'; `tracectl get versions monad` lists them" in again.stderr


def test_a_preview_is_shown_and_watched_until_it_is_built(world: World, run: Run) -> None:
    new = world.rebuild("follow", "again", preview={"range": {"start": 4, "end": 9}})
    world.announce(new, 8)
    found = rows(run("rollout", "status", "monad", "-o", "json"))
    assert (found["phase"], found["preview"]) == ("Rebuilding", {"start": 4, "end": 9})
    assert [job["waits"] for job in found["jobs"]] == ["it is at 8 of 9"]
    world.announce(new, 9)
    assert rows(run("rollout", "status", "monad", "-o", "json"))["phase"] == "Preview"
    assert "4-9" in run("rollout", "status", "monad").stdout
    rows(run("rollout", "approve", "monad", "-o", "json"))
    assert not cut_over(world, manual=True), "approved or not, it is a sample"
    watched = run("rollout", "watch", "monad")
    said = (
        f"{found['staged_version']} is built over 4-9, as spec.rollout.preview says; it does not take over before"
    )
    assert (watched.returncode, said in watched.stdout) == (0, True)
    world.rebuild("follow", "again", generation=51)
    whole = rows(run("rollout", "status", "monad", "-o", "json"))
    assert (whole["staged_version"], whole["preview"]) == (found["staged_version"], None)
    assert cut_over(world, manual=True)


def test_watching_ends_with_1_where_the_rebuild_failed_or_takes_too_long(world: World, run: Run) -> None:
    world.rebuild("follow", "again")
    late = run("rollout", "watch", "monad", "--timeout", "1")
    assert late.returncode == 1
    assert "[......" in late.stdout
    assert "not active after 1 s; it goes on" in late.stderr
    world.state.execute(
        "UPDATE tasks t SET status = 'Failed', attempt = 3, finished_at = now(),"
        """ error = '{"code": "Broken", "message": "no such chain"}' FROM jobs j"""
        " WHERE j.id = t.job_id AND j.name = 'follow' AND t.org_id = %s",
        (services.ORG_ID,),
    )
    failed = run("rollout", "watch", "monad")
    assert failed.returncode == 1
    assert (
        "the rebuild failed: follow: 1 tasks failed for good, the last with Broken: no such chain" in failed.stderr
    )


def test_a_reader_looks_and_moves_nothing(world: World, run: Run) -> None:
    assert run("rollout", "status", "monad", user="rita").returncode == 0
    for verb in (("rollback", "monad"), ("rollout", "approve", "monad"), ("rollout", "resume", "monad")):
        refused = run(*verb, user="rita")
        assert (refused.returncode, refused.stdout) == (1, "")
        assert "writer" in refused.stderr
    unknown = run("rollout", "status", "nowhere")
    assert "there is no DAG nowhere" in unknown.stderr
