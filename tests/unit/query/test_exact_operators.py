"""Operators of 256-bit integers: exact wherever they stand, alone, grouped, ordered and nested."""

from __future__ import annotations

import re
from decimal import Decimal

import duckdb
import pytest

from tests.unit.query.exact import checked
from traceplane.query.exact import checking, syntax, u256

EXACT = [
    ("v - v", 0),
    ("v - 1 - k", 251),
    ("-v", -255),
    ("- -v", 255),
    ("+v", 255),
    ("+ +v * 2 - +k", 507),
    ("v.mod(7)", 3),
    ("v.multiply(2).subtract(k)", 507),
    ("main.mod(v, 7)", 3),
    ("v - -v", 510),
    ("v + 1 - 2 * v", -254),
    ("v * v * v", 255**3),
    ("v * k * 2 + 1", 1531),
    ("v // 7", 36),
    ("-v // 7", -36),
    ("v % 7", 3),
    ("mod(multiply(v, 3), 100)", 65),
    ("sum(v * 2) * 3 - sum(v)", 1275),
    ("max(v) - min(v) OVER ()", 0),
    ("CASE WHEN v - 1 > 2 THEN v * v END", 255**2),
    ("(SELECT max(v) FROM t) * 2", 2000),
    ("'5'::BIGNUM - 7", -2),
    (f"v - {2**256 - 1}", 255 - 2**256 + 1),
    (f"v * v + {-(2**256)}", 255**2 - 2**256),
    ("u256_sub(v, -1)", 256),
    ("u256_neg(0)", 0),
]


