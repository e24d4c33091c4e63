"""The second wall with the first one removed: the whole hostile corpus runs in cells, and no gate checks it.

What may come of it is an error, or an answer made of what the query was granted. Nothing else of this machine is in
an answer, nothing is made or changed anywhere, and the service goes on.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from typing import Any

import httpx
import pytest

from tests.integration.query.cells import assert_one_socket_and_no_log
from tests.integration.query.conftest import Client
from tests.integration.query.world import World
from traceplane.errors import InvalidSettings
from traceplane.query import wire
from traceplane.query.gate.messages import Shape
from traceplane.query.gate.statement import Admitted, RelationName
from traceplane.query.gate.supervisor import GateSupervisor

pytestmark = pytest.mark.services

CORPUS = (Path(__file__).parents[2] / "unit" / "query" / "hostile.sql").read_text().splitlines()
CHUNKS = 2

# What a cell that could read, list or connect would show.
AIMED = [
    "SELECT content FROM read_text('{file}')",
    "SELECT * FROM read_csv('{file}', header = false)",
    "SELECT * FROM read_blob('{file}')",
    "FROM '{file}'",
    "SELECT * FROM glob('{folder}/*')",
    "SELECT * FROM read_text('/proc/self/environ')",
    "SELECT * FROM read_text('/proc/self/maps')",
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT getenv('TRACE_CANARY')",
    "SELECT * FROM duckdb_secrets()",
    "SELECT * FROM duckdb_databases()",
    "COPY (SELECT 1) TO '{folder}/made.csv'",
    "ATTACH '{folder}/made.db' AS made",
    "EXPORT DATABASE '{folder}/made'",
    "SET allowed_directories = ['/']; SELECT * FROM read_text('{file}')",
    "SET enable_external_access = true",
    "SELECT * FROM vault_blocks",
    "SELECT * FROM postgres_query('{dsn}', 'SELECT 1')",
    "SELECT * FROM read_parquet('{object}')",
    "CREATE SECRET s (TYPE s3, KEY_ID '{key}', SECRET '{secret}'); FROM read_parquet('{object}')",
]


@pytest.fixture
def processes() -> None:
    """Started as the service starts them."""


@pytest.fixture
def ungated(world: World, start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch) -> Client:
    """A service that admits everything, over one relation."""
    granted = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(granted, 0, 9)
    vault = world.dataset("vault", "Postgres", "vault-blocks")
    world.follow(vault, 0, 9)
    world.data.execute(f"UPDATE hot.d_{vault.hex} SET note = 'canary-of-the-vault'")
    monkeypatch.setenv("TRACE_CANARY", "canary-of-the-environment")
    names = (RelationName(None, "hot_blocks"),)
    monkeypatch.setattr(GateSupervisor, "check", lambda self, sql, shape=None: Admitted(sql, names))

    async def check_in_thread(self: GateSupervisor, sql: str, shape: Shape | None = None) -> Admitted:
        return self.check(sql, shape)

    monkeypatch.setattr(GateSupervisor, "check_in_thread", check_in_thread)
    return start_service(query_concurrency=2)


def test_a_kernel_without_the_sandbox_is_refused_with_the_remedy(
    start_service: Callable[..., Client], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("traceplane.query.sandbox.landlock.abi", lambda: 0)
    with pytest.raises(InvalidSettings, match=r"no Landlock.*TRACE_QUERY_ACCEPT_WEAKER_SANDBOX=true"):
        start_service()
    assert start_service(query_accept_weaker_sandbox=True).rows("SELECT 1") == [[1]]


def canaries(world: World) -> list[str]:
    return ["canary-of", "root:x:0", world.store.secret_access_key, world.databases.query_dsn, "TRACE_"]


def test_statements_aimed_at_this_machine_show_and_change_nothing(
    ungated: Client, world: World, tmp_path: Path
) -> None:
    folder = tmp_path / "aim"
    folder.mkdir()
    (folder / "canary.txt").write_text("canary-of-the-disk")
    world.store.client().put_object(Bucket=world.bucket, Key="canary", Body=b"canary-of-the-bucket")
    aim = {
        "file": folder / "canary.txt",
        "folder": folder,
        "dsn": world.databases.query_dsn,
        "object": f"s3://{world.bucket}/canary",
        "key": world.store.access_key_id,
        "secret": world.store.secret_access_key,
    }
    for statement in AIMED:
        sql = statement.format(**aim)
        answer = ungated.post(sql, timeout_seconds=5, overflow="truncate")
        # An error quotes the statement to its own author: what stands in it has not got out of anything.
        said = str(answer.json().get("rows", answer.json().get("detail", answer.text))).replace(sql, "")
        assert not [canary for canary in canaries(world) if canary in said], (sql, answer.text)
        assert os.listdir(folder) == ["canary.txt"], sql
    assert ungated.rows("SELECT count(*) FROM hot_blocks") == [[10]]


@pytest.mark.parametrize("chunk", range(CHUNKS))
def test_no_hostile_statement_gets_out_of_its_cell(ungated: Client, world: World, chunk: int) -> None:
    before = {entry: entry.stat().st_mtime_ns for entry in Path("/tmp").glob("x*")}
    for sql in CORPUS[chunk::CHUNKS]:
        answer = ungated.post(sql, timeout_seconds=1, overflow="truncate")
        assert answer.status_code in (200, 400, 408, 413, 422), (sql, answer.text)
        rows = answer.json().get("rows", "")
        assert not [canary for canary in canaries(world) if canary in str(rows)], (sql, answer.text)
    assert ungated.rows("SELECT count(*) FROM hot_blocks") == [[10]]
    assert {entry: entry.stat().st_mtime_ns for entry in Path("/tmp").glob("x*")} == before


HOSTILE_WITHOUT_THE_GATE = [
    "SELECT * FROM read_text('/etc/passwd')",
    "SELECT * FROM '/etc/passwd'",
    "SELECT * FROM read_csv('/proc/self/environ')",
    "SELECT * FROM glob('/*')",
    "SELECT * FROM read_parquet('http://127.0.0.1:1/x.parquet')",
    "SELECT * FROM 's3://bucket/x.parquet'",
    "COPY (SELECT 1) TO '/tmp/leak.csv'",
    "ATTACH '/tmp/x.db'",
    "INSTALL httpfs",
    "LOAD httpfs",
    "SET enable_external_access = true",
    "SET lock_configuration = false",
    "SET threads = 64",
    "SET memory_limit = '100GB'",
    "EXPORT DATABASE '/tmp/leak'",
    "CREATE SECRET (TYPE s3, KEY_ID 'a', SECRET 'b')",
    "SELECT * FROM sniff_csv('/etc/passwd')",
    "SELECT * FROM parquet_metadata('/etc/passwd')",
    "SELECT * FROM World",
]


@pytest.mark.parametrize("sql", HOSTILE_WITHOUT_THE_GATE)
def test_the_cell_holds_without_the_gate(sql: str, client: Client) -> None:
    """The statement goes straight to a cell, as if the gate had a hole."""
    with client.service.cells.one() as cell:
        cell.channel.settimeout(20)
        order = wire.Prepare(sql=sql, relations=[], format="json", max_rows=10, max_bytes=10_000)
        wire.send(cell.channel, order)
        kinds: Any = wire.Scans | wire.Failed
        message, _ = wire.receive(cell.channel, kinds)
        if isinstance(message, wire.Scans):  # else it failed before it could run
            wire.send(cell.channel, wire.Run([], "[]"))
            kinds = wire.Result | wire.Failed
            message, _ = wire.receive(cell.channel, kinds)
        assert isinstance(message, wire.Failed), message
    assert not Path("/tmp/leak.csv").exists()
    assert not Path("/tmp/leak").exists()


def test_a_cell_has_no_credential_and_cannot_write(world: World, client: Client) -> None:
    client.rows("SELECT 1")
    assert httpx.get(f"{client.url}/readyz", timeout=20).status_code == 200
    with client.service.cells.one() as cell:
        cell.channel.settimeout(20)
        nothing = wire.Prepare(sql="SELECT 1", relations=[], format="json", max_rows=1, max_bytes=1024)
        wire.send(cell.channel, nothing)
        wire.receive(cell.channel, wire.Scans)  # so it has confined itself
        # By its own descriptor: the one before it may be ending still, and is the first child until then.
        told = Path(f"/proc/self/fdinfo/{cell._pidfd}").read_text()
        pid = int(next(line.split()[1] for line in told.splitlines() if line.startswith("Pid:")))
        environment = Path(f"/proc/{pid}/environ").read_bytes().decode()
        assert {line.split("=")[0] for line in environment.split("\0") if line} <= {
            "ARROW_DEFAULT_MEMORY_POOL",
            "MALLOC_ARENA_MAX",
            "MALLOC_MMAP_THRESHOLD_",
            "MALLOC_TOP_PAD_",
            "MALLOC_TRIM_THRESHOLD_",
            "OPENBLAS_NUM_THREADS",
            "OMP_NUM_THREADS",
            "LC_ALL",
            "LC_CTYPE",
        }
        limits = Path(f"/proc/{pid}/limits").read_text()
        assert "Max file size             0" in limits
        assert "Max core file size        0" in limits
        assert_one_socket_and_no_log(pid)


def test_duckdbs_own_catalog_holds_the_granted_names_alone(ungated: Client) -> None:
    """What a statement would find that the gate let through without writing it anew."""
    for sql in (
        "SHOW ALL TABLES",
        "SELECT table_name FROM information_schema.tables",
        "SELECT DISTINCT table_name FROM information_schema.columns WHERE table_catalog = 'memory'",
        "SELECT * FROM duckdb_views() WHERE NOT internal",
    ):
        answer = ungated.post(sql)
        assert answer.status_code == 200, answer.text
        assert "hot_blocks" in answer.text
        assert "vault" not in answer.text
