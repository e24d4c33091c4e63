"""What the query role sees: the catalogue's views, and nothing else of state; hot rows, and no writes."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest
from psycopg import errors

from tests import graphs, services
from tests.integration.store.assets import ASSET, declared
from tests.integration.store.conftest import Deploy
from traceplane.store import tables
from traceplane.store.engine import Database
from traceplane.store.statements import asset_policies

pytestmark = pytest.mark.services
Rows = Callable[..., list[tuple[Any, ...]]]


@pytest.fixture
def seen(databases: services.Databases) -> Rows:
    """Rows of a query on state, as the query service's role sees them."""

    def ask(query: str) -> list[tuple[Any, ...]]:
        with psycopg.connect(databases.query_state_dsn) as connection:
            return connection.execute(query).fetchall()

    return ask


async def _federated(state: Database) -> None:
    async with state.transaction() as connection:
        await declared(connection, **ASSET)


async def test_published_assets_name_the_active_versions_place(deploy: Deploy, rows: Rows, seen: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    found = seen("SELECT name, storage, location, scope_column, read_roles, provisioned FROM catalog.relations")
    places = dict(
        rows("SELECT p.asset, v.location FROM asset_publications p JOIN dataset_versions v USING (dataset_id)")
    )
    assert sorted(found) == [
        ("cold-blocks", "S3", places["cold-blocks"], "block_number", [], True),
        ("hot-blocks", "Postgres", places["hot-blocks"], "block_number", [], False),
    ]


async def test_a_federated_asset_resolves_both_halves(deploy: Deploy, state: Database, rows: Rows, seen: Rows):
    await _federated(state)
    query = (
        "SELECT storage, read_roles, scope_column, hot_name, hot_location, cold_name, cold_location, columns"
        " FROM catalog.relations WHERE name = 'blocks'"
    )
    assert seen(query) == [
        ("Federated", ["finance"], "block_number", "hot-blocks", None, "cold-blocks", None, None)
    ], "a half that nobody publishes is null"
    await deploy(graphs.assembled(graphs.chain()))
    ((storage, roles, column, hot, hot_place, cold, cold_place, columns),) = seen(query)
    assert (storage, roles, column, hot, cold) == (
        "Federated",
        ["finance"],
        "block_number",
        "hot-blocks",
        "cold-blocks",
    )
    assert hot_place.startswith("hot.d_")
    assert cold_place.startswith("s3://")
    assert columns[0] == {
        "name": "block_number",
        "type": "Int64",
        "nullable": False,
        "pii": False,
        "description": "Height of the block.",
    }


async def test_a_declared_asset_gives_its_publication_roles(deploy: Deploy, state: Database, seen: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    async with state.transaction() as connection:
        await declared(connection, **ASSET | {"name": "hot-blocks", "storage": "Postgres", "federation": None})
    query = "SELECT read_roles FROM catalog.relations WHERE name = 'hot-blocks'"
    assert seen(query) == [(["finance"],)]
    async with state.transaction() as connection:
        await asset_policies.delete(connection, org_id=services.ORG_ID, namespace="demo", name="hot-blocks")
    assert seen(query) == [(["finance"],)], "deleting the policy does not open the data"
    async with state.transaction() as connection:
        await declared(
            connection,
            **ASSET | {"name": "hot-blocks", "storage": "Postgres", "federation": None, "read_roles": []},
        )
    assert seen(query) == [([],)], "declaring it again does"


async def test_a_federated_asset_shows_the_roles_of_its_halves(deploy: Deploy, state: Database, seen: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    await _federated(state)
    query = "SELECT read_roles, hot_read_roles, cold_read_roles FROM catalog.relations WHERE name = 'blocks'"
    assert seen(query) == [(["finance"], [], [])]
    half = ASSET | {"name": "cold-blocks", "storage": "S3", "federation": None, "read_roles": ["audit"]}
    async with state.transaction() as connection:
        await declared(connection, **half)
    assert seen(query) == [(["finance"], [], ["audit"])]


async def test_only_current_partitions_and_every_relocation_are_seen(deploy: Deploy, rows: Rows, seen: Rows):
    await deploy(graphs.assembled(graphs.chain()))
    for end, superseded in ((19, "now"), (39, None)):
        rows(
            "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
            " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt, superseded_at)"
            " SELECT org_id, dataset_id, id, 'k', 0, %s, location, '[]', 1, 1, '', gen_random_uuid(), 1, %s"
            " FROM dataset_versions WHERE storage = 'S3'",
            end,
            superseded,
        )
    rows(
        "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
        " SELECT h.id, c.id, h.org_id, int8multirange(int8range(0, 19, '[]')) FROM dataset_versions h"
        " JOIN datasets d ON d.id = h.dataset_id AND d.job = 'follow' AND d.output = 'blocks'"
        " JOIN dataset_versions c ON c.storage = 'S3'"
    )
    assert seen("SELECT range_end FROM catalog.partitions") == [(39,)]
    assert seen("SELECT ranges::text FROM catalog.relocations") == [("{[0,20)}",)]


def test_principals_list_their_roles_and_strangers_have_none(rows: Rows, seen: Rows):
    rows("INSERT INTO users (org_id, issuer, external_id, name) SELECT id, 'iss', 'guest', 'Guest' FROM orgs")
    rows("INSERT INTO users (org_id, issuer, external_id, name) SELECT id, 'iss', 'anna', 'Anna' FROM orgs")
    rows(
        "INSERT INTO org_role_memberships (org_id, role_id, user_id) SELECT r.org_id, r.id, u.id"
        " FROM org_roles r, users u WHERE u.external_id = 'anna' AND r.name IN ('reader', 'writer')"
    )
    found = seen("SELECT external_id, org_id, roles FROM catalog.principals ORDER BY external_id")
    assert found == [("anna", services.ORG_ID, ["reader", "writer"]), ("guest", services.ORG_ID, [])]


@pytest.mark.parametrize("table", sorted(tables.state.tables))
def test_the_query_role_reads_no_table_of_state(table: str, seen: Rows):
    with pytest.raises(errors.InsufficientPrivilege):
        seen(f'SELECT * FROM "{table}"')


def test_hot_tables_are_written_by_workers_and_read_by_queries(databases: services.Databases):
    with psycopg.connect(databases.data_dsn) as owner:
        owner.execute("CREATE TABLE hot.d_1 (n bigint PRIMARY KEY)")
    with psycopg.connect(databases.writer_dsn) as worker:
        worker.execute("INSERT INTO hot.d_1 VALUES (1), (2)")
        worker.execute("DELETE FROM hot.d_1 WHERE n = 2")
        worker.execute(
            "INSERT INTO trace.write_fences (dataset_version_id, writer, epoch)"
            " VALUES (gen_random_uuid(), 'job', 1)"
        )
    with psycopg.connect(databases.query_dsn) as reader:
        assert reader.execute("SELECT n FROM hot.d_1").fetchall() == [(1,)]


@pytest.mark.parametrize(
    ("who", "statement"),
    [
        ("query", "INSERT INTO hot.d_1 VALUES (1)"),
        ("query", "SELECT * FROM trace.source_outbox"),
        ("query", "CREATE TABLE hot.mine (n int)"),
        ("worker", "CREATE TABLE hot.mine (n int)"),
        ("worker", "DROP TABLE hot.d_1"),
        ("worker", "TRUNCATE hot.d_1"),
        ("worker", "DELETE FROM trace.write_fences"),
        ("worker", "DELETE FROM trace.source_outbox"),
    ],
)
def test_neither_login_may_do_more(databases: services.Databases, who: str, statement: str):
    with psycopg.connect(databases.data_dsn) as owner:
        owner.execute("CREATE TABLE hot.d_1 (n bigint PRIMARY KEY)")
    dsn = databases.query_dsn if who == "query" else databases.writer_dsn
    with psycopg.connect(dsn) as connection, pytest.raises(errors.InsufficientPrivilege):
        connection.execute(statement)


def test_a_source_row_wakes_the_relay_when_it_commits(databases: services.Databases):
    with psycopg.connect(databases.data_dsn, autocommit=True) as relay:
        relay.execute("LISTEN trace_source")
        with psycopg.connect(databases.writer_dsn) as worker:
            worker.execute(
                "INSERT INTO trace.source_outbox (id, org_id, dataset_version_id, kind, payload, task_id, attempt,"
                " lease_epoch) VALUES (gen_random_uuid(), gen_random_uuid(), gen_random_uuid(), 'Event', '{}',"
                " gen_random_uuid(), 1, 1)"
            )
        assert [notice.channel for notice in relay.notifies(timeout=60, stop_after=1)] == ["trace_source"]


def test_ids_made_by_the_database_are_uuid7_in_order(rows: Rows):
    made: list[UUID] = [value for (value,) in rows("SELECT trace_uuid7() FROM generate_series(1, 100)")]
    assert {value.version for value in made} == {7}
    assert {value.variant for value in made} == {"specified in RFC 4122"}
    assert len(set(made)) == 100
    ((clock,),) = rows("SELECT extract(epoch FROM clock_timestamp()) * 1000")
    assert all(0 <= float(clock) - (value.int >> 80) < 60_000 for value in made)
