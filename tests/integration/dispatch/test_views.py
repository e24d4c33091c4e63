"""Views of the data database show what the pointers say, and nothing that is not Trace's is touched."""

from __future__ import annotations

import os
import random
import subprocess
import sys
import threading
from typing import Any

import psycopg
import pytest

from tests import services
from tests.docs.blocks import ROOT, of_page
from tests.integration.dispatch.views import BOTH, DAG, VIEWER, Reading, manifest
from tests.support.seeds import seeds
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.effects.purging import DropHotTable
from traceplane.errors import Unavailable
from traceplane.kit import crash
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.statements import asset_policies
from traceplane.store.statements.asset_policies import Policy
from traceplane.store.statements.outbox import OutboxRow
from traceplane.versions import deletion, rollout
from traceplane.versions.rollout import NotPossible

pytestmark = pytest.mark.services


@pytest.fixture
def reading(dispatcher: Dispatcher, databases: services.Databases) -> Reading:
    with psycopg.connect(databases.data_dsn, autocommit=True) as connection:
        for statement in ("CREATE ROLE trace_views NOLOGIN", f"CREATE ROLE {VIEWER} LOGIN IN ROLE trace_views"):
            try:
                connection.execute(statement)
            except psycopg.errors.DuplicateObject:
                continue  # roles are the server's, which other tests use as well
    return Reading(dispatcher, databases)


def policy(name: str, *roles: str) -> Policy:
    return Policy(name=name, resource_uid="uid", storage="Postgres", read_roles=roles)


async def declare(reading: Reading, *policies: Policy) -> None:
    async with reading.dispatcher.state.transaction() as conn:
        await asset_policies.declare(conn, org_id=services.ORG_ID, namespace="demo", policies=policies)


async def test_a_view_comes_with_the_table_and_shows_it_to_readers_alone(reading: Reading) -> None:
    spec = manifest(20)
    spec["spec"]["publish"].append({"asset": "hot-blocks", "from": {"job": "follow", "output": "blocks"}})
    await reading.deploy(spec)
    assert reading.data("SELECT 1 FROM pg_views WHERE schemaname = 'demo'") == [], "no table yet"
    await reading.drain()
    reading.fill()
    assert reading.viewed("SELECT range_start, range_end FROM demo.narrow") == [(0, 20)]
    assert reading.viewed("SELECT range_end FROM demo.wide_ranges") == [(40,)]
    kinds = dict(
        reading.viewed(
            "SELECT column_name, data_type FROM information_schema.columns WHERE table_name = 'hot_blocks'"
        )
    )
    assert (kinds["block_number"], kinds["difficulty"]) == ("bigint", "numeric")
    (table,) = reading.data("SELECT tablename FROM pg_tables WHERE schemaname = 'hot' LIMIT 1")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reading.viewed(f"SELECT * FROM hot.{table[0]}")
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reading.viewed("DELETE FROM demo.narrow RETURNING 1")


def as_typed(command: str, reading: Reading) -> str:
    """What a command of psql writes; nothing for another one."""
    if not command.startswith("psql"):
        return ""
    known = os.environ | {"DATA_DSN": reading.viewer_dsn, "PAGER": "cat"}
    return subprocess.run(command, shell=True, env=known, capture_output=True, check=True, text=True).stdout


async def test_the_commands_of_the_page_read_the_views_of_a_namespace_called_trace(reading: Reading) -> None:
    spec = manifest(20)
    spec["metadata"]["namespace"] = "trace"
    spec["spec"]["publish"].append({"asset": "hot-blocks", "from": {"job": "follow", "output": "blocks"}})
    await reading.deploy(spec)
    await reading.drain()
    said = [as_typed(command.text, reading) for command in of_page(ROOT / "docs" / "howto" / "analysts.md")]
    said = [text for text in said if text]
    assert "(1 row)" in said[0]
    assert ["hot_blocks" in said[1], "narrow" in said[1], "write_fences" in said[1]] == [True, True, False]


