"""Refreshes as people and the machine meet them: the command, kills, two at once, schedules, and the way back."""

from __future__ import annotations

import json
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any

import pytest

from tests import services
from tests.integration.query.command import tracectl
from tests.integration.query.conftest import Client
from tests.integration.query.refreshing import Refreshing, came_to, failure
from tests.integration.query.world import NAMESPACE, World
from tests.issuer import Issuer
from tests.support.dispatcher import PATIENCE_SECONDS, running
from traceplane.errors import NotFound
from traceplane.external import refresh, schedule
from traceplane.kit import crash
from traceplane.store.statements import asset_inputs
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import external, gc, rollout
from traceplane_sdk import crashpoints

pytestmark = pytest.mark.services

CONTENT = "n,t\n1,a\n2,b\n"


@pytest.fixture
def refreshing(world: World, tmp_path: Path) -> Iterator[Refreshing]:
    made = Refreshing(world, tmp_path)
    yield made
    made.close()


def test_the_command_says_what_a_refresh_came_to(refreshing: Refreshing, oidc: Issuer, tmp_path: Path) -> None:
    refreshing.world.user(oidc.url, "wanda", "writer", "reader")
    refreshing.world.user(oidc.url, "rita", "reader")
    refreshing.declare("prices", uri=refreshing.put("prices/eth.csv", CONTENT))
    refreshing.declare("closed", uri=refreshing.put("closed/eth.csv", CONTENT), roles=("finance",))
    issuer = {"TRACE_OIDC_ISSUER": oidc.url, "TRACE_OIDC_JWKS_URL": f"{oidc.url}/keys", "TRACE_POLL_SECONDS": "0.2"}
    with running(refreshing.settings, tmp_path, **issuer) as dispatcher:
        dispatcher.wait_ready()

        def run(*arguments: str, user: str = "wanda") -> Any:
            return tracectl(*arguments, TRACE_USER_URL=dispatcher.user_url, TRACE_TOKEN=oidc.token(user))

        made = run("asset", "refresh", "prices", "-o", "json")
        assert made.returncode == 0, made.stderr
        found = json.loads(made.stdout)
        assert (found["result"], found["before"], found["rows"]) == ("Updated", None, 2)
        assert found["version"].startswith("v1-")
        same = run("asset", "refresh", "prices")
        assert (same.returncode, "Unchanged" in same.stdout, "no version was made" in same.stderr) == (
            0,
            True,
            True,
        )

        refreshing.put("prices/eth.csv", "n,t\n1\n")
        bad = run("asset", "refresh", "prices")
        assert bad.returncode == 1
        assert "prices/eth.csv, line 2: 1 fields, where the header has 2" in bad.stderr
        assert f"readers keep {found['version']}" in bad.stderr
        shown = run("get", "assets", "prices")
        assert all(word in shown.stdout for word in ("prices/eth.csv", "line 2", "Int64")), shown.stdout
        one = json.loads(run("get", "assets", "prices", "-o", "json").stdout)
        assert one["external"]["version"] == found["version"]
        assert one["external"]["status"] == "Failed"

        queued = json.loads(run("asset", "refresh", "prices", "--no-wait", "-o", "json").stdout)
        assert queued["status"] in ("Queued", "Running", "Failed")
        for name, user, words in (
            ("prices", "rita", "writer"),
            ("nothing", "wanda", "there is no asset"),
            ("closed", "wanda", "there is no asset"),
        ):
            refused = run("asset", "refresh", name, user=user)
            assert (refused.returncode, words in refused.stderr) == (1, True), refused.stderr


POINTS = (
    refresh.READING,
    crashpoints.COLD_FILE,
    crashpoints.COLD_MANIFEST,
    crashpoints.COLD_SEALED,
    refresh.WRITTEN,
    external.COMMITTING,
    refresh.COMMITTED,
)


