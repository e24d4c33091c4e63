"""Every form of an answer gives random values of every type, at any depth, back to a reader that is not ours."""

from __future__ import annotations

import io
import json
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from tests.unit.query.answers import served
from tests.unit.query.typed import KINDS, Kind, alike
from traceplane.query import wire

COLUMN = KINDS.flatmap(
    lambda kind: st.tuples(st.just(kind), st.lists(st.none() | kind.values, min_size=2, max_size=2))
)


def answered(columns: list[tuple[Kind, list[Any]]], form: str) -> bytes:
    rows = (
        ", ".join(f"{kind.written(values[row])} AS c{place}" for place, (kind, values) in enumerate(columns))
        for row in range(2)
    )
    sql = " UNION ALL ".join(f"SELECT {row} AS n, {text}" for row, text in enumerate(rows))
    result, body = served(f"SELECT * EXCLUDE n FROM ({sql}) ORDER BY n", form, max_bytes=10**6)
    assert isinstance(result, wire.Result), (result, sql)
    return body


def by_json(body: bytes, columns: list[tuple[Kind, list[Any]]], _: Path) -> list[list[Any]]:
    rows = json.loads(b"[" + body + b"]")
    return [[kind.of_json(row[place]) for row in rows] for place, (kind, _) in enumerate(columns)]


def by_csv(body: bytes, columns: list[tuple[Kind, list[Any]]], folder: Path) -> list[list[Any]]:
    """DuckDB finds the fields, and which are NULL."""
    (folder / "rows.csv").write_bytes(body)
    names = ", ".join(f"'c{place}': 'VARCHAR'" for place in range(len(columns)))
    rows = duckdb.sql(
        f"SELECT * FROM read_csv('{folder}/rows.csv', header = true, auto_detect = false, quote = '\"',"
        f" escape = '\"', new_line = '\\r\\n', allow_quoted_nulls = false, columns = {{{names}}})"
    ).fetchall()
    return [[kind.of_csv(row[place]) for row in rows] for place, (kind, _) in enumerate(columns)]


def by_arrow(body: bytes, columns: list[tuple[Kind, list[Any]]], _: Path) -> list[list[Any]]:
    return _by_columns(pa.ipc.open_stream(body).read_all(), columns)


def by_parquet(body: bytes, columns: list[tuple[Kind, list[Any]]], _: Path) -> list[list[Any]]:
    return _by_columns(pq.read_table(io.BytesIO(body)), columns)


def _by_columns(table: pa.Table, columns: list[tuple[Kind, list[Any]]]) -> list[list[Any]]:
    found = [table.column(place).to_pylist() for place in range(len(columns))]
    return [[kind.of_arrow(value) for value in values] for values, (kind, _) in zip(found, columns, strict=True)]


@pytest.mark.parametrize(
    ("form", "read"), [("json", by_json), ("csv", by_csv), ("arrow", by_arrow), ("parquet", by_parquet)]
)
@settings(
    max_examples=25,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)
@given(columns=st.lists(COLUMN, min_size=2, max_size=4))
def test_values_of_every_type_are_read_back(
    form: str, read: Any, tmp_path: Path, columns: list[tuple[Kind, list[Any]]]
) -> None:
    found = read(answered(columns, form), columns, tmp_path)
    for values, (kind, expected) in zip(found, columns, strict=True):
        assert alike(values, expected), (kind.sql, values, expected)