async def test_personal_data_is_not_shown_and_what_has_roles_is_not_open(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    await declare(reading, policy("narrow", "finance"))
    await reading.drain()
    with pytest.raises(psycopg.errors.InsufficientPrivilege):
        reading.viewed("SELECT * FROM demo.narrow")
    assert reading.shown() == {"narrow": 20, "wide_ranges": 40}, "its owner may grant it to whom it should"
    await declare(reading, policy("narrow"))
    await reading.drain()
    assert reading.viewed("SELECT range_end FROM demo.narrow") == [(20,)]
    reading.state(
        "UPDATE dataset_versions v SET columns = (SELECT jsonb_agg(CASE WHEN c ->> 'name' = 'dedupe_key'"
        " THEN c || '{\"pii\": true}' ELSE c END) FROM jsonb_array_elements(v.columns) c)"
    )
    await reading.dispatcher.views.look()
    with pytest.raises(psycopg.errors.UndefinedColumn):
        reading.viewed("SELECT dedupe_key FROM demo.narrow")
    assert reading.viewed("SELECT range_end FROM demo.narrow") == [(20,)], "and the role may read the new view"


class Readers:
    """Two people who read both views, each time in one transaction, with little thought between."""

    def __init__(self, reading: Reading) -> None:
        self.seen: list[tuple[int, int]] = []
        self.errors: list[Exception] = []
        self._stop = threading.Event()
        self._threads = [
            threading.Thread(target=self._read, args=(reading.viewer_dsn, isolation, order))
            for isolation, order in (
                (psycopg.IsolationLevel.READ_COMMITTED, ("narrow", "wide_ranges")),
                (psycopg.IsolationLevel.REPEATABLE_READ, ("wide_ranges", "narrow")),
            )
        ]

    def _read(self, dsn: str, isolation: psycopg.IsolationLevel, order: tuple[str, str]) -> None:
        with psycopg.connect(dsn) as connection:
            connection.isolation_level = isolation
            while not self._stop.wait(random.uniform(0, 0.03)):
                try:
                    with connection.transaction():
                        got = {view: self._one(connection, view) for view in order}
                except Exception as error:  # kept for the test to show
                    self.errors.append(error)
                    return
                self.seen.append((got["narrow"], got["wide_ranges"]))

    @staticmethod
    def _one(connection: psycopg.Connection[Any], view: str) -> int:
        ((size,),) = connection.execute(f"SELECT range_end FROM demo.{view}").fetchall()
        return int(size)

    def __enter__(self) -> Readers:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(self, *_: object) -> None:
        self._stop.set()
        for thread in self._threads:
            thread.join(30)


async def test_readers_see_one_version_in_a_transaction_through_fifty_moves(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    await reading.version(30)
    await reading.drain()
    with Readers(reading) as readers:
        for _ in range(25):
            for version, size in (("v1", 20), ("v2", 30)):
                await reading.run(rollout.roll_back, version=version)
                await moved(reading, size)
    assert readers.errors == []
    assert {wide == 2 * narrow for narrow, wide in readers.seen} == {True}
    assert {narrow for narrow, _ in readers.seen} == {20, 30}


async def moved(reading: Reading, size: int) -> None:
    """The views are at a version: a move may have to come back, since readers hold them."""
    for _ in range(20):
        await reading.dispatcher.views.look()
        if reading.shown()["narrow"] == size:
            return
    raise AssertionError(f"the views are not at {size}")


async def test_a_move_gives_way_to_a_reader_and_comes_back(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    with psycopg.connect(reading.viewer_dsn) as reader:
        assert reader.execute("SELECT range_end FROM demo.narrow").fetchall() == [(20,)]
        await reading.version(30)
        with pytest.raises(Unavailable, match=r"a transaction that reads view demo\.narrow is still open"):
            await reading.dispatcher.views.move(DAG)
        assert reader.execute("SELECT range_end FROM demo.wide_ranges").fetchall() == [(40,)], "of the same version"
        reader.rollback()
        await reading.dispatcher.views.move(DAG)
        assert reader.execute("SELECT range_end FROM demo.narrow").fetchall() == [(30,)]


async def test_what_is_not_traces_is_not_touched_and_the_rest_moves(reading: Reading) -> None:
    reading.data("CREATE SCHEMA demo")
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    assert reading.shown() == {}, "the schema is somebody's"
    reading.data("COMMENT ON SCHEMA demo IS 'trace.dev views of namespace demo'")
    reading.data("CREATE TABLE demo.narrow (n int)")
    await reading.dispatcher.views.look()
    states = {state: metrics.VIEWS.labels(state)._value.get() for state in ("refused", "behind", "current")}
    assert states == {"refused": 1, "behind": 0, "current": 1}
    assert reading.data("SELECT * FROM demo.narrow") == []
    assert reading.shown() == {"wide_ranges": 40}
    reading.data("DROP TABLE demo.narrow")
    reading.data("CREATE VIEW demo.narrow AS SELECT 7 AS range_end")
    await reading.dispatcher.views.look()
    assert reading.shown() == {"narrow": 7, "wide_ranges": 40}, "a view of a user's is no view of Trace's"
    reading.data("DROP VIEW demo.narrow")
    await reading.dispatcher.views.look()
    assert reading.shown() == {"narrow": 20, "wide_ranges": 40}


async def test_views_that_a_user_built_on_one_follow_it_or_hold_it(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    reading.data("CREATE VIEW public.mine AS SELECT dedupe_key, range_end FROM demo.narrow")
    await reading.version(30)
    await reading.drain()
    assert reading.data("SELECT range_end FROM public.mine") == [(30,)]
    reading.state(
        "UPDATE dataset_versions v SET columns = (SELECT jsonb_agg(CASE WHEN c ->> 'name' = 'dedupe_key'"
        " THEN c || '{\"pii\": true}' ELSE c END) FROM jsonb_array_elements(v.columns) c)"
    )
    with pytest.raises(Unavailable, match=r"view demo\.narrow has to go, or to change its columns: .*view mine"):
        await reading.dispatcher.views.move(DAG)
    reading.data("DROP VIEW public.mine")
    await reading.dispatcher.views.move(DAG)
    with pytest.raises(psycopg.errors.UndefinedColumn):
        reading.data("SELECT dedupe_key FROM demo.narrow")


async def test_a_table_that_a_view_reads_is_dropped_once_none_does(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    old = dict(reading.state("SELECT j.name, v.location FROM dataset_versions v JOIN jobs j ON j.id = v.job_id"))
    await reading.version(30)
    effect = DropHotTable(reading.dispatcher.data, reading.dispatcher.views)
    row = OutboxRow(1, services.ORG_ID, "drop_hot_table", {"location": old["ranges"]}, 1)
    assert reading.shown() == {"narrow": 20, "wide_ranges": 40}, "the move has not come yet"
    assert await effect.perform(row)
    assert reading.shown() == {"narrow": 30, "wide_ranges": 60}, "so the drop moved them first"
    assert reading.data("SELECT to_regclass(%s)", old["ranges"]) == [(None,)]
    reading.data(f"CREATE VIEW demo.mine AS SELECT * FROM {old['wide']}")
    row = OutboxRow(1, services.ORG_ID, "drop_hot_table", {"location": old["wide"]}, 1)
    with pytest.raises(Unavailable, match=r"stays while views read it: demo\.mine"):
        await effect.perform(row)
    reading.data("DROP VIEW demo.mine")
    assert await effect.perform(row)


async def test_a_name_that_goes_to_another_dag_is_that_ones(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.deploy(manifest(50, ("other",), name="also"))
    await reading.drain()
    reading.fill()
    await reading.deploy(manifest(20, ("wide-ranges",)))
    taken = manifest(50, ("narrow", "other"), name="also")
    await reading.deploy(taken)
    # The DAG that had it moves last.
    await reading.dispatcher.views.move(type(DAG)(DAG.org_id, DAG.namespace, "also"))
    await reading.dispatcher.views.move(DAG)
    assert reading.shown() == {"narrow": 50, "wide_ranges": 40, "other": 100}


def killed_move(reading: Reading, point: str) -> int:
    """A process that moves the DAG's views and is killed at a point; its exit code."""
    dsns = reading.databases.state_dsn, reading.databases.data_dsn
    program = f"""
import asyncio
from uuid import UUID
from traceplane.dispatch.views import Views
from traceplane.kit import crash
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey

async def main():
    state, data = (Database(dsn, application="t") for dsn in {dsns!r})
    crash.arm({point!r})
    await Views(state, data, UUID({str(services.ORG_ID)!r}), "trace_views").move(
        DagKey(UUID({str(services.ORG_ID)!r}), "demo", "chain"))

asyncio.run(main())
"""
    return subprocess.run([sys.executable, "-c", program], timeout=60, check=False).returncode


async def test_a_move_that_is_killed_leaves_the_views_of_before_and_is_done_again(reading: Reading) -> None:
    await reading.deploy(manifest(20))
    await reading.drain()
    reading.fill()
    await reading.version(30)
    assert killed_move(reading, "views.made") == crash.EXIT_CODE
    assert reading.shown() == {"narrow": 20, "wide_ranges": 40}
    await reading.drain()
    assert reading.shown() == {"narrow": 30, "wide_ranges": 60}


@pytest.mark.parametrize("seed", seeds(2, 8))
async def test_through_any_changes_the_views_are_those_of_what_is_published(reading: Reading, seed: int) -> None:
    draw = random.Random(seed)
    made: list[tuple[int, tuple[str, ...]]] = []
    active: int | None = None
    deleted = True
    choices = (BOTH, ("narrow",), ("other",), ("narrow", "other"), ())
    for step in range(30):
        act = draw.choice(("deploy", "deploy", "rollback", "delete", "drop", "hand", "look"))
        if act == "deploy":
            spec = (draw.choice((20, 30, 40)), draw.choice(choices))
            done = await reading.deploy(manifest(*spec))
            await reading.drain()
            if done.result == "Staged":
                reading.fill()
                await reading.cut_over()
            if spec not in made:
                made.append(spec)
            if done.result != "Held":
                active, deleted = made.index(spec), False
        elif act == "rollback" and active is not None and not deleted:
            target = draw.randrange(len(made))
            try:
                await reading.run(rollout.roll_back, version=f"v{target + 1}")
                active = target
            except NotPossible:
                assert target == active
        elif act == "delete":
            await reading.run(deletion.begin, f"uid-chain-{reading.life}")
            reading.life += not deleted
            deleted = True
        elif act in ("drop", "hand"):
            for (name,) in reading.data("SELECT viewname FROM pg_views WHERE schemaname = 'demo'")[:1]:
                reading.data(f"DROP VIEW demo.{name}")
                if act == "hand":
                    reading.data(f"CREATE VIEW demo.{name} AS SELECT 1 AS range_end")
                    await reading.dispatcher.views.look()
                    assert reading.shown()[name] == 1
                    reading.data(f"DROP VIEW demo.{name}")
            await reading.dispatcher.views.look()
        else:
            await reading.dispatcher.views.look()
        await reading.drain()
        reading.fill()
        size, published = made[active] if active is not None and not deleted else (0, ())
        expected = {asset.replace("-", "_"): size * (1 if asset == "narrow" else 2) for asset in published}
        assert reading.shown() == expected, (step, act)