def test_a_refresh_killed_anywhere_is_taken_up_and_makes_one_version(
    refreshing: Refreshing, client: Client, tmp_path: Path
) -> None:
    assert set(POINTS) <= set(crash.declared())
    loops = {loop.name: loop.run_once for loop in refreshing.dispatcher.loops()}
    for number, point in enumerate(POINTS, 1):
        refreshing.declare("prices", uri=refreshing.put("prices/eth.csv", CONTENT + f"{number},{point}\n"))
        task = refreshing.ask("prices")
        with running(refreshing.settings, tmp_path, TRACE_CRASH_AT=point) as dispatcher:
            assert dispatcher.process.wait(PATIENCE_SECONDS) == crash.EXIT_CODE, point
        # Its lease ends a minute later, of which nothing is learned.
        refreshing.world.state.execute("UPDATE tasks SET lease_expires_at = now() WHERE status = 'Running'")
        refreshing.run(loops["reaper"]())
        refreshing.world.state.execute("UPDATE tasks SET next_retry_at = now() WHERE status = 'Failed'")
        refreshing.run(loops["retry"]())
        refreshing.work()
        standing = refreshing.standing("prices", task)
        assert came_to(standing) == "Updated", point
        assert str(standing.version).startswith(f"v{number}-"), point
        assert client.rows("SELECT count(*), max(t) FROM prices") == [[3, point]]


def test_two_refreshes_at_once_are_one_and_those_of_another_source_are_two(refreshing: Refreshing) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT))
    first = refreshing.ask("prices")
    assert refreshing.ask("prices") == first
    refreshing.declare("prices", uri=refreshing.put("prices/b.csv", "n,t\n7,z\n"))
    second = refreshing.ask("prices")
    assert second != first
    refreshing.work()
    assert [refreshing.standing("prices", task).status for task in (first, second)] == ["Completed", "Completed"]
    assert refreshing.standing("prices").rows == 1
    running_at_once = refreshing.world.state.execute(
        "SELECT count(*) FROM task_attempts a JOIN task_attempts b ON a.task_id < b.task_id"
        " WHERE a.started_at < b.finished_at AND b.started_at < a.finished_at"
    ).fetchone()
    assert running_at_once == (0,)


def test_an_attempt_that_lost_its_task_commits_nothing(
    refreshing: Refreshing, monkeypatch: pytest.MonkeyPatch
) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT))
    task = refreshing.ask("prices")
    written = refresh.Refresher._upload

    def slow(*given: Any) -> Any:
        # Meanwhile another attempt got the task.
        done = written(*given)
        refreshing.world.state.execute("UPDATE tasks SET lease_epoch = lease_epoch + 1 WHERE id = %s", (task,))
        return done

    monkeypatch.setattr(refresh.Refresher, "_upload", slow)
    refreshing.work()
    assert refreshing.standing("prices").version is None
    assert refreshing.world.state.execute("SELECT count(*) FROM partition_versions").fetchone() == (0,)


def test_a_schedule_asks_once_for_all_the_times_that_passed(refreshing: Refreshing) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT), schedule="*/5 * * * *")
    refreshing.declare("labels", uri=refreshing.put("labels/a.csv", CONTENT))
    (loop,) = [loop for loop in refreshing.dispatcher.loops() if loop.name == "external schedules"]
    assert refreshing.run(loop.run_once()) == 0, "it was declared a moment ago"
    refreshing.world.state.execute("UPDATE assets SET updated_at = now() - interval '1 hour'")
    assert [refreshing.run(loop.run_once()) for _ in range(3)] == [1, 0, 0]
    refreshing.work()
    assert came_to(refreshing.standing("prices")) == "Updated"
    refreshing.world.state.execute("UPDATE tasks SET queued_at = now() - interval '1 hour'")
    assert refreshing.run(loop.run_once()) == 1
    refreshing.work()
    assert came_to(refreshing.standing("prices")) == "Unchanged"


@pytest.mark.parametrize(
    ("when", "zone", "since", "due"),
    [
        ("15 0 * * *", "UTC", "2024-03-01T00:14:59", "2024-03-01T00:15:00"),
        ("15 0 * * *", "UTC", "2024-03-01T00:15:00", "2024-03-02T00:15:00"),
        ("0 9 * * 1", "Europe/Berlin", "2024-03-29T00:00:00", "2024-04-01T07:00:00"),  # summer time began
        ("0 9 * * 1", "Europe/Berlin", "2024-03-22T00:00:00", "2024-03-25T08:00:00"),
    ],
)
def test_the_next_time_is_that_of_the_zone(when: str, zone: str, since: str, due: str) -> None:
    found = schedule.due(when, zone, datetime.fromisoformat(since).replace(tzinfo=UTC))
    assert found is not None
    assert found.astimezone(UTC) == datetime.fromisoformat(due).replace(tzinfo=UTC)
    assert schedule.due("* * * * *", "UTC", datetime.now(UTC)) <= datetime.now(UTC) + timedelta(minutes=1)


