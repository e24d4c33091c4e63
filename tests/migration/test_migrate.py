"""Migrations: once whoever starts them, whole or not at all, up and down with data in place."""

from __future__ import annotations

import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psycopg
import pytest
from sqlalchemy import create_engine

from hack.generate import schema
from tests import graphs, services
from tests.support.waiting import until
from traceplane.errors import GiveUp, InvalidSettings, Unavailable, UnknownSchema
from traceplane.store import migrate
from traceplane.store.engine import Database
from traceplane.store.seed import FirstAdmin
from traceplane.versions.deploy import deploy

pytestmark = pytest.mark.services
Pair = tuple[str, str]


@pytest.fixture
def empty(postgres: services.Postgres) -> Pair:
    """DSNs (state, data) of two empty databases."""
    return postgres.empty_databases()


def _migrate(pair: Pair, *, first_admin: str | None = None, lock_seconds: float = 30) -> migrate.Migrated:
    return migrate.migrate(*pair, org_id=services.ORG_ID, first_admin=first_admin, lock_seconds=lock_seconds)


def _process(pair: Pair, **more: str) -> subprocess.Popen[str]:
    """`tracectl run migrate` as a process."""
    environment = os.environ | {"TRACE_STATE_DSN": pair[0], "TRACE_DATA_DSN": pair[1]} | more
    program = "from traceplane.cli.main import main; main()"
    return subprocess.Popen(
        [sys.executable, "-c", program, "run", "migrate"],
        env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True,
    )  # fmt: skip


def _rows(dsn: str, query: str) -> list[tuple[Any, ...]]:
    with psycopg.connect(dsn) as connection:
        return connection.execute(query).fetchall()


@contextmanager
def _half_way(dsn: str, taken: str = "CREATE TABLE tasks (n int)") -> Iterator[None]:
    """While this is open, a migration stops in the middle of its DDL: a name of it is taken, not committed."""
    with psycopg.connect(dsn) as blocker:
        blocker.execute(taken)
        yield
        blocker.rollback()


def _kill_half_way(pair: Pair, dsn: str, *taken: str) -> None:
    """Kill a migration in the middle of the DDL of one of the databases."""
    with _half_way(dsn, *taken):
        process = _process(pair)
        until(lambda: _waiting(dsn, "transactionid") == 1)
        process.kill()
        process.communicate()
    until(lambda: _sessions(dsn) == 0)


def _waiting(dsn: str, locktype: str) -> int:
    return int(
        _rows(
            dsn,
            "SELECT count(*) FROM pg_locks l JOIN pg_stat_activity a USING (pid)"
            f" WHERE NOT l.granted AND l.locktype = '{locktype}' AND a.datname = current_database()",
        )[0][0]
    )


def _sessions(dsn: str) -> int:
    return int(
        _rows(
            dsn,
            "SELECT count(*) FROM pg_stat_activity"
            " WHERE datname = current_database() AND application_name LIKE 'trace-migrate%'",
        )[0][0]
    )


def test_a_migration_fills_empty_databases_and_repeats_as_nothing(empty: Pair):
    first = _migrate(empty)
    assert (first.state, first.data) == ((None, migrate.STATE.head), (None, migrate.DATA.head))
    assert _rows(empty[0], "SELECT name FROM orgs") == [("default",)]
    assert _rows(empty[0], "SELECT name FROM org_roles ORDER BY name") == [("admin",), ("reader",), ("writer",)]
    second = _migrate(empty)
    assert second.state == (migrate.STATE.head, migrate.STATE.head)
    assert _rows(empty[0], "SELECT count(*) FROM org_roles") == [(3,)]
    migrate.check(*empty)


def test_a_migration_killed_half_way_leaves_the_old_schema_whole(empty: Pair):
    _kill_half_way(empty, empty[0])
    assert schema.dump(empty[0], migrate.STATE).strip() == ""
    with pytest.raises(UnknownSchema, match="no schema"):
        migrate.check(*empty)
    assert _migrate(empty).state == (None, migrate.STATE.head)


def test_a_migration_killed_between_the_databases_is_noticed_and_gone_on_with(empty: Pair):
    _kill_half_way(empty, empty[1], "CREATE SCHEMA trace")
    assert schema.dump(empty[1], migrate.DATA).strip() == ""
    with pytest.raises(UnknownSchema, match=r"data.* no schema"):
        migrate.check(*empty)
    done = _migrate(empty)
    assert (done.state, done.data) == ((migrate.STATE.head, migrate.STATE.head), (None, migrate.DATA.head))


