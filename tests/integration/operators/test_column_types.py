"""A value of every column type is the same in every tier: COPY, Postgres, Arrow, Parquet, DuckDB."""

from __future__ import annotations

import json
import random
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import duckdb
import psycopg
import psycopg.sql
import pyarrow as pa
import pyarrow.dataset as ds
import pyarrow.parquet as pq
import pytest

from operators.parquet_compact.source import snapshot
from tests.integration.operators.workbench import Dataset
from tests.services import Databases
from tests.support import wheres
from tests.support.seeds import seeds
from traceplane.query.relations import hot_sql
from traceplane_sdk import where
from traceplane_sdk.columns import FORMS, TYPE_MARK, ColumnType
from traceplane_sdk.copyrows import copy_rows
from traceplane_sdk.operator import Column, OutputSchema, Storage
from traceplane_sdk.parquet import ParquetFile, arrow_schema, row_groups

pytestmark = pytest.mark.services

SAMPLES: dict[ColumnType, tuple[Any, Any, Any]] = {
    ColumnType.INT32: (-(2**31), 0, 2**31 - 1),
    ColumnType.INT64: (-(2**63), 0, 2**63 - 1),
    ColumnType.FLOAT64: (0.1, -1.7976931348623157e308, float("inf")),
    ColumnType.UINT256: (0, 10**77 + 1, 2**256 - 1),
    ColumnType.HEX: ("0x", "0x00ff", "0x" + "ab" * 5000),
    ColumnType.TEXT: ("", "tab\tline\nreturn\rback\\slash\\N", "é😀'\""),
    ColumnType.BOOL: (True, False, True),
    ColumnType.TIMESTAMP: (
        datetime(1970, 1, 1, tzinfo=UTC),
        datetime(2026, 2, 28, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ),
    ColumnType.JSON: ({"é\t\n\\": [1, None, "0x"]}, [], "text"),
}
"""Three values of each type, extremes among them."""
ROWS = [(number, *(SAMPLES[kind][number] for kind in ColumnType)) for number in range(3)]
ROWS.append((3, *(None for _ in ColumnType)))


def at_rest(kind: ColumnType, value: Any) -> Any:
    """`value` as Arrow and DuckDB hold it, JSON taken apart since Postgres spaces it in its own way."""
    if value is None:
        return None
    return str(value) if kind is ColumnType.UINT256 else value


def rows_of(table: pa.Table) -> list[tuple[Any, ...]]:
    """Rows in order, JSON text taken apart."""
    rows = []
    for row in table.to_pylist():
        found = [row["n"]]
        for kind in ColumnType:
            value = row[kind.value.lower()]
            found.append(json.loads(value) if kind is ColumnType.JSON and value is not None else value)
        rows.append(tuple(found))
    return rows


EXPECTED = [
    (row[0], *(at_rest(kind, value) for kind, value in zip(ColumnType, row[1:], strict=True))) for row in ROWS
]


@pytest.fixture
def filled(databases: Databases) -> Dataset:
    """A hot table with a nullable column of every type, and `ROWS` in it."""
    columns = (
        Column("n", ColumnType.INT64),
        *(Column(kind.value.lower(), kind, nullable=True) for kind in ColumnType),
    )
    dataset = Dataset("every", OutputSchema(Storage.POSTGRES, columns, ("n",), "n", ("n",)))
    dataset.provision(databases.data_dsn)
    with psycopg.connect(databases.data_dsn) as connection:
        copy_rows(connection, psycopg.sql.Identifier(*dataset.location.split(".")), dataset.columns, ROWS)
    return dataset


def test_postgres_holds_what_copy_wrote(filled: Dataset, databases: Databases) -> None:
    with psycopg.connect(databases.data_dsn, options="-c timezone=UTC") as connection:
        found = connection.execute(f"select * from {filled.location} order by n").fetchall()
    assert found == ROWS


def test_a_compacted_file_holds_it_in_the_declared_types(
    filled: Dataset, databases: Databases, tmp_path: Path
) -> None:
    schema = arrow_schema(filled.columns)
    file = ParquetFile(tmp_path / "every.parquet", schema, ["n"])
    with snapshot(databases.data_dsn) as source:
        for table in row_groups(source.batches(filled.input(0), ["n"], 0, 3), schema, 2):
            file.write(table)
    file.close()
    connection = duckdb.connect()
    connection.execute("set timezone = 'UTC'")
    relation = connection.read_parquet(str(file.path)).order("n")
    assert [str(kind) for kind in relation.types] == [
        FORMS[column.type].duckdb_at_rest for column in filled.columns
    ]
    assert rows_of(relation.to_arrow_table()) == EXPECTED
    marks = {field.name: field.metadata[TYPE_MARK.encode()].decode() for field in pq.read_schema(file.path)}
    assert marks == {column.name: column.type for column in filled.columns}


def test_a_hot_scan_gives_the_same_types_and_values_as_the_file(filled: Dataset, databases: Databases) -> None:
    table = hot_sql.GrantedTable(filled.location, {column.name: column.type for column in filled.columns}, "n", ())
    names = [column.name for column in filled.columns]
    with snapshot(databases.data_dsn) as source, source._connection.cursor() as cursor:
        cursor.execute(f"{hot_sql.statement(table, names, None)} order by n")
        found = cursor.fetch_arrow_table()
    assert found.schema.types == arrow_schema(filled.columns).types
    assert rows_of(found) == EXPECTED


@pytest.mark.parametrize("seed", seeds(2, 8))
def test_postgres_and_files_let_through_the_rows_of_a_where(
    databases: Databases, tmp_path: Path, seed: int
) -> None:
    """Random rows of every type, read from the hot table and from a file of it, by random conditions."""
    chance = random.Random(seed)
    rows = wheres.made_rows(chance, 300)
    columns = (
        Column("n", ColumnType.INT64),
        *(Column(name, kind, nullable=True) for name, kind in wheres.TYPES.items()),
    )
    dataset = Dataset("every", OutputSchema(Storage.POSTGRES, columns, ("n",), "n", ("n",)))
    dataset.provision(databases.data_dsn)
    whole = [[_written(column.type, row[column.name]) for column in columns] for row in rows]
    with psycopg.connect(databases.data_dsn) as connection:
        copy_rows(connection, psycopg.sql.Identifier(*dataset.location.split(".")), dataset.columns, whole)
    schema = arrow_schema(dataset.columns)
    file = ParquetFile(tmp_path / "every.parquet", schema, ["n"])
    with snapshot(databases.data_dsn) as source:
        for table in row_groups(source.batches(dataset.input(0), ["n"], 0, 300), schema, 40):
            file.write(table)
        file.close()
        for _ in range(40):
            given = wheres.made_where(chance)
            read = wheres.canonical(given)
            wanted = wheres.expected(rows, given)
            batches = source.batches(dataset.input(0, where=read), ["n"], 0, 300)
            assert [n for batch in batches for n in batch.column("n").to_pylist()] == wanted, given
            condition = where.arrow(read, wheres.TYPES)
            found = ds.dataset(file.path).to_table(filter=condition).column("n").to_pylist()
            assert sorted(found) == wanted, given


def _written(kind: ColumnType, value: Any) -> Any:
    return int(value) if kind is ColumnType.UINT256 and value is not None else value
