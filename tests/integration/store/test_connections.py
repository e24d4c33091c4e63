"""Connections to a real Postgres: transactions, hot statements, wake-ups, and errors turned into ours."""

from __future__ import annotations

import asyncio
import contextlib
import traceback

import psycopg
import pytest
from psycopg import conninfo

from tests import services
from traceplane.errors import GiveUp, InvalidSettings, Refused, Unavailable
from traceplane.store.engine import Database, one_transaction
from traceplane.store.failures import Collision, Conflict, retrying
from traceplane.store.listener import Listener
from traceplane_sdk import database as sdk

pytestmark = pytest.mark.services

ORG = str(services.ORG_ID)


async def test_a_transaction_commits_at_its_end_and_rolls_back_on_error(state: Database):
    async with state.transaction() as connection:
        await connection.execute("INSERT INTO org_roles (org_id, name) VALUES (%s, 'kept')", (ORG,))

    async def failing() -> None:
        async with state.transaction() as connection:
            await connection.execute("INSERT INTO org_roles (org_id, name) VALUES (%s, 'lost')", (ORG,))
            raise RuntimeError("the caller fails")

    with pytest.raises(RuntimeError):
        await failing()

    async with state.autocommit() as connection:
        rows = await (await connection.execute("SELECT name FROM org_roles ORDER BY name")).fetchall()
    assert [name for (name,) in rows] == ["admin", "kept", "reader", "writer"]


async def test_a_transaction_of_a_command_commits_at_its_end_and_rolls_back_on_error(
    databases: services.Databases, state: Database
):
    async def insert(*names: str) -> None:
        async with one_transaction(databases.state_dsn, application="test") as connection:
            for name in names:
                await connection.execute("INSERT INTO org_roles (org_id, name) VALUES (%s, %s)", (ORG, name))

    await insert("kept")
    with pytest.raises(Conflict):
        await insert("lost", "kept")
    async with state.autocommit() as connection:
        rows = await (await connection.execute("SELECT name FROM org_roles ORDER BY name")).fetchall()
    assert [name for (name,) in rows] == ["admin", "kept", "reader", "writer"]


async def test_one_connection_serves_any_number_of_callers_in_turn(databases: services.Databases):
    database = Database(databases.state_dsn, application="test", pool_size=1)

    async def act(number: int) -> int:
        async with database.transaction() if number % 2 else database.autocommit() as connection:
            row = await (await connection.execute("SELECT %s::int", (number,))).fetchone()
            assert row is not None
            return int(row[0])

    try:
        assert await asyncio.gather(*(act(number) for number in range(20))) == list(range(20))
    finally:
        await database.close()


async def test_a_hot_statement_is_binary_and_its_own_transaction(state: Database):
    async with state.autocommit() as connection:
        cursor = await connection.execute("SELECT 1::bigint, '{\"a\": 1}'::jsonb, now()")
        assert cursor.format == psycopg.pq.Format.BINARY
        row = await cursor.fetchone()
        assert row is not None
        assert row[:2] == (1, {"a": 1})
        assert row[2].tzinfo is not None
        assert connection.info.transaction_status == psycopg.pq.TransactionStatus.IDLE


async def test_a_second_row_of_one_key_is_a_conflict_that_names_the_key(state: Database):
    with pytest.raises(Conflict) as caught:
        async with state.transaction() as connection:
            await connection.execute("INSERT INTO org_roles (org_id, name) VALUES (%s, 'admin')", (ORG,))
    assert caught.value.constraint == "org_roles_org_id_name_key"


async def test_a_value_postgres_cannot_hold_is_refused(state: Database):
    with pytest.raises(Refused, match="cannot hold"):
        async with state.autocommit() as connection:
            await connection.execute("SELECT %s::bigint", (str(2**70),))


async def test_a_missing_right_is_for_an_administrator(databases: services.Databases):
    database = Database(databases.query_state_dsn, application="test")
    try:
        with pytest.raises(GiveUp, match="lacks a right"):
            async with database.autocommit() as connection:
                await connection.execute("SELECT * FROM tasks")
    finally:
        await database.close()


@pytest.mark.parametrize("way", ["transaction", "autocommit"])
async def test_a_server_that_is_away_is_unavailable_on_both_ways(way: str):
    away = f"postgresql://trace@127.0.0.1:{services.free_port()}/state"
    database = Database(away, application="test", wait_seconds=1)
    try:
        with pytest.raises(Unavailable):
            async with getattr(database, way)():
                pass
    finally:
        await database.close()
    with pytest.raises(Unavailable):
        async with one_transaction(away, application="test"):
            pass


async def test_connections_come_back_after_the_server_ended_them(state: Database, postgres: services.Postgres):
    async with state.autocommit() as connection:
        pid = connection.info.backend_pid
    await state.ping()
    async with state.transaction() as connection:
        other = connection.info.backend_pid
    with postgres.admin() as admin:
        for victim in (pid, other):
            admin.execute("SELECT pg_terminate_backend(%s, 5000)", (victim,))
    await state.ping()
    async with state.transaction() as connection:
        assert connection.info.backend_pid not in (pid, other)


