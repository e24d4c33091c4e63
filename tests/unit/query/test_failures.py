"""Which of DuckDB's texts quote rows, and what is told in their place."""

from __future__ import annotations

import pytest

from tests.unit.query.answers import failed as failed_in_cell
from traceplane.query import wire
from traceplane.query.broker import failures
from traceplane.web import problems

ROWS = "(SELECT 'canary@example.org' AS email WHERE random() < 2) people"
"""One row that no planner computes ahead."""


@pytest.mark.parametrize(
    "value",
    [
        "CAST(email AS INTEGER)",
        "email::DATE",
        "email::JSON",
        "error(email)",
        "date_trunc(email, now())",
        "now() AT TIME ZONE email",
        "strptime(email, '%Y')",
        "regexp_matches('a', '(' || email)",
        "'{}'::JSON -> ('$.[' || email)",
    ],
)
def test_a_text_that_quotes_a_row_is_told_to_its_readers_only(value: str) -> None:
    error = failures.failed(failed_in_cell(f"SELECT {value} AS x FROM {ROWS}", "json"))
    assert "canary" in failures.without_statement(error.message), "or this test tells nothing"
    told = failures.without_rows(error)
    assert "canary" not in told.message
    assert "Exception" in told.message
    assert "user who may read the rows" in told.message
    assert (told.code, problems.status_of(told)) == (error.code, problems.status_of(error)) == ("QueryFailed", 422)


@pytest.mark.parametrize(
    ("sql", "said"),
    [
        (f"SELECT nothing FROM {ROWS}", 'Referenced column "nothing" not found'),
        ("SELECT nothing(1)", "Scalar Function with name nothing does not exist"),
    ],
)
def test_a_text_about_the_statement_is_told_to_everybody(sql: str, said: str) -> None:
    error = failures.failed(failed_in_cell(sql, "json"))
    assert (failures.without_rows(error), error.code) == (error, "InvalidQuery")
    assert said in failures.without_statement(error.message)


def test_a_column_that_a_form_cannot_hold_is_told_to_everybody() -> None:
    error = failures.failed(failed_in_cell("SELECT union_value(a := 1) AS u", "parquet"))
    assert 'column "u"' in failures.without_rows(error).message


def test_a_kind_that_nobody_foresaw_is_taken_to_quote_a_row() -> None:
    error = failures.failed(wire.Failed("NewException", "canary"))
    assert error.message == "canary"
    assert "canary" not in failures.without_rows(error).message


def test_a_message_ends_where_it_quotes_the_statement() -> None:
    error = failures.failed(failed_in_cell(f"SELECT CAST(email AS INTEGER), 'canary of mine' FROM {ROWS}", "json"))
    assert "canary of mine" in error.message
    assert "canary of mine" not in failures.without_statement(error.message)