def test_a_rollback_holds_its_content_off_and_garbage_goes(refreshing: Refreshing, client: Client) -> None:
    key = external.key(services.ORG_ID, NAMESPACE, "prices")
    bodies = {number: f"n\n{number}\n" for number in (1, 2, 3)}
    for body in bodies.values():
        refreshing.declare("prices", uri=refreshing.put("prices/a.csv", body))
        assert came_to(refreshing.refresh("prices")) == "Updated"
    refreshing.transact(lambda conn: rollout.roll_back(conn, key, version="v1"))
    assert client.rows("SELECT n FROM prices") == [[1]]
    held = refreshing.refresh("prices")
    assert came_to(held) == "Held"
    assert client.rows("SELECT n FROM prices") == [[1]]
    refreshing.transact(lambda conn: rollout.resume(conn, key))
    assert came_to(refreshing.refresh("prices")) == "Restored"
    assert client.rows("SELECT n FROM prices") == [[3]]

    purged = refreshing.transact(lambda conn: gc.collect(conn, key, keep=1, delay_seconds=0, dry_run=False))
    assert [one.kept for one in purged] == [None]
    assert client.rows('SELECT n FROM "prices@v1"') == [[1]], "the one that was active last stays"
    assert client.refused('SELECT n FROM "prices@v2"') == (404, "RelationNotFound")
    refreshing.put("prices/a.csv", bodies[2])
    again = refreshing.refresh("prices")
    assert (came_to(again), str(again.version)[:3]) == ("Updated", "v2-")
    assert client.rows("SELECT n FROM prices") == [[2]]


def test_nothing_is_asked_of_an_asset_that_a_job_makes_or_that_is_deleted(refreshing: Refreshing) -> None:
    refreshing.world.policy("sums", "S3")
    with pytest.raises(external.NotExternal, match="a job makes it"):
        refreshing.ask("sums")
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT))
    refreshing.world.state.execute("UPDATE assets SET deleted_at = now() WHERE name = 'prices'")
    for gone in ("prices", "nothing"):
        with pytest.raises(NotFound, match="there is no asset"):
            refreshing.ask(gone)


def test_what_is_not_external_any_more_is_not_read_and_comes_back(refreshing: Refreshing, client: Client) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT))
    first = refreshing.refresh("prices")
    refreshing.transact(
        lambda conn: external.retire(conn, org_id=services.ORG_ID, namespace=NAMESPACE, asset="prices")
    )
    assert client.refused("SELECT * FROM prices") == (404, "RelationNotFound")
    back = refreshing.refresh("prices")
    assert (came_to(back), back.version) == ("Restored", first.version)
    assert client.rows("SELECT count(*) FROM prices") == [[2]]


def test_a_name_that_a_dag_publishes_is_left_to_it(refreshing: Refreshing, client: Client) -> None:
    refreshing.world.dataset("follow", "Postgres", "hot-blocks")
    refreshing.declare("hot-blocks", uri=refreshing.put("prices/a.csv", CONTENT))
    code, message = failure(refreshing.refresh("hot-blocks"))
    assert (code, "by DAG monad" in message) == ("PublishedElsewhere", True)
    assert client.rows("SELECT count(*) FROM hot_blocks") == [[0]]


def test_jobs_find_it_like_any_published_asset(refreshing: Refreshing) -> None:
    refreshing.declare("prices", uri=refreshing.put("prices/a.csv", CONTENT))
    reader = DagKey(services.ORG_ID, NAMESPACE, "reader")

    def found() -> Any:
        (one,) = refreshing.transact(lambda conn: asset_inputs.current(conn, reader, [(NAMESPACE, "prices")]))
        return one

    assert found().version_id is None
    refreshing.refresh("prices")
    first = found()
    assert (first.storage, [column["name"] for column in first.columns]) == ("S3", ["n", "t"])
    announced = refreshing.world.state.execute(
        "SELECT kind, partition_key FROM events WHERE dataset_version_id = %s", (first.version_id,)
    ).fetchall()
    assert announced == [("Partition", "0-0")]
    refreshing.put("prices/a.csv", "n,t\n9,z\n")
    refreshing.refresh("prices")
    assert found().dataset_id == first.dataset_id
    assert found().version_id != first.version_id
