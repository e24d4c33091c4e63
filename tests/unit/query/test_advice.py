"""What a refusal says to use instead is itself let through, and does what it is said to do."""

from __future__ import annotations

import duckdb
import pytest

from traceplane.query.gate import advice, allowlist, functions
from traceplane.query.gate.statement import Refusal


def refused(sql: str) -> str:
    with pytest.raises(Refusal) as caught:
        allowlist.check(sql)
    return str(caught.value)


@pytest.mark.parametrize("name", advice.FUNCTIONS)
def test_a_refused_function_names_one_that_passes(name: str) -> None:
    instead = advice.FUNCTIONS[name]
    assert name not in functions.ALLOWED
    assert refused(f"SELECT {name}(x)") == f"function {name!r} may not be used; use {instead}"
    allowlist.check(f"SELECT {instead} FROM t")


@pytest.mark.parametrize("name", advice.TYPES)
def test_a_refused_type_names_one_that_passes(name: str) -> None:
    message = refused(f"SELECT 1::{name}")
    assert message.startswith(f"there is no type {name!r}; ")
    assert advice.TYPES[name] in message
    allowlist.check(f"SELECT 1::{advice.TYPES[name]}")


@pytest.mark.parametrize(
    ("sql", "part"),
    [
        ("SHOW DATABASES", "information_schema.tables"),
        ("FROM (SHOW TABLES)", "information_schema.tables"),
        ("FROM information_schema.views", "information_schema.tables"),
        ("FROM duckdb_columns()", "information_schema.tables"),
        ("SELECT current_schemas(true)", "information_schema.tables"),
        ("SET TimeZone = 'Europe/Berlin'", "AT TIME ZONE"),
        ("SET search_path = 'x'", "namespace"),
        ("SET SESSION statement_timeout = 5", "timeout_seconds"),
        ("SET threads = 9", "the service fixes the settings"),
        ("COPY blocks TO 'x.csv'", "-o parquet|csv"),
        ("CREATE TABLE x AS FROM blocks", "WITH x AS"),
        ("ATTACH 'x.db'", "a DuckDB of your own"),
        ("FROM read_csv('x.csv')", "a DuckDB of your own"),
    ],
)
def test_a_refused_statement_says_where_its_purpose_is_served(sql: str, part: str) -> None:
    assert part in refused(sql)


@pytest.mark.parametrize(
    "sql",
    [
        "PIVOT t ON c USING count(*)",
        "SELECT * FROM (PIVOT t ON c USING count(*))",
        "WITH p AS (PIVOT (FROM t) ON c, d USING count(*) GROUP BY e) FROM p",
    ],
)
def test_a_pivot_without_values_is_refused_with_the_form_that_works(sql: str) -> None:
    assert refused(sql) == advice.PIVOT
    working = "PIVOT t ON c IN ('x', 'y') USING count(*)"
    assert working in advice.PIVOT
    allowlist.check(working)
    connection = duckdb.connect()
    connection.execute("CREATE TABLE t AS SELECT unnest(['x', 'x', 'y']) AS c")
    assert connection.execute(working).fetchall() == [(2, 1)]


def test_two_statements_are_no_pivot() -> None:
    assert refused("CREATE TYPE e AS ENUM ('x'); SELECT 1") == "one SELECT is wanted, not 2 statements"
    assert refused("SELECT nextval('x')") == "function 'nextval' may not be used"
