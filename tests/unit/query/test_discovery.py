"""What a statement is told of what there is: the rows that were sent, shaped as DuckDB's own information_schema."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any
from uuid import uuid4

import duckdb
import pytest

from traceplane.errors import Refused
from traceplane.query import wire
from traceplane.query.cell import catalog
from traceplane.query.gate import allowlist, discovery
from traceplane.query.gate.statement import Lists, Refusal, RelationName
from traceplane.query.relations import listing, pins
from traceplane.query.relations.resolve import Reader, match, readable_names
from traceplane.query.relations.rows import CatalogRow, catalog_row
from traceplane_sdk.columns import FORMS

TYPES = sorted({form.duckdb for form in FORMS.values()})


def row(namespace: str, name: str, *roles: str, kind: str = "Int64", **more: Any) -> CatalogRow:
    """A hot asset."""
    lists = {"read_roles": roles, "hot_read_roles": (), "cold_read_roles": ()}
    columns = [
        {"name": "n", "type": kind, "nullable": False},
        {"name": "who", "type": "Text", "nullable": True, "pii": True, "description": "Its sender."},
    ]
    return catalog_row(
        {
            "namespace": namespace,
            "name": name,
            "storage": "Postgres",
            "columns": columns,
            "scope_column": "n",
            "dataset_id": uuid4(),
            "dataset_version_id": uuid4(),
            "location": "hot.d_1",
            "provisioned": True,
            "description": f"What {name} is.",
            **lists,
            **more,
        }
    )


def told(sql: str, listed: wire.Catalog) -> list[tuple[Any, ...]]:
    """What a cell answers to a statement that asks what there is."""
    admitted = allowlist.check(sql)
    assert admitted.lists
    connection = duckdb.connect()
    catalog.fill(connection, listed)
    return connection.execute(admitted.to_run).fetchall()


def texts(rows: Sequence[CatalogRow], reader: Reader, namespace: str = "chain-a") -> list[str]:
    return [name.text for name, _ in readable_names(namespace, rows, reader)]


@pytest.fixture
def listed() -> wire.Catalog:
    rows = [row("chain-a", "my-blocks"), row("chain-b", "prices")]
    return listing.of("chain-a", readable_names("chain-a", rows, Reader()))


def test_the_names_that_are_listed_are_exactly_those_that_a_statement_may_use() -> None:
    rows = [
        row("chain-a", "open"),
        row("chain-a", "closed", "trader"),
        row("chain-b", "elsewhere"),
        row("chain-b", "closed-too", "auditor"),
        row("chain-a", "waits", provisioned=False),
        row("chain-a", "new-type", kind="Quaternion"),
        row("chain-a", "two-names"),
        row("chain-a", "two_names"),
        row("information-schema", "tables"),
        row("main", "hidden"),
    ]
    assert texts(rows, Reader()) == ["open", "chain_b.elsewhere"]
    assert texts(rows, Reader(roles=frozenset({"trader"}))) == ["closed", "open", "chain_b.elsewhere"]
    assert texts(rows, Reader(versions=frozenset())) == []
    assert texts(rows, Reader(), "main") == ["chain_a.open", "chain_b.elsewhere", "hidden"]
    for name, found in readable_names("chain-a", rows, Reader()):
        assert match([name], "chain-a", rows, Reader()) == [(found, [name])]


def test_show_tables_names_what_is_read_without_a_schema(listed: wire.Catalog) -> None:
    assert told("SHOW TABLES", listed) == [("my_blocks", "Postgres", "What my-blocks is.")]
    assert told("SHOW TABLES FROM Chain_B", listed) == [("prices", "Postgres", "What prices is.")]
    assert told('SHOW TABLES FROM "chain-b"', listed) == told("SHOW TABLES FROM chain_b", listed)
    assert told('SHOW TABLES FROM "chain_b\' OR true --"', listed) == []
    found = told("SHOW ALL TABLES", listed)
    assert [line[1:4] for line in found] == [
        ("chain_a", "my_blocks", ["n", "who"]),
        ("chain_b", "prices", ["n", "who"]),
    ]


def test_describe_says_what_a_column_is() -> None:
    found = row("chain-a", "my-blocks", kind="Timestamp")
    listed = listing.of("chain-a", [(RelationName(None, "my_blocks"), found)])
    text = FORMS["Text"].duckdb
    assert told("DESCRIBE my_blocks", listed) == [
        ("n", FORMS["Timestamp"].duckdb, "NO", None, None, "scope column", "Timestamp", None),
        ("who", text, "YES", None, None, "pii", "Text", "Its sender."),
    ]


def test_describe_of_one_relation_asks_for_no_row_and_lists_no_other() -> None:
    for sql in ("DESCRIBE x.t", "DESC x.t", "SHOW x.t", "DESCRIBE TABLE x.t", "DESCRIBE SELECT * FROM x.t"):
        admitted = allowlist.check(sql)
        assert [(name.text, name.read) for name in admitted.relations] == [("x.t", False)]
        assert admitted.lists is Lists.NAMED


@pytest.mark.parametrize(
    "sql",
    [
        "DESCRIBE SELECT n FROM t",
        "DESCRIBE SELECT * FROM t WHERE n = 1",
        "DESCRIBE SELECT * FROM t AS u",
        "DESCRIBE SELECT * FROM t u(a)",
        "DESCRIBE SELECT * EXCLUDE (n) FROM t",
        "DESCRIBE SELECT t.* FROM t",
        "DESCRIBE SELECT *, 1 FROM t",
        "DESCRIBE SELECT * FROM t LIMIT 1",
        "DESCRIBE SELECT DISTINCT * FROM t",
        "DESCRIBE SELECT COLUMNS(*) FROM t",
        "DESCRIBE SELECT * FROM t TABLESAMPLE 10%",
        "DESCRIBE WITH u AS (SELECT 1) SELECT * FROM t",
    ],
)
def test_describe_of_a_query_is_left_to_duckdb(sql: str) -> None:
    admitted = allowlist.check(sql)
    assert (admitted.lists, admitted.to_run) == (Lists.NOTHING, sql)
    assert [(name.text, name.read) for name in admitted.relations] == [("t", False)]


@pytest.mark.parametrize(
    "sql", ["SUMMARIZE t", "FROM (DESCRIBE t), t", "FROM t, (DESCRIBE t)", "FROM (SUMMARIZE FROM t), (DESCRIBE t)"]
)
def test_what_is_read_as_well_as_described_is_read(sql: str) -> None:
    assert [(name.text, name.read) for name in allowlist.check(sql).relations] == [("t", True)]


def test_a_name_is_replaced_where_it_stands_for_the_catalog_and_nowhere_else() -> None:
    sql = (
        "SELECT '\u00e9 information_schema.tables',\n \"Information_Schema\".columns.data_type AS schema_,"
        " c.information_schema.tables /* information_schema.tables */ FROM INFORMATION_SCHEMA . columns,"
        " (SELECT {'information_schema': {'tables': 1}} AS c)"
    )
    admitted = allowlist.check(sql)
    assert len(admitted.to_run) == len(sql)
    put = wire.CATALOG_SCHEMA
    assert admitted.to_run == sql.replace('"Information_Schema"', f'"{put}"').replace("INFORMATION_SCHEMA", put)
    bound = duckdb.connect()
    catalog.shape(bound)
    assert bound.execute(admitted.to_run).fetchall() == []


def test_another_spelling_of_the_name_is_refused() -> None:
    with pytest.raises(Refusal):
        discovery.renamed("SELECT 1 FROM information_schema.tables", [0])


def test_the_name_that_stands_for_it_is_as_long_and_none_of_a_namespace() -> None:
    assert len(wire.CATALOG_SCHEMA) == len(discovery.INFORMATION_SCHEMA)
    assert not wire.CATALOG_SCHEMA[0].isalnum()  # with which every name of a namespace begins


def test_information_schema_is_that_of_duckdb_for_the_same_tables() -> None:
    columns = [
        wire.CatalogColumn(f"c{place}", kind, "Text", place % 2 == 0, False, False, f"It is {kind}.")
        for place, kind in enumerate(TYPES)
    ]
    names = [("a", "y"), ("b", "x"), ("a", "x")]
    listed = wire.Catalog("a", [wire.CatalogRelation(*name, "S3", "Rows.", columns) for name in names])
    own = duckdb.connect()
    for schema, table in names:
        own.execute(f"CREATE SCHEMA IF NOT EXISTS {schema}")
        declared = ", ".join(f"{c.name} {c.type}{'' if c.nullable else ' NOT NULL'}" for c in columns)
        own.execute(f"CREATE TABLE {schema}.{table} ({declared})")
        own.execute(f"COMMENT ON TABLE {schema}.{table} IS 'Rows.'")
        for column in columns:
            own.execute(f"COMMENT ON COLUMN {schema}.{table}.{column.name} IS '{column.description}'")
    for sql in (
        "SELECT * EXCLUDE (table_catalog{}) FROM information_schema.columns ORDER BY ALL",
        "SELECT * EXCLUDE (table_catalog, is_insertable_into{}) FROM information_schema.tables ORDER BY ALL",
        "SELECT schema_name FROM information_schema.schemata WHERE schema_name IN ('a', 'b') ORDER BY ALL",
    ):
        more = ", storage" if "tables" in sql else ", trace_type, is_scope_column, is_pii"
        wanted = own.execute(sql.format("")).fetchall()
        assert wanted
        assert told(sql.format(more), listed) == wanted


def test_who_may_read_nothing_is_told_nothing() -> None:
    nothing = listing.of("default", [])
    for sql in (
        "SHOW TABLES",
        "SHOW ALL TABLES",
        "FROM information_schema.tables",
        "FROM information_schema.columns",
    ):
        assert told(sql, nothing) == []
    assert told("FROM information_schema.schemata", nothing) == []


@pytest.mark.parametrize("bound", ["MAX_RELATIONS", "MAX_BYTES"])
def test_a_listing_that_is_too_large_is_refused_with_the_remedy(
    bound: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [(RelationName(None, "blocks"), row("default", "blocks"))] * 3
    listing.of("default", found)
    monkeypatch.setattr(listing, bound, 2)
    with pytest.raises(Refusal, match="GET /v1/assets") as refused:
        listing.of("default", found)
    assert refused.value.code == "CatalogTooLarge"


def test_what_there_was_is_not_listed() -> None:
    pin = pins.pin("1:1:", 0, [])
    with pytest.raises(Refused, match="as of now"):
        listing.refuse_as_of(allowlist.check("SHOW TABLES"), pin)
    for sql, then in (("DESCRIBE blocks", pin), ("SELECT * FROM blocks", pin), ("SHOW TABLES", None)):
        listing.refuse_as_of(allowlist.check(sql), then)
