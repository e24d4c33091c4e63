"""A task's statement sees of each input the rows of its `where`, and no others: hot, cold and across the seam."""

from __future__ import annotations

import io
import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any
from uuid import UUID, uuid4

import httpx
import psycopg
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from psycopg.types.json import Jsonb

from tests import services
from tests.integration.query.answers import differential, rows
from tests.integration.query.answers.grammar import Grammar
from tests.integration.query.callers import task_query
from tests.integration.query.conftest import Client
from tests.integration.query.signer import CLAIM, LEASE, TASK, Signer
from tests.integration.query.world import World, block_hash, parquet, value_of
from tests.support import wheres
from traceplane_sdk.columns import FORMS, ColumnType

pytestmark = pytest.mark.services

SEEDS, STATEMENTS = 3, 25
NOTES = {7: "it's", 8: "b\\s", 9: "its", 57: "it's", 58: "b\\s"}
Filters = Mapping[UUID, Mapping[str, Sequence[str]]]


@pytest.fixture
def client(world: World, start_service: Callable[..., Client], signer: Signer) -> Client:
    world.running(TASK, LEASE, CLAIM)
    return start_service(dispatcher_url=signer.url)


def read_by(world: World, filters: Filters) -> None:
    """Make these the inputs of the running task's job, each with its `where`.

    Forged: a deploy would give the job ids, and a dispatcher the claim that the task's token is made of.
    """
    (job,) = world.state.execute("SELECT job_id FROM tasks WHERE id = %s", (TASK,)).fetchone() or ()
    world.state.execute("DELETE FROM job_inputs WHERE job_id = %s", (job,))
    for position, version in enumerate(filters):
        world.state.execute(
            "INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)"
            " SELECT %s, %s, org_id, dataset_id, id, false FROM dataset_versions WHERE id = %s",
            (job, position, version),
        )
    where = {str(position): one for position, one in enumerate(filters.values()) if one}
    world.state.execute("UPDATE jobs SET definition = %s WHERE id = %s", (Jsonb({"where": where}), job))


def made_where(chance: random.Random, name: str, table: pa.Table) -> dict[str, list[str]]:
    """A column or two with values of rows of the table, more often than not several."""
    columns = [column for column in rows.columns_of(name) if FORMS[column.type].constant is not None]
    found = {}
    for column in chance.sample(columns, chance.randint(1, 2)):
        values = [text for text in texts(table, column.name, column.type) if text is not None]
        found[column.name] = sorted(set(chance.choices(values, k=chance.randint(1, 40))))
    return found


def texts(table: pa.Table, name: str, kind: ColumnType) -> list[str | None]:
    return [None if value is None else wheres.text(kind, value) for value in table.column(name).to_pylist()]


def kept(name: str, table: pa.Table, where: Mapping[str, Sequence[str]]) -> pa.Table:
    """The rows of a `where`, by plain Python."""
    kinds = {column.name: column.type for column in rows.columns_of(name)}
    passes = [True] * table.num_rows
    for column, wanted in where.items():
        found = texts(table, column, kinds[column])
        passes = [before and text in wanted for before, text in zip(passes, found, strict=True)]
    return table.filter(pa.array(passes, pa.bool_()))


def test_made_up_statements_of_a_task_have_the_answers_of_plain_duckdb_over_the_rows_of_its_wheres(
    world: World, client: Client, signer: Signer
) -> None:
    tables = rows.chain(differential.ROWS_SEED)
    rows.fill(world, tables)
    halves = ("follow", "compact", "near", "far")
    versions = {name: [world.version(f"{half}-{name}") for half in halves] for name in tables}
    token = signer.token(*(version for found in versions.values() for version in found))
    sizes = []
    for seed in range(SEEDS):
        chance = random.Random(seed)
        wheres = {name: made_where(chance, name, table) for name, table in tables.items()}
        read_by(world, {version: wheres[name] for name, found in versions.items() for version in found})
        seen = {name: kept(name, table, wheres[name]) for name, table in tables.items()}
        sizes += [(table.num_rows, seen[name].num_rows) for name, table in tables.items()]

        def asked(sql: str, **body: Any) -> httpx.Response:
            return task_query(client, token, sql, **body)

        sides = differential.Sides(asked, seen)
        plain = [f"FROM {tier}{name} ORDER BY ALL LIMIT 50" for tier in rows.TIERS for name in tables]
        made = [str(Grammar(random.Random(seed * 1000 + n), tables).statement()) for n in range(STATEMENTS)]
        for sql in [*plain, *made]:
            assert sides.problem(sql) is None, (wheres, sql)
    assert sum(0 < few < all_ for all_, few in sizes) > SEEDS, sizes


