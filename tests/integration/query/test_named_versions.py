"""A version of a DAG that does not serve is asked by its name, and compared with the one that does."""

from __future__ import annotations

import json
import random
import subprocess
from collections.abc import Callable
from typing import Any

import pytest

from tests import services
from tests.integration.query.command import tracectl
from tests.integration.query.conftest import Client
from tests.integration.query.rollouts import Rollouts
from tests.integration.query.world import World
from tests.issuer import Issuer
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services

ROWS = "SELECT count(*), max(block_number) FROM {}"


@pytest.fixture
def staged(world: World) -> World:
    """The active version has blocks 0 to 19, ten of them cold; the staged one has 0 to 29, all hot but 0 to 4."""
    hot, cold = world.federated()
    world.follow(hot, 0, 19)
    world.compact(hot, cold, 0, 9)
    world.rebuild("follow", "again")
    new_cold, new_hot = world.rebuild("compact", "again", generation=51), world.version("follow")
    world.follow(new_hot, 0, 29)
    world.compact(new_hot, new_cold, 0, 4)
    for version in (new_hot, new_cold):
        world.announce(version, 29)
    return world


def test_a_staged_version_is_asked_before_it_serves_and_a_former_one_after(staged: World, client: Client) -> None:
    for asset, now, then in (("blocks", [20, 19], [30, 29]), ("hot_blocks", [20, 19], [30, 29]),
                             ("cold_blocks", [10, 9], [5, 4])):  # fmt: skip
        assert client.rows(ROWS.format(asset)) == [now]
        assert client.rows(ROWS.format(f'"{asset}@staged"')) == [then]
        assert client.rows(ROWS.format(f'"default"."{asset}@staged"')) == [then]
        assert client.rows(ROWS.format(asset), version="staged") == [then]
    both = 'SELECT count(*) FROM "blocks@staged" s ANTI JOIN blocks b USING (block_number)'
    assert client.rows(both) == [[10]]
    answer = client.post(ROWS.format('"blocks@staged"')).json()
    assert client.rows(ROWS.format('"blocks@staged"'), as_of=answer["as_of"]) == [[30, 29]]

    names = [row[0] for row in staged.state.execute(
        "SELECT 'v' || number || '-' || left(spec_hash, 8) FROM dag_versions WHERE org_id = %s ORDER BY number",
        (services.ORG_ID,))]  # fmt: skip
    with Rollouts(staged) as rollouts:
        assert rollouts.cut_over()
    assert client.rows(ROWS.format("blocks")) == [[30, 29]]
    # A token is of the versions that were staged then, whatever became of them.
    for again in ({}, {"version": "staged"}):
        named = "blocks" if again else '"blocks@staged"'
        assert client.rows(ROWS.format(named), as_of=answer["as_of"], **again) == [[30, 29]]
    before = names[-3]
    for name in (before, before.partition("-")[0]):
        assert client.rows(ROWS.format(f'"blocks@{name}"')) == [[20, 19]]
    assert client.refused(ROWS.format('"blocks@staged"')) == (404, "RelationNotFound")
    assert client.refused(ROWS.format("blocks"), version="staged") == (404, "RelationNotFound")
    assert client.refused(ROWS.format('"blocks@v99"')) == (404, "RelationNotFound")
    # A right is to an asset, whichever of its versions is asked.
    staged.policy("hot-blocks", "Postgres", roles=["nobody"])
    assert client.refused(ROWS.format(f'"hot_blocks@{before}"')) == (404, "RelationNotFound")
    assert client.refused(ROWS.format(f'"blocks@{before}"')) == (404, "RelationNotFound")


def test_what_there_is_is_listed_of_the_active_versions(staged: World, client: Client) -> None:
    listed = client.rows("SHOW TABLES")
    assert listed
    assert client.rows("SHOW TABLES", version="staged") == listed


def test_an_old_name_opens_nothing_that_another_one_closed(world: World, client: Client) -> None:
    raw, clean = world.publish(("raw", "Postgres", "x"), ("clean", "Postgres", "y"))
    world.follow(raw, 0, 9)
    world.follow(clean, 0, 1)
    number = world.state.execute("SELECT max(number) FROM dag_versions WHERE org_id = %s", (services.ORG_ID,))
    (last,) = number.fetchone() or (0,)
    assert client.rows(f'SELECT count(*) FROM "y@v{last}"') == [[2]]
    # `raw` is published under a name that is closed, and its old name means another dataset now.
    world.republish(private="raw", x="clean")
    world.policy("private", "Postgres", roles=["nobody"])
    assert client.rows("SELECT count(*) FROM x") == [[2]]
    for name in ("private", f"private@v{last + 1}", f"x@v{last}", f"y@v{last}"):
        assert client.refused(f'SELECT count(*) FROM "{name}"') == (404, "RelationNotFound"), name
    assert client.rows(f'SELECT count(*) FROM "x@v{last + 1}"') == [[2]]


