"""Bring both databases to the schema this release knows, once, before anything serves.

Any number of processes may start a migration at once: an advisory lock on state lets one run and makes the rest
wait, for a bounded time; once they have the lock there is nothing left to do. Postgres runs DDL in transactions,
and each revision runs in one with its version row, so a migration killed half way leaves the old schema, whole.

Serving processes call `check` instead: they refuse a schema they do not know, older or newer, and never change it.
"""

from __future__ import annotations

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import structlog
from psycopg import errors as pg
from psycopg import sql

from traceplane.errors import Unavailable, UnknownSchema
from traceplane.store import revisions, seed
from traceplane.store.engine import check as check_session
from traceplane.store.engine import connect
from traceplane.store.failures import mapped
from traceplane_sdk.sessions import Bounds

LOCK_KEY = 0x7472_6163_65
"""Advisory lock of a migration: the letters `trace`."""

_log = structlog.get_logger("trace.migrate")

_MIGRATIONS = Path(__file__).parent / "migrations"


@dataclass(frozen=True)
class Branch:
    """The migrations of one database: its folder, its version table and the newest revision."""

    name: str
    version_table: str
    head: str


STATE = Branch("state", revisions.STATE_VERSION_TABLE, revisions.STATE)
DATA = Branch("data", revisions.DATA_VERSION_TABLE, revisions.DATA)


@dataclass(frozen=True)
class Migrated:
    """What a migration did: revision found (None: empty database) and reached, of each database."""

    state: tuple[str | None, str]
    data: tuple[str | None, str]
    admin: seed.FirstAdmin


def migrate(
    state_dsn: str, data_dsn: str, *, org_id: UUID, first_admin: str | None, lock_seconds: float
) -> Migrated:
    """Upgrade and seed both databases; `lock_seconds` bounds the wait for the servers and for another migration.

    Raises Unavailable when that time is over, and UnknownSchema for a schema newer than this release.
    """
    admin = seed.first_admin(first_admin) if first_admin else None
    deadline = time.monotonic() + lock_seconds
    for dsn in (state_dsn, data_dsn):
        _await_server(dsn, deadline)
    with mapped(), _lock(state_dsn, max(1.0, deadline - time.monotonic())):
        before_state = _upgrade(STATE, state_dsn)
        before_data = _upgrade(DATA, data_dsn)
        with connect(state_dsn, "trace-migrate") as connection, connection.transaction():
            seeded = seed.seed(connection, org_id, admin)
    return Migrated((before_state, STATE.head), (before_data, DATA.head), seeded)


def check(state_dsn: str | None = None, data_dsn: str | None = None) -> None:
    """Return when each given database has the schema this release knows; raises UnknownSchema or Unavailable."""
    for branch, dsn in ((STATE, state_dsn), (DATA, data_dsn)):
        if dsn is None:
            continue
        with mapped(), connect(dsn, "trace-check") as connection:
            found = revision(connection, branch)
        if found != branch.head:
            raise UnknownSchema(_difference(branch, found))


def revision(connection: psycopg.Connection[Any], branch: Branch) -> str | None:
    """The revision a database is at, or None where it has none."""
    try:
        with connection.transaction():
            query = sql.SQL("SELECT version_num FROM {}").format(sql.Identifier(branch.version_table))
            row = connection.execute(query).fetchone()
    except pg.UndefinedTable:
        return None
    return None if row is None else str(row[0])


def scripts(branch: Branch) -> Any:
    """The alembic script directory of `branch`."""
    from alembic.script import ScriptDirectory

    folder = _MIGRATIONS / branch.name
    return ScriptDirectory(str(folder), version_locations=[str(folder / "versions")])


def move(branch: Branch, connection: Any, target: str) -> None:
    """Run the migrations of `branch` from where the SQLAlchemy `connection` is to revision `target`, up or down.

    `target` is a revision or `base`. The caller owns the transaction: all of it happens, or none.
    """
    from alembic.migration import MigrationContext
    from alembic.operations import Operations

    directory = scripts(branch)
    known = {script.revision for script in directory.walk_revisions()}

    def steps(current: tuple[str, ...], _context: MigrationContext) -> Any:
        here = current[0] if current else None
        if here is not None and here not in known:
            raise UnknownSchema(_difference(branch, here))
        down = target == "base" or (here is not None and target in _ancestors(directory, here))
        return directory._downgrade_revs(target, here) if down else directory._upgrade_revs(target, here)

    context = MigrationContext.configure(
        connection, opts={"fn": steps, "version_table": branch.version_table, "script": directory}
    )
    with Operations.context(context):
        context.run_migrations()


def _ancestors(directory: Any, here: str) -> set[str]:
    return {script.revision for script in directory.iterate_revisions(here, "base")} - {here}


def _upgrade(branch: Branch, dsn: str) -> str | None:
    """Bring one database to the head of its branch; returns the revision found."""
    from sqlalchemy import create_engine

    engine = create_engine("postgresql+psycopg://", creator=lambda: _patient(dsn))
    try:
        with _unwrapped(), engine.begin() as connection:
            found = revision(connection.connection.driver_connection, branch)  # type: ignore[arg-type]
            if found != branch.head:
                move(branch, connection, branch.head)
    finally:
        engine.dispose()
    return found


@contextmanager
def _unwrapped() -> Iterator[None]:
    """Raise the driver's errors in place of SQLAlchemy's around them: it is these that `mapped` knows."""
    from sqlalchemy.exc import DBAPIError

    try:
        yield
    except DBAPIError as error:
        raise error.orig or error from error


def _patient(dsn: str) -> psycopg.Connection[Any]:
    """A session whose statements take what they take: an index over a large table may be among them."""
    connection = connect(dsn, "trace-migrate")
    Bounds({"statement_timeout": "0"}).apply(connection)
    connection.autocommit = False
    return connection


def _await_server(dsn: str, deadline: float) -> None:
    """Return when the server accepts a session: beside a fresh install it may still be starting."""
    shown = ""
    while True:
        try:
            return check_session(dsn)
        except Unavailable as error:
            if time.monotonic() > deadline:
                raise
            if error.message != shown:  # a wrong CA or password is seen at once, and not when the time is over
                _log.warning("waiting for a database", problem=error.message)
                shown = error.message
            time.sleep(0.25)


@contextmanager
def _lock(dsn: str, seconds: float) -> Iterator[None]:
    """Hold the migration lock; Unavailable after `seconds` of waiting for another process."""
    with connect(dsn, "trace-migrate-lock") as connection:
        Bounds({"statement_timeout": "0", "lock_timeout": f"{int(seconds * 1000)}"}).apply(connection)
        try:
            connection.execute("SELECT pg_advisory_lock(%s)", (LOCK_KEY,))
        except pg.LockNotAvailable as error:
            raise Unavailable(f"another migration has held the lock for {seconds:g} s") from error
        yield


def _difference(branch: Branch, found: str | None) -> str:
    if found is None:
        return f"the {branch.name} database has no schema; run `tracectl run migrate`"
    return (
        f"the {branch.name} database is at schema revision {found} and this release knows {branch.head}: "
        "run `tracectl run migrate` of the newest release, or start the release that made this schema"
    )