async def test_a_process_outlives_its_database_and_waits_only_so_long():
    with services.postgres() as server:
        dsn = server.databases().state_dsn
        database = Database(dsn, application="test", wait_seconds=0.5)
        await asyncio.gather(*(database.ping() for _ in range(8)))
        server.crash()
        for _ in range(3):
            with pytest.raises(Unavailable):
                async with asyncio.timeout(20):
                    await database.ping()
        server.restart()
        async with asyncio.timeout(60):
            while True:
                with contextlib.suppress(Unavailable):
                    await database.ping()
                    break
        async with database.transaction() as connection:
            await connection.execute("SELECT 1")
        await database.close()


def test_a_dsn_libpq_cannot_read_is_a_setting_error_without_the_dsn():
    with pytest.raises(InvalidSettings) as caught:
        Database("postgresql://trace:hunter2@[::1/state", application="test")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    "dsn",
    [
        "postgresql://trace:x@hunter2@127.0.0.1/state",
        "postgresql://trace:x/hunter2@127.0.0.1/state",
        "postgresql://trace:1/hunter2@127.0.0.1/state",
        "postgresql//trace:hunter2@127.0.0.1/state",
    ],
)
def test_a_dsn_whose_password_became_another_part_reaches_no_driver(dsn: str):
    """Drivers and pools write host, port and database name into errors and logs."""
    with pytest.raises(InvalidSettings, match="percent-encoded") as caught:
        Database(dsn, application="test")
    assert "hunter2" not in "".join(traceback.format_exception(caught.value))


def test_the_sdk_tells_why_there_is_no_session_with_its_sqlstate(databases: services.Databases):
    missing = conninfo.make_conninfo(databases.data_dsn, dbname="hunter2")
    for opened in (sdk.connect, sdk.connect_arrow):
        with pytest.raises(sdk.DatabaseUnavailable, match="SQLSTATE 3D000") as caught:
            opened(missing)
        assert "hunter2" not in "".join(traceback.format_exception(caught.value))


async def test_a_deadlock_victim_runs_again(state: Database):
    """Two transactions lock two rows in opposite order; Postgres ends one of them, and its retry succeeds."""
    async with state.transaction() as connection:
        await connection.execute("CREATE TABLE pair (id int PRIMARY KEY, n int)")
        await connection.execute("INSERT INTO pair VALUES (1, 0), (2, 0)")
    barrier = asyncio.Barrier(2)
    all_tries: list[int] = []

    async def both(first: int, second: int) -> None:
        tries = 0

        async def unit() -> None:
            nonlocal tries
            tries += 1
            async with state.transaction() as connection:
                await connection.execute("SET LOCAL deadlock_timeout = '50ms'")
                await connection.execute("UPDATE pair SET n = n + 1 WHERE id = %s", (first,))
                if tries == 1:
                    await barrier.wait()
                await connection.execute("UPDATE pair SET n = n + 1 WHERE id = %s", (second,))

        await retrying(unit)
        all_tries.append(tries)

    await asyncio.gather(both(1, 2), both(2, 1))
    async with state.autocommit() as connection:
        rows = await (await connection.execute("SELECT n FROM pair ORDER BY id")).fetchall()
    assert rows == [(2,), (2,)]
    assert sorted(all_tries) == [1, 2]


async def test_collisions_are_retried_a_bounded_number_of_times():
    tries = 0

    async def unit() -> None:
        nonlocal tries
        tries += 1
        raise Collision("again")

    with pytest.raises(Collision):
        await retrying(unit, attempts=3)
    assert tries == 3


async def _heard(queue: asyncio.Queue[tuple[str, str]], want: tuple[str, str]) -> None:
    async with asyncio.timeout(60):
        while await queue.get() != want:
            pass


async def test_a_listener_hears_notifications_and_survives_its_connection(
    databases: services.Databases, state: Database, postgres: services.Postgres
):
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listener = Listener(
        databases.state_dsn, ["trace_wake"], lambda *what: heard.put_nowait(what), probe_seconds=0.2
    )
    stop = asyncio.Event()
    running = asyncio.create_task(listener.run(stop))
    await _heard(heard, ("trace_wake", ""))
    async with state.autocommit() as connection:
        await connection.execute("SELECT pg_notify('trace_wake', 'one')")
    await _heard(heard, ("trace_wake", "one"))

    with postgres.admin() as admin:
        ended = admin.execute(
            "SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE application_name = 'trace-listener'"
            " AND datname = %s",
            (databases.state_dsn.rpartition("/")[2],),
        ).fetchall()
    assert len(ended) == 1
    await _heard(heard, ("trace_wake", ""))
    async with state.autocommit() as connection:
        await connection.execute("SELECT pg_notify('trace_wake', 'two')")
    await _heard(heard, ("trace_wake", "two"))

    stop.set()
    async with asyncio.timeout(60):
        await running
    assert not listener.connected.is_set()


async def test_a_listener_hears_across_its_probes(databases: services.Databases, state: Database):
    """Notifications that arrive while the probe's own query runs are not lost."""
    heard: asyncio.Queue[tuple[str, str]] = asyncio.Queue()
    listener = Listener(
        databases.state_dsn, ["trace_wake"], lambda *what: heard.put_nowait(what), probe_seconds=0.001
    )
    stop = asyncio.Event()
    running = asyncio.create_task(listener.run(stop))
    await _heard(heard, ("trace_wake", ""))
    async with state.autocommit() as connection:
        for number in range(200):
            await connection.execute("SELECT pg_notify('trace_wake', %s)", (str(number),))
    got = []
    async with asyncio.timeout(60):
        while len(got) < 200:
            got.append((await heard.get())[1])
    assert got == [str(number) for number in range(200)]
    stop.set()
    await running
