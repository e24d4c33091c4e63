"""What is written down about queries: hashes and never statements, and personal data before its first row."""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from typing import Any

import psycopg
import pytest
from psycopg.rows import dict_row

from tests.integration.query.conftest import Client
from tests.integration.query.world import World

pytestmark = pytest.mark.services


@pytest.fixture
def hot(world: World) -> Any:
    version, _cold = world.federated()
    world.follow(version, 0, 9)
    return version


def logged(world: World, table: str) -> list[dict[str, Any]]:
    with world.data.cursor(row_factory=dict_row) as cursor:
        when = "accessed_at" if table == "pii_access_log" else "created_at"
        return cursor.execute(f"SELECT * FROM trace.{table} ORDER BY {when}").fetchall()


def test_a_result_is_written_down_without_its_statement(world: World, client: Client, hot: Any) -> None:
    sql = "SELECT hash FROM hot_blocks WHERE note = 'alice@example.org' OR block_number = 3"
    said = client.post(sql).json()
    client.refused("SELECT nothing FROM hot_blocks")
    client.rows("SELECT 1")
    (row,) = logged(world, "query_results")
    assert str(row["id"]) == said["query_id"]
    assert row["sql_sha256"] == hashlib.sha256(sql.encode()).hexdigest()
    assert (row["rows"], row["truncated"], row["task_id"]) == (1, False, None)
    assert row["versions"][0]["version"] == str(hot)
    assert "alice" not in str(row)


def test_personal_data_is_on_record_before_it_is_read(world: World, client: Client, hot: Any) -> None:
    client.rows("SELECT count(*) FROM blocks")
    assert logged(world, "pii_access_log") == []
    world.mark_personal(hot, "note")
    client.rows("SELECT count(*) FROM blocks")
    client.refused("SELECT error('after the first row') FROM blocks")
    one, other = logged(world, "pii_access_log")
    assert (one["relation"], one["pii_columns"], one["task_id"]) == ("blocks", ["note"], None)
    assert hot in one["dataset_version_ids"]
    assert one["query_id"] != other["query_id"]


def test_marks_on_the_cold_half_count(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 4)
    world.mark_personal(cold, "hash")
    client.rows("SELECT count(*) FROM blocks")
    client.rows("SELECT count(*) FROM hot_blocks")
    assert [(row["relation"], row["pii_columns"]) for row in logged(world, "pii_access_log")] == [
        ("blocks", ["hash"]),
        ("hot-blocks", ["hash"]),
    ]


def test_an_access_that_cannot_be_written_down_does_not_happen(world: World, client: Client, hot: Any) -> None:
    world.mark_personal(hot, "note")
    with psycopg.connect(world.databases.data_dsn) as locker:
        locker.execute("LOCK TABLE trace.pii_access_log IN ACCESS EXCLUSIVE MODE")
        status, code = client.refused("SELECT note FROM blocks", timeout_seconds=1)
    assert (status, code) == (408, "QueryTimeout")
    world.data.execute("REVOKE INSERT ON trace.pii_access_log FROM trace_query")
    assert client.refused("SELECT note FROM blocks") == (503, "Unavailable")


@pytest.mark.parametrize(
    "statement",
    [
        "UPDATE trace.query_results SET rows = 0",
        "DELETE FROM trace.query_results",
        "SELECT * FROM trace.pii_access_log",
        "UPDATE trace.pii_access_log SET relation = ''",
        "DELETE FROM trace.pii_access_log",
        "SELECT * FROM trace.source_outbox",
        "SELECT * FROM trace.write_fences",
    ],
)
def test_what_is_written_cannot_be_changed_by_who_wrote_it(world: World, statement: str) -> None:
    with (
        psycopg.connect(world.databases.query_dsn) as connection,
        pytest.raises(psycopg.errors.InsufficientPrivilege),
    ):
        connection.execute(statement)


def test_denials_are_events_without_the_statement(
    world: World, start_service: Callable[..., Client], capsys: pytest.CaptureFixture[str]
) -> None:
    client = start_service()
    world.dataset("follow", "Postgres", "secret-blocks")
    world.policy("secret-blocks", "Postgres", roles=["analyst"])
    assert client.refused("SELECT 'my-secret' FROM secret_blocks") == (404, "RelationNotFound")
    said = capsys.readouterr().out
    assert "RelationNotFound" in said
    assert "secret_blocks" in said
    assert "my-secret" not in said
