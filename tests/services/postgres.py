"""A real Postgres server and fresh pairs of migrated databases on it.

Durability is off (`fsync`), because a test never survives the machine; crash recovery is not: `crash()` ends the
server without a checkpoint. A pair is copied from a migrated template, which takes a tenth of a second.
"""

from __future__ import annotations

import json
import os
import shutil
import signal
import subprocess
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import sql

from tests.services.process import (
    STOP_SECONDS,
    Part,
    ServiceError,
    on_free_port,
    own,
    run_as,
    start,
    temporary_folder,
    unprivileged_user,
)

ORG_ID = UUID("00000000-0000-7000-8000-000000000001")


@dataclass
class Databases:
    """A fresh, migrated and seeded pair. Owner DSNs migrate and provision; the others log in as a worker's
    and the query service's database users do."""

    state_dsn: str
    data_dsn: str
    writer_dsn: str
    query_dsn: str
    query_state_dsn: str


@dataclass
class Postgres:
    """A Postgres server and the pairs of databases made on it."""

    part: Part | None
    """None: another run's server, which this one cannot stop, crash or restart."""
    port: int
    user: str
    settings: tuple[str, ...]
    _names: Iterator[int] = field(default_factory=lambda: count(1))
    _template: tuple[str, str] | None = None

    def dsn(self, database: str, user: str | None = None) -> str:
        return f"postgresql://{user or 'trace'}@127.0.0.1:{self.port}/{database}"

    def empty_databases(self) -> tuple[str, str]:
        """DSNs (state, data) of two empty databases."""
        number = next(self._names)
        names = f"state_{number}", f"data_{number}"
        with self.admin() as connection:
            for name in names:
                connection.execute(sql.SQL("CREATE DATABASE {}").format(sql.Identifier(name)))
        return self.dsn(names[0]), self.dsn(names[1])

    def databases(self) -> Databases:
        """A pair copied from a migrated template, which takes a tenth of a second instead of a migration."""
        templates = self.template()
        number = next(self._names)
        state, data = f"state_{number}", f"data_{number}"
        with self.admin() as connection:
            for name, template in zip((state, data), templates, strict=True):
                # Copied as files, without fsync, in three fifths of the time that a copy through the log takes.
                copy = sql.SQL("CREATE DATABASE {} TEMPLATE {} STRATEGY file_copy")
                connection.execute(copy.format(sql.Identifier(name), sql.Identifier(template)))
        return Databases(
            self.dsn(state),
            self.dsn(data),
            self.dsn(data, "worker"),
            self.dsn(data, "query"),
            self.dsn(state, "query"),
        )

    def template(self) -> tuple[str, str]:
        """Names of the migrated pair that `databases` copies, made when it is asked for first."""
        if self._template is None:
            self._template = self._make_template()
        return self._template

    def drop(self, databases: Databases) -> None:
        """Drop a pair, ending whoever is still connected."""
        with self.admin() as connection:
            for dsn in (databases.state_dsn, databases.data_dsn):
                name = sql.Identifier(dsn.rpartition("/")[2])
                connection.execute(sql.SQL("DROP DATABASE IF EXISTS {} WITH (FORCE)").format(name))

    def admin(self) -> psycopg.Connection[Any]:
        """A connection of the superuser, in autocommit."""
        return psycopg.connect(self.dsn("postgres"), autocommit=True)

    def crash(self) -> None:
        """Kill the whole server without a checkpoint, as `pg_ctl -m immediate` does."""
        process = self._own_part().process
        process.send_signal(signal.SIGQUIT)
        process.wait(STOP_SECONDS)

    def restart(self) -> None:
        """Start it again after `crash` or `stop`, on the same port and files."""
        self.part = _run_postgres(self.part.folder, self.user, self.port, self.settings)

    def stop(self) -> None:
        """Fast shutdown: open sessions are ended."""
        self._own_part().stop()

    def _own_part(self) -> Part:
        """The process of this server. Skips a test that would end one which other runs use as well."""
        if self.part is None:
            pytest.skip("the server is shared with other runs")
        return self.part

    def _make_template(self) -> tuple[str, str]:
        from traceplane.store.migrate import migrate

        state, data = self.empty_databases()
        migrate(state, data, org_id=ORG_ID, first_admin=None, lock_seconds=30)
        with self.admin() as connection:
            for login, role in (("worker", "trace_writer"), ("query", "trace_query")):
                connection.execute(f"CREATE ROLE {login} LOGIN IN ROLE {role}")
        return state.rpartition("/")[2], data.rpartition("/")[2]