def test_of_two_migrators_one_runs_and_one_waits(empty: Pair):
    with _half_way(empty[0]):
        processes = [_process(empty), _process(empty)]
        until(lambda: _waiting(empty[0], "transactionid") == 1 and _waiting(empty[0], "advisory") == 1)
    said = [process.communicate(timeout=60) for process in processes]
    assert [process.returncode for process in processes] == [0, 0], said
    assert sorted(out.splitlines()[0] for out, _ in said) == [
        f"state database is at {migrate.STATE.head}",
        f"state database moved from nothing to {migrate.STATE.head}",
    ]


def test_a_migrator_waits_for_another_one_only_so_long(empty: Pair):
    with psycopg.connect(empty[0]) as other:
        other.execute("SELECT pg_advisory_lock(%s)", (migrate.LOCK_KEY,))
        with pytest.raises(Unavailable, match="another migration"):
            _migrate(empty, lock_seconds=0.2)
    assert schema.dump(empty[0], migrate.STATE).strip() == ""


def test_a_migrator_waits_for_a_server_that_starts():
    with services.postgres() as server:
        pair = server.empty_databases()
        server.stop()
        done: list[migrate.Migrated] = []
        migrator = threading.Thread(target=lambda: done.append(_migrate(pair)))
        migrator.start()
        server.restart()
        migrator.join(60)
        assert [result.state[1] for result in done] == [migrate.STATE.head]


@pytest.mark.parametrize("branch", [migrate.STATE, migrate.DATA], ids=lambda branch: branch.name)
def test_old_code_refuses_a_newer_schema_and_leaves_it(branch: migrate.Branch, databases: services.Databases):
    pair = (databases.state_dsn, databases.data_dsn)
    dsn = pair[0] if branch is migrate.STATE else pair[1]
    with psycopg.connect(dsn) as connection:
        connection.execute(f"UPDATE {branch.version_table} SET version_num = 'x9999'")
    before = schema.dump(dsn, branch)
    for attempt in (lambda: migrate.check(*pair), lambda: _migrate(pair)):
        with pytest.raises(UnknownSchema, match=f"x9999 and this release knows {branch.head}"):
            attempt()
    assert schema.dump(dsn, branch) == before
    assert _rows(dsn, f"SELECT version_num FROM {branch.version_table}") == [("x9999",)]


def test_every_login_may_check_the_schema_it_uses(databases: services.Databases):
    migrate.check(databases.query_state_dsn, databases.query_dsn)
    migrate.check(data_dsn=databases.writer_dsn)


def _move(dsn: str, branch: migrate.Branch, target: str) -> None:
    engine = create_engine("postgresql+psycopg://", creator=lambda: psycopg.connect(dsn))
    try:
        with engine.begin() as connection:
            migrate.move(branch, connection, target)
    finally:
        engine.dispose()


async def _fill(databases: services.Databases) -> None:
    """A deployed DAG with events, tasks in each state and an open invalidation."""
    database = Database(databases.state_dsn, application="test")
    async with database.transaction() as connection:
        await deploy(
            connection,
            org_id=services.ORG_ID,
            graph=graphs.assembled(graphs.chain()),
            resource_uid="u",
            generation=1,
            bucket="bucket",
        )
    await database.close()
    with psycopg.connect(databases.state_dsn) as connection:
        connection.execute(
            "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, status, finished_at)"
            " SELECT org_id, namespace, id, 'done', 'Event', '{}', 'Completed', now() FROM jobs"
        )
        connection.execute(
            "INSERT INTO data_invalidations (id, org_id, dataset_id, dataset_version_id, kind, reason, detail)"
            " SELECT id, org_id, dataset_id, id, 'Rows', 'reorg', '{}' FROM dataset_versions"
        )
    with psycopg.connect(databases.writer_dsn) as connection:
        connection.execute(
            "INSERT INTO trace.write_fences (dataset_version_id, writer, epoch)"
            " VALUES (gen_random_uuid(), 'job', 7)"
        )


