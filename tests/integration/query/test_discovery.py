"""What a caller is told of what there is: exactly what they may read, by the service as it runs."""

from __future__ import annotations

import io
from collections.abc import Callable
from typing import Any

import httpx
import pyarrow.parquet as pq
import pytest
from psycopg.types.json import Jsonb

from tests import services
from tests.integration.query.callers import reader
from tests.integration.query.conftest import Client
from tests.integration.query.signer import CLAIM, LEASE, TASK, Signer
from tests.integration.query.world import COLUMNS, NAMESPACE, World
from tests.issuer import Issuer
from traceplane.query.attach import catalog
from traceplane_sdk.columns import FORMS

pytestmark = pytest.mark.services

NAMES = "SELECT table_schema, table_name FROM information_schema.tables"


@pytest.fixture
def client(world: World, start_service: Callable[..., Client], signer: Signer) -> Client:
    world.running(TASK, LEASE, CLAIM)
    return start_service(dispatcher_url=signer.url)


def told(client: Client, sql: str, **body: Any) -> list[Any]:
    """The first column of an answer."""
    return [row[0] for row in client.rows(sql, **body)]


def told_to_task(client: Client, token: str, sql: str) -> list[list[Any]]:
    fence = {"task_id": str(TASK), "attempt": 1, "lease_token": str(LEASE)}
    answer = httpx.post(
        f"{client.url}/v1/task/query",
        json={"fence": fence, "sql": sql},
        headers={"X-Trace-Task-Capability": token},
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    return answer.json()["rows"]


def test_each_user_is_told_what_their_roles_allow(world: World, client: Client, oidc: Issuer) -> None:
    world.federated()
    world.dataset("private", "Postgres", "private-blocks")
    world.policy("cold-blocks", "S3", roles=["finance"])
    world.policy("private-blocks", "Postgres", roles=["nobody"])
    world.user(oidc.url, "fiona", "reader", "finance")
    fiona = Client(client.url, oidc.token("fiona"), client.service)
    for who, names in ((client, ["hot_blocks"]), (fiona, ["blocks", "cold_blocks", "hot_blocks"])):
        assert told(who, "SHOW TABLES") == names
        assert sorted(told(who, "SELECT table_name FROM information_schema.tables")) == names
        assert sorted(set(told(who, "SELECT table_name FROM information_schema.columns"))) == names
        assert [row[2] for row in who.rows("SHOW ALL TABLES")] == names
    for statement in ("DESCRIBE cold_blocks", "SUMMARIZE cold_blocks", "DESCRIBE SELECT hash FROM cold_blocks"):
        assert client.refused(statement) == (404, "RelationNotFound")
        assert client.post(statement).json()["detail"] == "no relation 'cold_blocks'"
    assert client.post("DESCRIBE nothing").json()["detail"] == "no relation 'nothing'"


def test_what_is_listed_is_exactly_what_can_be_read(world: World, client: Client, oidc: Issuer) -> None:
    """Assets in every state, two callers, three namespaces to ask from."""
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 4)
    waiting = world.dataset("waiting", "Postgres", "waiting-blocks")
    newer = world.dataset("newer", "Postgres", "newer-blocks")
    world.state.execute("UPDATE dataset_versions SET provisioned_at = NULL WHERE id = %s", (waiting,))
    unknown = Jsonb([{**COLUMNS[0], "type": "Quaternion"}])
    world.state.execute("UPDATE dataset_versions SET columns = %s WHERE id = %s", (unknown, newer))
    world.policy("lost", "Federated", federation={"hot": "hot-blocks", "cold": "nowhere", "column": "block_number"})
    world.policy("cold-blocks", "S3", roles=["finance"])
    world.user(oidc.url, "fiona", "reader", "finance")
    names = ["blocks", "cold_blocks", "hot_blocks", "waiting_blocks", "newer_blocks", "lost", "nothing"]
    for who, most in ((client, 1), (Client(client.url, oidc.token("fiona"), client.service), 3)):
        for namespace in (NAMESPACE, "elsewhere", "main"):
            readable = {
                name
                for name in (*names, *(f'"{NAMESPACE}".{name}' for name in names))
                if who.post(f"SELECT * FROM {name} LIMIT 0", namespace=namespace).status_code == 200
            }
            listed = {(schema, table) for schema, table in who.rows(NAMES, namespace=namespace)}
            assert {f'"{schema}".{table}' for schema, table in listed} == {n for n in readable if "." in n}
            assert set(told(who, "SHOW TABLES", namespace=namespace)) == {n for n in readable if "." not in n}
            assert len(listed) == most


