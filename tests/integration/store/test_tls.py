"""A database behind TLS: every way in checks its certificate by `ca.crt`, and says what is wrong with it."""

from __future__ import annotations

import asyncio
import contextlib
import subprocess
from collections.abc import AsyncIterator, Callable, Iterator
from contextlib import closing
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from psycopg.conninfo import make_conninfo

from tests import services
from tests.services.process import own, temporary_folder, unprivileged_user
from tests.support.certificates import Authority
from traceplane.errors import GiveUp, Unavailable
from traceplane.query.attach.databases import Databases
from traceplane.query.attach.hot_reader import HotConnections
from traceplane.settings import Settings
from traceplane.store import engine, migrate
from traceplane.store.listener import Listener
from traceplane_sdk import certificates
from traceplane_sdk import database as sdk

pytestmark = pytest.mark.services

OURS, STRANGER = Authority("ours"), Authority("stranger")


@dataclass
class Server:
    """A Postgres with TLS, and the folder of its certificate."""

    postgres: services.Postgres
    folder: Path
    days: int = 5

    def serve(self, days: int) -> None:
        """Show a certificate of 127.0.0.1 that ends in `days`."""
        if days != self.days:
            self.postgres.stop()
            certify(self.folder, days)
            self.postgres.restart()
            self.days = days


def certify(folder: Path, days: int) -> None:
    signed = OURS.server("127.0.0.1", days)
    for name, content in (("server.crt", signed.certificate), ("server.key", signed.key)):
        path = folder / name
        path.write_bytes(content)
        path.chmod(0o600)
        own(path, unprivileged_user())


@pytest.fixture(scope="module")
def server() -> Iterator[Server]:
    with temporary_folder("tls") as folder:
        certify(folder, 5)
        files = (f"ssl_cert_file={folder}/server.crt", f"ssl_key_file={folder}/server.key")
        with services.postgres(("ssl=on", *files)) as postgres:
            yield Server(postgres, folder)


@pytest.fixture
def secret(tmp_path: Path) -> Callable[..., str]:
    """The data DSN as a process reads it from a mounted Secret."""

    def mounted(dsn: str, ca: bytes | None, sslmode: str | None = "verify-full", **more: str) -> str:
        (tmp_path / "dsn").write_text(make_conninfo(dsn, sslmode=sslmode, **more))
        if ca is not None:
            (tmp_path / "ca.crt").write_bytes(ca)
        return Settings(data_dsn_file=tmp_path / "dsn").read_data_dsn()

    return mounted


def _encrypted(connection: Any) -> bool:
    """Whether this connection is, which is what the server says."""
    query = "SELECT ssl FROM pg_stat_ssl WHERE pid = pg_backend_pid()"
    if isinstance(connection, contextlib.AbstractContextManager) and hasattr(connection, "adbc_clone"):
        with connection.cursor() as cursor:
            cursor.execute(query)
            return bool(cursor.fetchone()[0])
    return bool(connection.execute(query).fetchone()[0])


def by_engine(dsn: str) -> bool:
    with engine.connect(dsn, "test") as connection:
        return _encrypted(connection)


def by_worker(dsn: str) -> bool:
    with sdk.connect(dsn, {"lock_timeout": "60s"}) as connection:
        return _encrypted(connection)


def by_compaction(dsn: str) -> bool:
    with sdk.connect_arrow(dsn) as connection:
        return _encrypted(connection)


def by_hot_scan(dsn: str) -> bool:
    with closing(HotConnections(dsn)) as connections, connections.open() as connection:
        return _encrypted(connection)


@pytest.mark.parametrize("way", [by_engine, by_worker, by_compaction, by_hot_scan])
@pytest.mark.parametrize("sslmode", ["verify-full", "verify-ca", "require", None])
def test_every_driver_takes_the_ca_of_the_secret(
    server: Server, secret: Callable[..., str], way: Callable[[str], bool], sslmode: str | None
) -> None:
    server.serve(5)
    assert way(secret(server.postgres.dsn("postgres"), OURS.certificate, sslmode))


@contextlib.asynccontextmanager
async def processes(dsn: str) -> AsyncIterator[None]:
    """What dispatcher, controller and user API hold."""
    database, stop, heard = engine.Database(dsn, application="test"), asyncio.Event(), asyncio.Event()
    listening = asyncio.create_task(Listener(dsn, ["trace_wake"], lambda *_: heard.set()).run(stop))
    try:
        await heard.wait()
        await database.ping()
        yield
    finally:
        stop.set()
        await listening
        await database.close()


_ALL_ENCRYPTED = """
SELECT bool_and(ssl) FROM pg_stat_ssl JOIN pg_stat_activity USING (pid) WHERE datname = current_database()
"""


async def test_a_whole_installation_runs_behind_tls(server: Server, secret: Callable[..., str]) -> None:
    server.serve(5)
    pair = server.postgres.databases()
    state, data = (secret(dsn, OURS.certificate) for dsn in (pair.state_dsn, pair.data_dsn))
    migrate.migrate(state, data, org_id=services.ORG_ID, first_admin=None, lock_seconds=30)
    migrate.check(state, data)
    async with processes(state), engine.one_transaction(state, application="test") as connection:
        row = await (await connection.execute(_ALL_ENCRYPTED)).fetchone()
        assert row == (True,)
    query = Settings(
        state_dsn=secret(pair.query_state_dsn, OURS.certificate), data_dsn=secret(pair.query_dsn, OURS.certificate)
    )
    with closing(Databases(query)) as databases:
        databases.ping()