@pytest.mark.parametrize("relation", ["hot_blocks", "cold_blocks", "blocks"])
@pytest.mark.parametrize(
    ("where", "numbers"),
    [
        ({"note": ["it's", "b\\s"]}, [7, 8, 57, 58]),
        ({"big": ["true"], "block_number": ["1", "2", "51", "52"]}, [2, 52]),
        ({"hash": [block_hash(3), block_hash(53)]}, [3, 53]),
        ({"value": [str(value_of(4)), str(value_of(54)), "5"]}, [4, 54]),
        ({"note": ["nowhere"]}, []),
    ],
)
def test_types_that_no_chain_has_and_text_that_looks_like_sql(
    relation: str, where: dict[str, list[str]], numbers: list[int], world: World, client: Client, signer: Signer
) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    for number, note in NOTES.items():
        world.data.execute(f"UPDATE hot.d_{hot.hex} SET note = %s WHERE block_number = %s", (note, number))
    files = pq.read_table(io.BytesIO(parquet(0, 49)))
    notes = pa.array([NOTES.get(number, note) for number, note in enumerate(files.column("note").to_pylist())])
    body = io.BytesIO()
    pq.write_table(files.set_column(files.column_names.index("note"), "note", notes), body)
    world.compact(hot, cold, 0, 49, body.getvalue())
    read_by(world, {hot: where, cold: where})
    token = signer.token(hot, cold)
    answer = task_query(client, token, f"SELECT block_number FROM {relation} ORDER BY 1").json()
    cold_only = [number for number in numbers if number < 50]
    assert [number for (number,) in answer["rows"]] == (cold_only if relation == "cold_blocks" else numbers)
    counted = task_query(client, token, f"SELECT count(*) FROM {relation}").json()
    assert counted["rows"] == [[len(answer["rows"])]]


def test_postgres_sends_only_the_rows_of_a_where(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 99)
    few = {"value": [str(value_of(n)) for n in range(5)], "hash": [block_hash(n) for n in (3, 4, 5)]}
    read_by(world, {hot: few})
    answer = task_query(client, signer.token(hot), "SELECT count(*) FROM hot_blocks").json()
    assert (answer["rows"], answer["versions"][0]["hot_rows"]) == ([[2]], 2)
    read_by(world, {hot: {"hash": [block_hash(n) for n in range(200)]}})
    answer = task_query(
        client, signer.token(hot), "SELECT count(*) FROM hot_blocks WHERE block_number >= 90"
    ).json()
    assert (answer["rows"], answer["versions"][0]["hot_rows"]) == ([[10]], 10)
    read_by(world, {hot: {"note": ["b\\s"]}})
    answer = task_query(client, signer.token(hot), "SELECT count(*) FROM hot_blocks").json()
    assert (answer["rows"], answer["versions"][0]["hot_rows"]) == ([[0]], 0)


def test_only_files_that_may_have_rows_of_a_where_are_fetched(world: World, client: Client, signer: Signer) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 159)
    for first in (0, 50, 100):
        world.compact(hot, cold, first, first + 49)
    where = {"block_number": ["3", "140", "155"]}
    read_by(world, {hot: where, cold: where})
    for relation, numbers in (("cold_blocks", [3, 140]), ("blocks", [3, 140, 155]), ("hot_blocks", [3, 140, 155])):
        answer = task_query(
            client, signer.token(hot, cold), f"SELECT block_number FROM {relation} ORDER BY 1"
        ).json()
        assert [number for (number,) in answer["rows"]] == numbers
        assert sum(version["files"] for version in answer["versions"]) == 2


def test_a_federated_asset_over_two_wheres_is_refused(world: World, client: Client, signer: Signer) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    read_by(world, {hot: {"block_number": ["1"]}, cold: {}})
    token = signer.token(hot, cold)
    refused = task_query(client, token, "SELECT count(*) FROM blocks")
    assert (refused.status_code, refused.json()["code"]) == (400, "WhereDiffers")
    assert task_query(client, token, "SELECT count(*) FROM hot_blocks").json()["rows"] == [[1]]


def test_an_answer_is_repeated_by_the_where_it_had(world: World, client: Client, signer: Signer) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    read_by(world, {hot: {"block_number": ["1", "12"]}})
    sql, token = "SELECT count(*) FROM hot_blocks", signer.token(hot)
    then = task_query(client, token, sql).json()["as_of"]
    world.follow(hot, 10, 19)
    assert task_query(client, token, sql).json()["rows"] == [[2]]
    assert task_query(client, token, sql, as_of=then).json()["rows"] == [[1]]


def test_users_see_all_rows_whatever_a_job_reads(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    read_by(world, {hot: {"block_number": ["1"]}})
    assert client.rows("SELECT count(*) FROM hot_blocks") == [[10]]


def test_what_a_where_is_may_be_asked_by_the_attempt_that_runs_alone(world: World) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.running(TASK, LEASE, CLAIM)
    read_by(world, {hot: {"block_number": ["1"]}, world.dataset("other", "Postgres", "other"): {}})

    def found(*fence: Any) -> Any:
        with psycopg.connect(world.databases.query_state_dsn) as connection:
            return connection.execute("SELECT catalog.claim_filters(%s, %s, %s, %s, %s)", fence).fetchone()

    fence = [services.ORG_ID, TASK, 1, LEASE, CLAIM]
    assert found(*fence) == ({str(hot): {"block_number": ["1"]}},)
    for place, other in enumerate((uuid4(), uuid4(), 2, uuid4(), uuid4())):
        assert found(*fence[:place], other, *fence[place + 1 :]) in ((None,), None), place
    world.state.execute("UPDATE tasks SET status = 'Canceled', finished_at = now() WHERE id = %s", (TASK,))
    assert found(*fence) in ((None,), None)