def test_types_are_those_of_the_answer(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 4)
    for name in ("blocks", "cold_blocks", "hot_blocks"):
        answered = [(c["name"], c["type"]) for c in client.post(f"SELECT * FROM {name}").json()["columns"]]
        described = client.rows(f"DESCRIBE {name}")
        assert [(row[0], row[1]) for row in described] == answered
        assert [row[6] for row in described] == [column["type"] for column in COLUMNS]
        assert [row[2] for row in described] == ["YES" if column["nullable"] else "NO" for column in COLUMNS]
        of_query = client.rows(f"SELECT column_name, column_type FROM (DESCRIBE FROM {name})")
        assert [tuple(row) for row in of_query] == answered
        of_schema = client.rows(
            f"SELECT column_name, data_type FROM information_schema.columns WHERE table_name = '{name}'"
            " ORDER BY ordinal_position"
        )
        assert [tuple(row) for row in of_schema] == answered
        assert {row[0]: row[5] for row in described}["block_number"] == "scope column"


def test_descriptions_are_told(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    noted = [{**column, "description": f"The {column['name']}."} for column in COLUMNS]
    world.state.execute("UPDATE dataset_versions SET columns = %s WHERE id = %s", (Jsonb(noted), hot))
    world.policy("hot-blocks", "Postgres")
    world.state.execute("UPDATE assets SET description = 'Blocks as they come.'")
    assert client.rows("SHOW TABLES") == [["hot_blocks", "Postgres", "Blocks as they come."]]
    assert client.rows("SELECT table_comment FROM information_schema.tables") == [["Blocks as they come."]]
    assert [row[7] for row in client.rows("DESCRIBE hot_blocks")] == [f"The {c['name']}." for c in COLUMNS]


def test_it_joins_with_itself_and_with_assets(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 4)
    joined = client.rows(
        "SELECT t.storage, count(*) FROM information_schema.tables t"
        " JOIN information_schema.columns c USING (table_schema, table_name)"
        " JOIN INFORMATION_SCHEMA.schemata s ON s.schema_name = c.table_schema GROUP BY ALL ORDER BY ALL"
    )
    assert joined == [[storage, len(COLUMNS)] for storage in ("Federated", "Postgres", "S3")]
    # The numbers of the columns are blocks too.
    mixed = client.post(
        "SELECT b.block_number, information_schema.columns.column_name FROM blocks b"
        " JOIN information_schema.columns ON ordinal_position = b.block_number AND table_name = 'blocks' ORDER BY 1"
    ).json()
    assert mixed["rows"] == [[place, column["name"]] for place, column in enumerate(COLUMNS, 1)]
    assert mixed["versions"]
    assert mixed["as_of"] is None, "what there was is not kept"


def test_a_task_is_told_of_its_inputs(world: World, client: Client, signer: Signer) -> None:
    hot, cold = world.federated()
    world.dataset("other", "Postgres", "other-blocks")
    world.policy("hot-blocks", "Postgres", roles=["nobody"])
    one, both = signer.token(hot), signer.token(hot, cold)
    assert [row[0] for row in told_to_task(client, one, "SHOW TABLES")] == ["follow_blocks", "hot_blocks"]
    names = ["blocks", "cold_blocks", "compact_blocks", "follow_blocks", "hot_blocks"]
    assert [row[0] for row in told_to_task(client, both, "SHOW TABLES")] == names
    assert sorted(row[1] for row in told_to_task(client, both, NAMES)) == names
    assert told_to_task(client, one, "DESCRIBE follow_blocks")[0][:2] == ["block_number", "BIGINT"]
    assert told_to_task(client, signer.token(), NAMES) == []


def test_who_may_read_nothing_is_told_nothing(world: World, client: Client) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")
    world.policy("hot-blocks", "Postgres", roles=["nobody"])
    for relation in ("tables", "columns", "schemata"):
        assert client.rows(f"SELECT * FROM information_schema.{relation}") == []
    assert client.rows("SHOW TABLES") == client.rows("SHOW ALL TABLES") == []


def test_describe_reads_no_row_and_no_file_and_is_no_access_to_personal_data(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9)
    world.compact(hot, cold, 0, 4)
    for version in (hot, cold):
        world.mark_personal(version, "note")
    for sql in ("DESCRIBE blocks", "DESCRIBE SELECT note FROM blocks", "FROM (DESCRIBE blocks)"):
        said = client.post(sql).json()
        assert (said["bytes_scanned"], {v["files"] + v["hot_rows"] for v in said["versions"]}) == (0, {0})
    client.rows("SELECT * FROM information_schema.columns")
    count = "SELECT count(*) FROM trace.pii_access_log"
    assert world.data.execute(count).fetchone() == (0,)
    assert {row[0]: row[5] for row in client.rows("DESCRIBE blocks")}["note"] == "pii"
    client.rows("SUMMARIZE SELECT note FROM blocks")
    assert world.data.execute(count).fetchone() == (1,)


def test_summarize_is_of_the_rows_and_opens_the_files_that_it_needs(world: World, client: Client) -> None:
    hot, cold = world.federated()
    world.follow(hot, 0, 9_999)
    for start in range(0, 8_000, 1_000):
        world.compact(hot, cold, start, start + 999)
    whole = {row[0]: row for row in client.rows("SUMMARIZE blocks")}
    assert whole["block_number"][2:4] == ["0", "9999"]
    assert {name: row[10] for name, row in whole.items()} == {column["name"]: 10_000 for column in COLUMNS}
    said = client.post("SUMMARIZE SELECT block_number FROM blocks WHERE block_number BETWEEN 1500 AND 2500").json()
    (row,) = said["rows"]
    assert (row[2], row[3], row[10]) == ("1500", "2500", 1_001)
    assert sum(version["files"] for version in said["versions"]) == 2


def test_what_is_asked_stands_in_the_records(world: World, client: Client) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")
    for sql in ("SHOW TABLES", NAMES, "DESCRIBE hot_blocks"):
        client.rows(sql)
    assert world.data.execute("SELECT count(*) FROM trace.query_results").fetchone() == (3,)


def test_the_past_is_described_and_not_listed(world: World, client: Client) -> None:
    old = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(old, 0, 9)
    token = client.post("DESCRIBE hot_blocks").json()["as_of"]
    assert client.rows("SELECT count(*) FROM hot_blocks", as_of=token) == [[10]]
    assert len(client.rows("DESCRIBE hot_blocks", as_of=token)) == len(COLUMNS)
    for sql in ("SHOW TABLES", NAMES, f"{NAMES}, hot_blocks"):
        for mode in ("interactive", "batch"):
            said = client.post(sql, as_of=token, mode=mode)
            assert (said.status_code, "as of now" in said.json()["detail"]) == (400, True)


def test_it_is_answered_in_every_form_and_as_a_batch_query(world: World, client: Client) -> None:
    world.federated()
    names = ["blocks", "cold_blocks", "hot_blocks"]
    for form in ("arrow", "parquet", "csv"):
        assert client.post("SHOW TABLES", format=form).status_code == 200
    table = pq.read_table(io.BytesIO(client.post("SHOW TABLES", format="parquet").content))
    assert table.column("name").to_pylist() == names
    assert client.post("SHOW TABLES", mode="batch").status_code == 202


def test_more_than_one_page_is_listed_and_too_much_is_refused(
    world: World, client: Client, monkeypatch: pytest.MonkeyPatch, oidc: Issuer
) -> None:
    names = [f"blocks-{place}" for place in range(5)]
    world.publish(*((f"job-{place}", "Postgres", name) for place, name in enumerate(names)))
    listed = [name.replace("-", "_") for name in names]
    for page in (1, 2, 5):
        monkeypatch.setattr(catalog, "PAGE", page)
        assert told(client, "SHOW TABLES") == listed
    monkeypatch.setattr(catalog.listing, "MAX_RELATIONS", 4)
    said = client.post("SHOW TABLES")
    assert (said.status_code, said.json()["code"]) == (400, "CatalogTooLarge")
    assert "GET /v1/assets" in said.json()["detail"]
    assert len(client.rows("DESCRIBE blocks_1")) == len(COLUMNS)
    world.policy("blocks-0", "Postgres", roles=["finance"])
    assert told(reader(world, oidc, client, "rita"), "SHOW TABLES") == listed[1:], "what counts is what is readable"


def test_a_wrong_statement_is_quoted_as_it_was_written(world: World, client: Client) -> None:
    world.dataset("follow", "Postgres", "hot-blocks")
    for relations in ("information_schema.tables", "information_schema.tables, hot_blocks"):
        said = client.post(f"SELECT 1,\n information_schema.tables.wrong FROM {relations}").json()
        assert said["code"] == "InvalidQuery"
        assert "__trace" not in said["detail"]
    assert "LINE 2:  information_schema.tables.wrong FROM information_schema..." in said["detail"]


def test_another_organisations_assets_are_not_listed(world: World, client: Client) -> None:
    world.federated()
    others = "SELECT name FROM catalog.relations WHERE org_id <> %s"
    assert world.state.execute(others, (services.ORG_ID,)).fetchall(), "else there is nothing to leave out"
    assert len(client.rows(NAMES)) == 3


def test_every_type_has_its_own_name_and_that_of_sql(world: World, client: Client) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    every = [{"name": f"c{place}", "type": str(kind), "nullable": True} for place, kind in enumerate(FORMS)]
    world.state.execute("UPDATE dataset_versions SET columns = %s WHERE id = %s", (Jsonb(every), hot))
    found = client.rows("DESCRIBE hot_blocks")
    assert [(row[6], row[1]) for row in found] == [(str(kind), form.duckdb) for kind, form in FORMS.items()]
