"""Behind PgBouncer: in session mode all works and every time-out holds; another mode is refused by name."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Iterator
from contextlib import closing
from typing import Any

import psycopg
import pytest

from tests import services
from traceplane.errors import GiveUp
from traceplane.query.attach.databases import Databases
from traceplane.settings import Settings
from traceplane.store import engine, migrate
from traceplane.store.listener import Listener
from traceplane_sdk import database as sdk
from traceplane_sdk.sessions import Bounds, UnfitSession, refuse_pooled_transactions

pytestmark = pytest.mark.services

REMEDY = "Set `pool_mode = session` for this database in PgBouncer, or name Postgres itself in the DSN"
IGNORING = "ignore_startup_parameters = options"


@pytest.fixture(scope="module", params=[(), (IGNORING,)], ids=["refusing", "ignoring"])
def pooled(postgres: services.Postgres, request: pytest.FixtureRequest) -> Iterator[Callable[[str], str]]:
    """A DSN of the server as one of a pooler in session mode, which refuses `options` or drops them."""
    with services.pgbouncer(postgres, "session", *request.param) as port:
        yield _through(postgres, port)


def _through(postgres: services.Postgres, port: int) -> Callable[[str], str]:
    return lambda dsn: dsn.replace(f":{postgres.port}/", f":{port}/")


def test_the_pooler_drops_what_is_asked_for_at_the_start(postgres: services.Postgres) -> None:
    """What the rest of this page is about: without it the other tests would prove nothing."""
    with services.pgbouncer(postgres, "session", IGNORING) as port:
        dsn = _through(postgres, port)(postgres.dsn("postgres"))
        with psycopg.connect(dsn, options="-c statement_timeout=60s") as connection:
            assert connection.execute("SHOW statement_timeout").fetchone() == ("0",)
    with services.pgbouncer(postgres, "session") as port:
        dsn = _through(postgres, port)(postgres.dsn("postgres"))
        with pytest.raises(psycopg.OperationalError, match="unsupported startup parameter"):
            psycopg.connect(dsn, options="-c statement_timeout=60s")
        with pytest.raises(sdk.DatabaseUnavailable, match="leave `options` out of it"):
            sdk.connect(f"{dsn}?options=-cwork_mem%3D8MB", {})


def _held(connection: Any) -> tuple[str, ...]:
    names = ("statement_timeout", "idle_in_transaction_session_timeout", "lock_timeout")
    return tuple(connection.execute(f"SHOW {name}").fetchone()[0] for name in names)


async def test_an_installation_runs_behind_session_mode(
    postgres: services.Postgres, pooled: Callable[[str], str]
) -> None:
    state, data = (pooled(dsn) for dsn in postgres.empty_databases())
    migrate.migrate(state, data, org_id=services.ORG_ID, first_admin=None, lock_seconds=30)
    migrate.check(state, data)
    database, stop = engine.Database(state, application="test"), asyncio.Event()
    heard: asyncio.Queue[str] = asyncio.Queue()
    listening = asyncio.create_task(
        Listener(state, ["trace_wake"], lambda _, told: heard.put_nowait(told)).run(stop)
    )
    try:
        assert await asyncio.wait_for(heard.get(), 30) == ""
        async with database.autocommit() as connection:
            for name in engine.BOUNDS:
                row = await (await connection.execute(f"SHOW {name}")).fetchone()
                assert row == ("1min",), name
            await connection.execute("SELECT pg_notify('trace_wake', 'one')")
        assert await asyncio.wait_for(heard.get(), 30) == "one"
    finally:
        stop.set()
        await listening
        await database.close()


def test_time_outs_hold_in_the_query_service_and_in_workers(
    databases: services.Databases, pooled: Callable[[str], str]
) -> None:
    settings = Settings(state_dsn=pooled(databases.query_state_dsn), data_dsn=pooled(databases.query_dsn))
    with closing(Databases(settings)) as opened:
        opened.ping()
        with opened._state_connection() as connection:
            assert _held(connection) == ("1min", "1min", "0")
    bounds = {"lock_timeout": "60s", "idle_in_transaction_session_timeout": "300s"}
    for autocommit in (False, True):
        with sdk.connect(pooled(databases.writer_dsn), bounds, autocommit=autocommit) as connection:
            assert connection.autocommit is autocommit
            connection.rollback()
            assert _held(connection) == ("0", "5min", "1min")


@pytest.mark.parametrize("option", ["-c%20statement_timeout%3D5s", "--statement-timeout%3D5s"])
def test_what_the_dsn_says_of_a_time_out_counts_also_where_the_pooler_drops_it(
    postgres: services.Postgres, option: str
) -> None:
    dsn = f"{postgres.dsn('postgres')}?options={option}"
    with services.pgbouncer(postgres, "session", IGNORING) as port:
        for said in (dsn, _through(postgres, port)(dsn)):
            with engine.connect(said, "test") as connection:
                assert _held(connection) == ("5s", "1min", "0")


@pytest.mark.parametrize(
    ("mode", "more"), [("transaction", ()), ("transaction", ("server_round_robin = 1",)), ("statement", ())]
)
def test_other_modes_are_refused_by_name_with_the_remedy(
    postgres: services.Postgres, databases: services.Databases, mode: str, more: tuple[str, ...]
) -> None:
    with services.pgbouncer(postgres, mode, *more) as port:
        through = _through(postgres, port)
        state, data = through(databases.state_dsn), through(databases.data_dsn)
        for refused in (
            lambda: migrate.migrate(state, data, org_id=services.ORG_ID, first_admin=None, lock_seconds=30),
            lambda: migrate.check(data_dsn=data),
            lambda: engine.check(through(databases.query_dsn)),
        ):
            with pytest.raises(GiveUp, match=f"in {mode} mode") as caught:
                refused()
            assert caught.value.code == "TransactionPooling"
            assert REMEDY in caught.value.message
        with pytest.raises(sdk.DatabaseUnavailable, match=f"in {mode} mode") as refusal:
            sdk.connect(through(databases.writer_dsn), {})
        assert REMEDY in refusal.value.message


def test_transaction_mode_is_seen_beside_other_clients(postgres: services.Postgres) -> None:
    """They hold servers, so that the pooler has several to give."""
    with services.pgbouncer(postgres, "transaction") as port:
        dsn = _through(postgres, port)(postgres.dsn("postgres"))
        with psycopg.connect(dsn) as first, psycopg.connect(dsn) as second:
            first.execute("SELECT 1")
            second.execute("SELECT 1")
            first.rollback()
            with pytest.raises(UnfitSession, match="transaction mode"):
                engine.connect(dsn, "test")


def test_a_pooler_that_has_one_server_left_is_in_session_mode(postgres: services.Postgres) -> None:
    with (
        services.pgbouncer(postgres, "session", "default_pool_size = 1") as port,
        engine.connect(_through(postgres, port)(postgres.dsn("postgres")), "test") as connection,
    ):
        assert _held(connection) == ("1min", "1min", "0")


def test_a_direct_session_costs_no_second_one(postgres: services.Postgres) -> None:
    dsn = postgres.dsn("postgres")
    with engine.connect(dsn, "test") as connection:
        refuse_pooled_transactions(connection, {"host": "/nowhere"})  # which it would fail to open


def test_a_time_out_that_does_not_hold_is_named() -> None:
    class Forgetful:
        """A pooler that gives the next transaction another server."""

        def __init__(self) -> None:
            self._rows = iter([("1min",), ("0",)])

        def execute(self, *_: Any, **__: Any) -> Any:
            return self

        def fetchone(self) -> tuple[str, ...]:
            return next(self._rows)

    with pytest.raises(UnfitSession, match="statement_timeout was set to 1min and is 0: a pooler"):
        Bounds({"statement_timeout": "60s"}).apply(Forgetful())  # type: ignore[arg-type]