def postgres_binaries() -> Path:
    """Folder of Postgres's server programs (`TRACE_TEST_POSTGRES_BIN`, else Debian's newest, else PATH's)."""
    given = os.environ.get("TRACE_TEST_POSTGRES_BIN")
    debian = sorted(Path("/usr/lib/postgresql").glob("*/bin/initdb"), key=lambda path: int(path.parts[-3]))
    found = Path(given) / "initdb" if given else (debian[-1] if debian else Path(shutil.which("initdb") or ""))
    if not found.is_file():
        raise ServiceError(
            "Postgres server programs not found: apt-get install postgresql, or set TRACE_TEST_POSTGRES_BIN"
        )
    return found.parent


@contextmanager
def postgres(settings: Sequence[str] = ()) -> Iterator[Postgres]:
    """A Postgres server with `trace` as superuser; `settings` are further `name=value` of its configuration."""
    user = unprivileged_user()
    with temporary_folder("postgres") as folder:
        files = folder / "data"
        own(folder, user)
        initdb = [postgres_binaries() / "initdb", "-D", files, "-U", "trace", "-A", "trust", "-E", "UTF8"]
        done = subprocess.run(
            [*map(str, initdb), "--locale=C.UTF-8", "--no-sync"], capture_output=True, text=True, **run_as(user)
        )
        if done.returncode:
            raise ServiceError(f"initdb failed:\n{done.stdout}{done.stderr}")
        part, port = on_free_port(lambda port: _run_postgres(folder, user, port, tuple(settings)))
        server = Postgres(part, port, user, tuple(settings))
        try:
            yield server
        finally:
            server.stop()


SHARED = "TRACE_TEST_SHARED_POSTGRES"
"""Environment variable by which many short runs use one server (`hack.mutants`)."""


def share_postgres(server: Postgres) -> dict[str, str]:
    """The environment of runs that shall use `server`; its migrated template is made here, once for all of them."""
    return {SHARED: json.dumps({"port": server.port, "user": server.user, "template": server.template()})}


def shared_postgres() -> Postgres | None:
    """The server that this run shares with others, if it does."""
    given = os.environ.get(SHARED)
    if given is None:
        return None
    shared = json.loads(given)
    # Databases of runs that were killed are still there.
    names = count(os.getpid() * 1000)
    return Postgres(None, shared["port"], shared["user"], (), names, tuple(shared["template"]))


def _run_postgres(folder: Path, user: str, port: int, settings: tuple[str, ...]) -> Part:
    chosen = (
        f"port={port}",
        "listen_addresses=127.0.0.1",
        f"unix_socket_directories={folder}",
        "fsync=off",
        "synchronous_commit=off",
        "full_page_writes=off",
        "max_connections=200",
        "shared_buffers=128MB",
        "max_wal_size=2GB",
        *settings,
    )
    flags = [word for setting in chosen for word in ("-c", setting)]
    argv = [str(postgres_binaries() / "postgres"), "-D", str(folder / "data"), *flags]
    part = start("postgres", folder, argv, **run_as(user))
    part.stop_signal = signal.SIGINT  # fast shutdown; SIGTERM would wait for every session to leave

    def answers() -> bool:
        try:
            psycopg.connect(f"postgresql://trace@127.0.0.1:{port}/postgres", connect_timeout=2).close()
        except psycopg.OperationalError:
            return False
        return True

    part.wait_ready(answers)
    return part