async def test_migrations_go_down_and_up_again_on_filled_databases(databases: services.Databases):
    await _fill(databases)
    pair = (databases.state_dsn, databases.data_dsn)
    for branch, dsn in zip((migrate.STATE, migrate.DATA), pair, strict=True):
        whole = schema.dump(dsn, branch)
        _move(dsn, branch, "base")
        assert schema.dump(dsn, branch).strip() == "", "something is left behind"
        _move(dsn, branch, branch.head)
        assert schema.dump(dsn, branch) == whole
    migrate.check(*pair)


async def test_a_way_down_that_would_lose_hot_rows_is_refused_whole(databases: services.Databases):
    await _fill(databases)
    with psycopg.connect(databases.data_dsn) as connection:
        connection.execute("CREATE TABLE hot.d_1 (n bigint PRIMARY KEY)")
    before = schema.dump(databases.data_dsn, migrate.DATA)
    with pytest.raises(Exception, match="other objects depend on it"):
        _move(databases.data_dsn, migrate.DATA, "base")
    assert schema.dump(databases.data_dsn, migrate.DATA) == before
    assert _rows(databases.data_dsn, "SELECT epoch FROM trace.write_fences") == [(7,)]


def test_the_first_admin_is_made_once(empty: Pair):
    assert _migrate(empty).admin is FirstAdmin.NOT_GIVEN
    assert _migrate(empty, first_admin="https://issuer|anna").admin is FirstAdmin.MADE
    assert _migrate(empty, first_admin="https://issuer|berta").admin is FirstAdmin.UNUSED
    assert _rows(
        empty[0],
        "SELECT u.issuer, u.external_id, array_agg(r.name ORDER BY r.name) FROM users u"
        " JOIN org_role_memberships m ON m.user_id = u.id JOIN org_roles r ON r.id = m.role_id GROUP BY u.id",
    ) == [("https://issuer", "anna", ["admin", "reader", "writer"])]


def test_a_first_admin_that_comes_too_late_is_told_with_the_remedy(empty: Pair):
    def said(first_admin: str) -> str:
        process = _process(empty, TRACE_FIRST_ADMIN=first_admin)
        out, err = process.communicate(timeout=60)
        assert process.returncode == 0, err
        return out

    assert "first admin made" in said("https://issuer|anna")
    (line,) = [line for line in said("https://issuer|berta b").splitlines() if "admin" in line]
    assert "https://issuer|berta b was not used: an admin exists already" in line
    remedy = "tracectl admin user add 'berta b' --issuer https://issuer --role admin --role reader --role writer"
    assert f"`{remedy}`" in line
    assert "admin" not in said("https://issuer|anna"), "who is an admin needs no remedy"
    with psycopg.connect(empty[0]) as connection:
        connection.execute(
            "WITH added AS (INSERT INTO users (org_id, issuer, external_id, name)"
            " SELECT org_id, issuer, 'berta b', 'berta b' FROM users RETURNING id, org_id)"
            " INSERT INTO org_role_memberships (org_id, role_id, user_id)"
            " SELECT r.org_id, r.id, added.id FROM org_roles r, added WHERE r.name = 'admin'"
        )
    assert "admin" not in said("https://issuer|berta b"), "one of several admins is one"


@pytest.mark.parametrize("wrong", ["anna", "|anna", "https://issuer|"])
def test_a_malformed_first_admin_is_refused_before_anything_happens(empty: Pair, wrong: str):
    with pytest.raises(InvalidSettings, match=r"TRACE_FIRST_ADMIN: write `issuer\|subject`"):
        _migrate(empty, first_admin=wrong)
    assert schema.dump(empty[0], migrate.STATE).strip() == ""


def _owned(server: services.Postgres) -> Pair:
    """Two empty databases of an owner who is no superuser and may make no role."""
    with server.admin() as admin:
        admin.execute("CREATE ROLE owner LOGIN")
        for name in ("owned_state", "owned_data"):
            admin.execute(f"CREATE DATABASE {name} OWNER owner")
    return server.dsn("owned_state", "owner"), server.dsn("owned_data", "owner")


def test_an_owner_who_is_no_superuser_migrates_where_the_group_roles_exist():
    with services.postgres() as server:
        pair = _owned(server)
        with pytest.raises(GiveUp, match=r"role trace_writer is missing.*CREATE ROLE trace_writer NOLOGIN"):
            _migrate(pair)
        with server.admin() as admin:
            admin.execute("CREATE ROLE trace_writer NOLOGIN")
            admin.execute("CREATE ROLE trace_query NOLOGIN")
        assert _migrate(pair).state == (None, migrate.STATE.head)
        migrate.check(*pair)