@pytest.mark.parametrize(("expression", "value"), EXACT)
def test_operators_of_whole_numbers_are_exact(
    expression: str, value: int, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    sql = f"SELECT ({expression})::VARCHAR FROM t WHERE k = 3"
    sql += " GROUP BY v" if "OVER" in expression else ""
    assert main.execute(checked(shadow, sql).sql).fetchall() == [(str(value),)]


GROUPED = [
    "SELECT v // 10 AS x, count(*) FROM t GROUP BY x",
    "SELECT v // 10 AS x, count(*) FROM t GROUP BY 1 ORDER BY 1",
    "SELECT v // 10, count(*) FROM t GROUP BY V // 10",
    "SELECT v // 10 + count(*) FROM t GROUP BY v // 10 HAVING v // 10 > 1 ORDER BY v // 10",
    "SELECT count(*) FROM t GROUP BY v // 10 HAVING v // 10 > 1",
    "SELECT v - 1 AS x, count(*) FROM t GROUP BY x HAVING x > 3",
    "SELECT v - 1 - 2 AS x, count(*) FROM t GROUP BY x",
    "SELECT v % 2 AS x, count(*) FROM t GROUP BY ROLLUP (x) ORDER BY x",
    "SELECT v % 2 AS x, grouping(v % 2), count(*) FROM t GROUP BY CUBE (v % 2)",
    "SELECT k FROM t WHERE v * 2 IN (SELECT v * 2 FROM t GROUP BY v * 2)",
    "SELECT t.v // 10, count(*) FROM t GROUP BY v // 10",
    "SELECT v // 10, count(*) FROM t GROUP BY t.V // 10 ORDER BY T.v // 10",
    "SELECT +v, count(*) FROM t GROUP BY +t.v",
    "SELECT v.mod(10), count(*) FROM t GROUP BY v.mod(10)",
    "SELECT a.v // 10, b.v * 0.5 FROM t a JOIN (SELECT k, d AS v FROM t) b USING (k) GROUP BY a.v // 10, b.v * 0.5",
    "SELECT a.v - 1, b.v - 1 FROM t a JOIN (SELECT k, d AS v FROM t) b USING (k) GROUP BY a.v - 1, b.v - 1",
    "SELECT t.v::BIGINT AS x, count(*) FROM t GROUP BY v::BIGINT",
    "SELECT v::BIGINT AS x, count(*) FROM t GROUP BY v::BIGINT",
    "SELECT v::BIGINT AS x, count(*) FROM t GROUP BY x HAVING x > 1",
    "SELECT v::HUGEINT + 1, count(*) FROM t GROUP BY v::HUGEINT HAVING v::HUGEINT > 1",
    "SELECT CAST(v AS HUGEINT), (v - 1)::HUGEINT, count(*) FROM t GROUP BY ALL",
]


@pytest.mark.parametrize("sql", GROUPED)
def test_what_a_statement_groups_by_is_exact_however_it_is_written(
    sql: str, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    found, wanted = beside_hugeint(sql, shadow, main)
    assert sorted(found) == sorted(wanted)


ORDERED = [
    "SELECT v - 1 FROM t UNION SELECT v - 1 FROM t ORDER BY v - 1",
    "SELECT v - 1 FROM t UNION SELECT k - 1 FROM t ORDER BY v - 1 DESC LIMIT 2",
    "SELECT v - 1 FROM t UNION SELECT k - 1 FROM t ORDER BY k - 1",
    "SELECT v::HUGEINT FROM t UNION SELECT k::HUGEINT FROM t ORDER BY t.v::HUGEINT",
    "SELECT d::HUGEINT FROM t UNION SELECT v::HUGEINT FROM t ORDER BY v::HUGEINT DESC",
    "SELECT v * 2 FROM t UNION ALL SELECT k * 2 FROM t EXCEPT SELECT v * 2 FROM t WHERE k > 5 ORDER BY t.v * 2",
]


@pytest.mark.parametrize("sql", ORDERED)
def test_a_union_is_ordered_by_what_an_arm_selects(
    sql: str, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    found, wanted = beside_hugeint(sql, shadow, main)
    assert found == wanted


def beside_hugeint(
    sql: str, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> list[list[list[str]]]:
    """The rows of a statement as it is checked, and of the same over HUGEINT by plain DuckDB, as texts."""
    statements = (checked(shadow, sql).sql, re.sub(r"\b[vV]\b", "h", sql))
    return [[[str(value) for value in row] for row in main.execute(one).fetchall()] for one in statements]


def test_an_equal_operator_of_another_query_stays_as_it_is(
    shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    sql = "SELECT v * 2 AS x, (SELECT max(v * 2) FROM (SELECT 1.5 AS v)) FROM t WHERE k = 3 GROUP BY x"
    assert main.execute(checked(shadow, sql).sql).fetchall() == [("510", Decimal("3.0"))]


@pytest.mark.parametrize("number", ["1e9", "1e0", "1.5e3", "1e22", "1.7976931348623157e308", "-1e-7", "0.1e0"])
def test_a_double_beside_an_exact_operator_keeps_its_value(
    number: str, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    found = checked(
        shadow, f"SELECT sum(k * v)::DOUBLE / 1e9, {number}, k * {number} FROM t WHERE k = 3 GROUP BY k"
    )
    assert main.execute(found.sql).fetchall() == [(765 / 1e9, float(number), 3 * float(number))]
    inner = f'SELECT "(v - 1)" FROM (SELECT v - 1, {number} FROM t WHERE k = 3)'
    assert main.execute(checked(shadow, inner).sql).fetchall() == [("254",)]


def test_columns_of_a_pattern_keep_their_names(
    shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    sql = "SELECT x.k, v FROM (SELECT COLUMNS('^[kv]$') % 7, v - 1 FROM t WHERE k = 3) x"
    assert main.execute(checked(shadow, sql).sql).fetchall() == [("3", "3")]


def test_a_product_of_many_factors_stays_small(
    shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    for product, value in (
        (" * ".join(["v", *["2"] * 12]), 255 * 2**12),
        ("v // 1 % 251 * v" + " * 1" * 9, 4 * 255),
    ):
        sql = checked(shadow, f"SELECT ({product})::VARCHAR FROM t WHERE k = 3").sql
        assert len(checking._bound(shadow, sql)) < 200
        assert main.execute(sql).fetchall() == [(str(value),)]


@pytest.mark.parametrize(
    ("call", "levels", "value"),
    [
        ("u256_mul({}, 2)", 24, 255 * 2**24),
        ("u256_mod(u256_div({}, 1), 100000)", 12, 255),
        ("int256(u256_pow({}, 1))", 12, 255),
        ("u256_from_hex(u256_to_hex({}, 8))", 12, 255),
        ("u256_mod(u256_mul(v, u256_div({}, v)), 1000)", 12, 255),
        ("u256_mul({} + 1, 1)", 12, 255 + 12),
        ("u256_mul({} * 1, 1)", 12, 255),
        ("u256_div({} - 1, 1)", 12, 255 - 12),
        ("u256_mul(CASE WHEN k > 0 THEN {} END, 1)", 12, 255),
        ("u256_mul(coalesce(({})::BIGNUM, 1), 1)", 12, 255),
        ("u256_mul((SELECT {}), 1)", 12, 255),
    ],
)
def test_functions_may_be_nested_by_hand_with_whatever_is_between(
    call: str, levels: int, value: int, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    nested = "v"
    for _ in range(levels):
        nested = call.format(nested)
    found = checked(shadow, f"SELECT {nested}::VARCHAR, {nested.replace('(v', '(3')} AS c FROM t WHERE k = 3")
    assert len(checking._bound(shadow, found.sql)) < 1500
    assert main.execute(found.sql).fetchall()[0][0] == str(value)


def test_a_function_over_a_column_passes_it_twice_still(shadow: duckdb.DuckDBPyConnection) -> None:
    """What it is called with once may be the values of a file's dictionary, also of rows that are left out."""
    found = checked(shadow, "SELECT u256_mul(u256_div(v, k), 2) AS x, u256_mul(v, 2) AS y FROM t")
    assert found.sql == "SELECT __u256_mul_once(u256_div(v, k), 2) AS x, u256_mul(v, 2) AS y FROM t"
    for constant in (
        "u256_pow(10, 18)",
        "(SELECT u256_mul(max(v), 2) FROM t)",
        "u256_mul((SELECT max(v) FROM t), 2)",
    ):
        assert "u256_mul(v, " in checked(shadow, f"SELECT u256_mul(v, {constant}) AS x FROM t").sql


def test_a_difference_is_exact_while_threads_read_its_operands(shadow: duckdb.DuckDBPyConnection) -> None:
    """DuckDB negates one where it lies: of a million differences with a row of a join, thousands were wrong."""
    most, rows = 2**256 - 1, 300_000
    database = duckdb.connect(config={"threads": 4})
    u256.install(database)
    database.execute(f"CREATE TABLE l AS SELECT i, (i || repeat('0', 40))::BIGNUM AS v FROM range({rows}) r(i)")
    database.execute(f"CREATE TABLE t AS SELECT '{most}'::BIGNUM AS v")
    sql = checked(shadow, "SELECT (l.v - t.v)::VARCHAR FROM (SELECT v FROM t) l, t").sql
    found = database.execute(sql.replace("(SELECT v FROM t)", "l", 1)).fetchall()
    assert sorted(int(value) for (value,) in found) == [i * 10**40 - most for i in range(rows)]


def test_a_text_that_is_read_as_another_tree_does_not_count(
    shadow: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    unplaced = syntax.unplaced
    seen: list[dict[str, object]] = []
    monkeypatch.setattr(syntax, "unplaced", lambda tree: seen.append(tree) or {**unplaced(tree), "n": len(seen)})
    with pytest.raises(checking.Inexact, match="u256_sub"):
        checked(shadow, "SELECT v - 1 FROM t")


@pytest.mark.parametrize("digits", [2**256 - 1, 2**128, 10**38, -(2**200)])
def test_a_whole_number_of_any_length_is_read_exactly(
    digits: int, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    found = checked(shadow, f"SELECT ({digits} + v)::VARCHAR, 'a {10**50} b' FROM t WHERE k = 3")
    assert main.execute(found.sql).fetchall() == [(str(digits + 255), f"a {10**50} b")]
