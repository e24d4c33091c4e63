"""The table of column types: every type has its whole row, and every tier knows what the row says."""

from __future__ import annotations

import re
import subprocess
import sys

import duckdb
import pyarrow as pa
import pytest

from traceplane.kinds.asset import AssetColumn
from traceplane.query.cell import views
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.parquet import arrow_type

EVERY = pytest.mark.parametrize("kind", ColumnType)


def test_every_type_has_a_row() -> None:
    assert set(FORMS) == set(ColumnType)


@EVERY
def test_the_cell_gives_duckdb_the_arrow_type_that_files_and_hot_rows_have(kind: ColumnType) -> None:
    assert views.ARROW_TYPES[FORMS[kind].duckdb] == arrow_type(kind)


@EVERY
def test_duckdb_reads_the_arrow_type_as_the_type_that_rests_in_files(kind: ColumnType) -> None:
    values = pa.table({"value": pa.nulls(1, arrow_type(kind))})
    answer = duckdb.connect().from_arrow(values)
    assert [str(one) for one in answer.types] == [FORMS[kind].duckdb_at_rest]


def test_only_a_256_bit_integer_is_another_type_in_sql_than_in_files() -> None:
    assert {kind for kind, form in FORMS.items() if form.duckdb != form.duckdb_at_rest} == {"UInt256"}


@pytest.mark.parametrize("number", [0, 1, 9, 10, 2**255, 10**77, 2**256 - 10**60, 2**256 - 2, 2**256 - 1])
def test_digits_of_256_bits_are_in_form(number: int) -> None:
    (form, _) = FORMS[ColumnType.UINT256].text or ("", "")
    assert re.search(form, str(number))


@pytest.mark.parametrize(
    "text", [str(2**256), str(2**256 + 10**50), str(2 * 10**77), str(10**78), "01", "-1", "", "1.5"]
)
def test_digits_beyond_256_bits_are_out_of_form(text: str) -> None:
    (form, _) = FORMS[ColumnType.UINT256].text or ("", "")
    assert not re.search(form, text)


@EVERY
def test_a_manifest_may_name_the_type(kind: ColumnType) -> None:
    assert AssetColumn.model_validate({"name": "c", "type": kind.value}).type is kind


def test_only_whole_numbers_may_bound_ranges() -> None:
    assert {kind for kind, form in FORMS.items() if form.bounds} == {"Int32", "Int64"}
    assert all(pa.types.is_integer(arrow_type(kind)) for kind, form in FORMS.items() if form.bounds)


def test_only_text_has_a_form_of_text() -> None:
    strict = {kind: form.text for kind, form in FORMS.items() if form.text is not None}
    assert set(strict) == {"UInt256", "Hex"}
    assert all(FORMS[kind].duckdb_at_rest == "VARCHAR" and re.compile(text[0]) for kind, text in strict.items())


def test_the_table_loads_without_any_driver() -> None:
    heavy = "{'psycopg', 'pyarrow', 'duckdb', 'boto3', 'httpx', 'pydantic', 'msgspec', 'traceplane'}"
    script = f"import sys, traceplane_sdk.columns; sys.exit(', '.join({heavy} & set(sys.modules)))"
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr.strip() == ""