OTHER_HOST = {"host": "localhost"}  # where the server listens too, but its certificate names 127.0.0.1


@pytest.mark.parametrize(
    ("days", "ca", "more", "said"),
    [
        (5, STRANGER.certificate, {}, certificates.UNTRUSTED),
        (5, None, {}, certificates.UNTRUSTED),  # by the system's CAs
        (5, None, {"sslrootcert": "system"}, certificates.UNTRUSTED),
        (5, b"no certificate", {}, certificates.NO_ROOTS),
        (5, None, {"sslrootcert": "/nowhere/ca.crt"}, certificates.NO_ROOTS),
        (5, OURS.certificate, OTHER_HOST, certificates.OTHER_HOST),
        (-1, OURS.certificate, {}, certificates.EXPIRED),
        (-1, STRANGER.certificate, {}, certificates.UNTRUSTED),
    ],
    ids=["wrong", "none", "system", "unreadable", "missing", "host", "expired", "expired-and-wrong"],
)
def test_each_fault_of_a_certificate_has_its_own_words_in_every_process(
    server: Server, secret: Callable[..., str], days: int, ca: bytes | None, more: dict[str, str], said: str
) -> None:
    server.serve(days)
    dsn = secret(server.postgres.dsn("postgres"), ca, **more)
    for way, error in (
        (engine.check, Unavailable),
        (by_hot_scan, Unavailable),
        (by_worker, sdk.DatabaseUnavailable),
        (by_compaction, sdk.DatabaseUnavailable),
    ):
        with pytest.raises(error) as caught:
            way(dsn)
        assert said in caught.value.message
        assert "role" not in caught.value.message


async def test_a_command_says_it_too(server: Server, secret: Callable[..., str]) -> None:
    server.serve(5)
    with pytest.raises(Unavailable, match=r"database postgres: .*not signed by a CA that is known here"):
        async with engine.one_transaction(
            secret(server.postgres.dsn("postgres"), STRANGER.certificate), application="test"
        ):
            pass


@pytest.mark.parametrize("way", [by_engine, by_worker, by_compaction, by_hot_scan])
def test_a_server_without_tls_is_refused_where_a_ca_is_given_and_used_where_none_is(
    postgres: services.Postgres, secret: Callable[..., str], way: Callable[[str], bool]
) -> None:
    plain = postgres.dsn("postgres")
    assert not way(secret(plain, None, None))
    for sslmode in ("verify-full", None):
        dsn = secret(plain, OURS.certificate, sslmode)
        with pytest.raises(Exception, match="speaks no TLS" if way is not by_engine else "does not support SSL"):
            way(dsn)
    with pytest.raises(Unavailable, match="it speaks no TLS, which the DSN's sslmode asks for"):
        engine.check(dsn)


def test_a_role_that_is_missing_is_still_called_so(server: Server, secret: Callable[..., str]) -> None:
    server.serve(5)
    dsn = secret(server.postgres.dsn("postgres", "nobody_here"), OURS.certificate)
    with pytest.raises(Unavailable, match="it has no such role or database"):
        engine.check(dsn)


@pytest.mark.parametrize(
    ("days", "ca", "host", "said"),
    [
        (5, OURS, "127.0.0.1", "Verification: OK"),
        (5, STRANGER, "127.0.0.1", "unable to verify the first certificate"),
        (5, OURS, "localhost", "hostname mismatch"),
        (-1, OURS, "127.0.0.1", "certificate has expired"),
    ],
)
def test_the_runbook_s_command_shows_the_fault(
    server: Server, tmp_path: Path, days: int, ca: Authority, host: str, said: str
) -> None:
    server.serve(days)
    (tmp_path / "ca.crt").write_bytes(ca.certificate)
    page = (services.ROOT / "docs/runbooks/storage-away.md").read_text()
    (typed,) = [line for line in page.splitlines() if line.startswith("openssl s_client ")]
    # Of an address, openssl compares no name of a host.
    typed = typed.replace("-verify_hostname db.example.org", "-verify_ip 127.0.0.1" if host[0] == "1" else
                          f"-verify_hostname {host}")  # fmt: skip
    typed = typed.replace("db.example.org:5432", f"127.0.0.1:{server.postgres.port}")
    done = subprocess.run(["bash", "-c", typed], cwd=tmp_path, capture_output=True, text=True, timeout=60)
    assert said in done.stdout + done.stderr


def test_a_private_ca_has_to_be_given_to_check_less_than_the_name(
    server: Server, secret: Callable[..., str]
) -> None:
    with pytest.raises(GiveUp, match=r"sslmode=verify-ca without a CA of your own.*`ca\.crt`"):
        engine.check(secret(server.postgres.dsn("postgres"), None, "verify-ca"))