def test_a_read_of_personal_data_is_recorded_under_the_asset(staged: World, client: Client) -> None:
    staged.mark_personal(staged.version("follow"), "note")
    client.rows('SELECT note FROM "hot_blocks@staged"')
    recorded = staged.data.execute("SELECT relation FROM trace.pii_access_log").fetchall()
    assert recorded == [("hot-blocks",)]


def test_a_version_that_is_none_is_refused(staged: World, client: Client) -> None:
    assert client.refused("SELECT 1", version="newest")[0] == 400
    assert client.refused("FROM blocks", version="staged", mode="batch")[0] == 400


Run = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def run(world: World, client: Client, oidc: Issuer, serve: Callable[[Any], str]) -> Run:
    """`tracectl` of `alice`, a reader, with both services."""
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))
    return lambda *arguments: tracectl(
        *arguments, TRACE_USER_URL=url, TRACE_QUERY_URL=client.url, TRACE_TOKEN=oidc.token("alice")
    )


def test_a_diff_counts_what_random_edits_did(staged: World, run: Run) -> None:
    chosen = random.Random(7).sample(range(30), 30)
    gone, noted, valued = set(chosen[:4]), set(chosen[4:9]), set(chosen[9:12])
    new_hot = staged.version("follow")
    for number in range(5):
        gone.discard(number)  # cold in the staged version: no edit of its hot rows shows
        noted.discard(number)
        valued.discard(number)
    table = f"hot.d_{new_hot.hex}"
    staged.data.execute(f"DELETE FROM {table} WHERE block_number = ANY(%s)", (list(gone),))
    staged.data.execute(f"UPDATE {table} SET note = 'edited' WHERE block_number = ANY(%s)", (list(noted),))
    staged.data.execute(f"UPDATE {table} SET value = value + 1 WHERE block_number = ANY(%s)", (list(valued),))
    old = range(20)
    done = run("diff", "blocks", "-o", "json", "--samples", "100")
    assert done.returncode == 0, done.stderr
    found = json.loads(done.stdout)
    changed = (noted | valued) & set(old)
    assert (found["added"], found["removed"], found["changed"], found["same"]) == (
        len(set(range(20, 30)) - gone),
        len(gone & set(old)),
        len(changed),
        20 - len(gone & set(old)) - len(changed),
    )
    counted = {"note": len(noted & set(old)), "value": len(valued & set(old))}
    assert found["changed_columns"] == {name: count for name, count in counted.items() if count}
    shown = {(row["kind"], row["block_number"]): row["columns"] for row in found["samples"]}
    assert shown == {
        **{("added", number): None for number in set(range(20, 30)) - gone},
        **{("removed", number): None for number in gone & set(old)},
        **{("changed", number): "note" if number in noted else "value" for number in changed},
    }
    part = json.loads(run("diff", "blocks", "--start", "20", "--end", "24", "-o", "json", "--samples", "1").stdout)
    assert (part["added"], part["same"]) == (len(set(range(20, 25)) - gone), 0)
    assert len(part["samples"]) == min(1, part["added"])
    assert "added" in run("diff", "blocks").stdout
    assert run("diff", "blocks", "--version", "v99").returncode == 1
    assert json.loads(run("query", "SELECT max(block_number) AS head FROM blocks", "--version", "staged",
                          "-o", "json").stdout)["rows"] == [[max(set(range(30)) - gone)]]  # fmt: skip


def test_a_diff_with_a_preview_is_of_its_range_unless_another_is_given(staged: World, run: Run) -> None:
    staged.rebuild("compact", "again", 52, preview={"range": {"start": 18, "end": 22}})

    def diff(*arguments: str) -> dict[str, Any]:
        done = run("diff", "blocks", "-o", "json", "--samples", "0", *arguments)
        assert done.returncode == 0, done.stderr
        found: dict[str, Any] = json.loads(done.stdout)
        return {name: found[name] for name in ("start", "end", "added", "removed", "same")}

    sample = {"start": 18, "end": 22, "added": 3, "removed": 0, "same": 2}
    assert diff() == sample
    (number,) = staged.state.execute("SELECT max(number) FROM dag_versions").fetchone()
    assert diff("--version", f"v{number}") == sample
    assert diff("--end", "20") == {"start": None, "end": 20, "added": 1, "removed": 0, "same": 20}
    drawn = run("diff", "blocks", "--samples", "0").stdout
    assert drawn.split()[3:5] == ["start", "end"], drawn
    staged.rebuild("compact", "again", 53)
    assert diff() == {"start": None, "end": None, "added": 10, "removed": 0, "same": 20}
