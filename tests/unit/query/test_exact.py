"""What a 256-bit integer is in a statement: exact, or refused with what to write instead."""

from __future__ import annotations

import re
from collections.abc import Iterator
from decimal import Decimal

import duckdb
import pytest

from traceplane.query.cell import plan
from traceplane.query.exact import checking, syntax, u256
from traceplane.query.gate import functions

TABLE = "CREATE TABLE t (k INTEGER, s VARCHAR, v BIGNUM, h HUGEINT, d DOUBLE, l BIGNUM[])"
NUMBERS = (5, 10, 9, 255, 255, 1000, 2, 100, 0, 3)


@pytest.fixture(scope="module")
def shadow() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection, planning=True)
    plan.limit_optimizers(connection)
    connection.execute(TABLE)
    return connection


@pytest.fixture(scope="module")
def main() -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(config={"threads": 1})
    u256.install(connection)
    connection.execute(TABLE)
    for place, number in enumerate(NUMBERS):
        row = [place, str(number), str(number), number, number / 2, [str(number)]]
        connection.execute("INSERT INTO t VALUES (?, ?, ?::VARCHAR::BIGNUM, ?, ?, ?::VARCHAR[]::BIGNUM[])", row)
    return connection


def checked(shadow: duckdb.DuckDBPyConnection, sql: str) -> plan.Plan:
    return plan.of(shadow, sql, {"t": 0}, {"BIGNUM"})


ROUNDED = [
    ("v * 1.5", "u256_mul"),
    ("v * d", "u256_mul"),
    ("v - d", "x::DOUBLE"),
    ("v / 3", "u256_div"),
    ("v % 1.5", "u256_mod"),
    ("v ** 2", "u256_pow"),
    ("pow(v, 2)", "u256_pow"),
    ("abs(v)", "greatest(x, -x)"),
    ("hex(v)", "u256_to_hex"),
    ("to_binary(v)", "u256_to_hex"),
    ("avg(v)", "x::DOUBLE"),
    ("avg(v) OVER ()", "x::DOUBLE"),
    ("median(v)", "quantile_disc"),
    ("list_median(l)", "quantile_disc"),
    ("quantile_cont(v, 0.5)", "quantile_disc"),
    ("approx_quantile(v, 0.5)", "x::DOUBLE"),
    ("stddev(v)", "x::DOUBLE"),
    ("fsum(v)", "sum(x)"),
    ("list_avg(l)", "x::DOUBLE"),
    ("list_transform(l, lambda x: x * 2)", "u256_mul"),
    ("list_transform(l, lambda x: x - 2)", "u256_sub"),
    ("sqrt(v)", "x::DOUBLE"),
    ("round(v)", "x::DOUBLE"),
    ("v > 1e18", "x::DOUBLE"),
    ("v = d", "x::DOUBLE"),
    ("v + 1e0", "x::DOUBLE"),
    ("greatest(v, d)", "x::DOUBLE"),
    ("coalesce(v, d)", "x::DOUBLE"),
    ("if(true, v, d)", "x::DOUBLE"),
    ("[v, d]", "x::DOUBLE"),
    ("CAST(v AS BIGNUM) / 2", "u256_div"),
    ("v::DOUBLE::BIGNUM / 2", "u256_div"),
    ("(SELECT max(v) FROM t) / 2", "u256_div"),
    ("v IN (SELECT d FROM t)", "x::DOUBLE"),
    ("v = 1.5", "cast that to BIGNUM"),
    ("v = '1.5'", "a text that is no whole number"),
    ("v = s", "cast that to BIGNUM"),
    ("[{'b': 1::BIGNUM, 'a': 1e0}, {'a': v, 'b': 1}][2].a", "list_value() makes DOUBLE of one"),
    ("[{'b': {'B': v, 'a': 1e0}}, {'b': {'A': v, 'b': 1::BIGNUM}}][2].b.a", "x::DOUBLE"),
    ("[{'a': v}, {'b': v}][1]", ""),
    ("coalesce({'h': unhex('ab'), 'v': v}, {'h': unhex('cd'), 'v': 1e0}).v", "x::DOUBLE"),
    ("coalesce({'h': 'a'::BLOB, 'v': v}, {'h': 'b'::BLOB, 'v': 1e0}).v", "x::DOUBLE"),
    ("v / 115792089237316195423570985008687907853269984665640564039457584007913129639935", "u256_div"),
]


@pytest.mark.parametrize(("expression", "remedy"), ROUNDED)
def test_what_would_be_rounded_is_refused_with_the_remedy(
    expression: str, remedy: str, shadow: duckdb.DuckDBPyConnection
) -> None:
    for sql in (f"SELECT {expression} FROM t", f"SELECT * FROM (SELECT {expression} AS x FROM t) WHERE x IS NULL"):
        with pytest.raises(checking.Inexact) as refused:
            checked(shadow, sql)
        assert remedy in str(refused.value)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM t JOIN (SELECT d FROM t) u ON t.v = u.d",
        "SELECT v FROM t UNION SELECT d FROM t",
        "SELECT k FROM t ORDER BY v / 2",
        "SELECT count(*) FROM t GROUP BY v / 2",
        "SELECT v AS x, x / 2 AS y FROM t",
        "SELECT k FROM t QUALIFY avg(v) OVER () > 1",
        "WITH RECURSIVE r AS (SELECT v FROM t UNION ALL SELECT v / 1 FROM r) FROM r",
        "SELECT 5::BIGNUM / 2",
        "SELECT u256_mul(1, 2) / 2",
        "PIVOT t ON k IN (1, 2) USING avg(v)",
        "SELECT k FROM t, LATERAL (SELECT t.v / 2 AS x)",
    ],
)
def test_rounding_is_found_anywhere_in_a_statement(sql: str, shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(checking.Inexact):
        checked(shadow, sql)


ASKED = [
    ("v::DOUBLE * 2", "DOUBLE", "510.0"),
    ("CAST(v AS DOUBLE) / 2", "DOUBLE", "127.5"),
    ("avg(v::FLOAT8)", "DOUBLE", "255.0"),
    ("avg(TRY_CAST(v AS DOUBLE)) OVER ()", "DOUBLE", "255.0"),
    ("list_transform(l, lambda x: x::DOUBLE)[1]", "DOUBLE", "255.0"),
    ("(l::DOUBLE[])[1]", "DOUBLE", "255.0"),
    ("d::BIGNUM", "BIGNUM", "127"),
    ("s::BIGNUM + 1", "BIGNUM", "256"),
    ("1e18::BIGNUM", "BIGNUM", str(10**18)),
    ("v::DECIMAL(38, 0)", "DECIMAL(38,0)", "255"),
    ("CAST(v + 1 AS DECIMAL(38, 2))", "DECIMAL(38,2)", "256.00"),
    ("cast ( [v][1] /* a */ as decimal(10, 0) )", "DECIMAL(10,0)", "255"),
    ("v::HUGEINT", "HUGEINT", "255"),
    ("(v::UHUGEINT)", "UHUGEINT", "255"),
    ("v::TINYINT::INTEGER IS NULL", "", ""),
    ("TRY_CAST(v AS TINYINT)", "TINYINT", None),
    ("v::FLOAT", "FLOAT", "255.0"),
    ("(l::HUGEINT[])[1]", "HUGEINT", "255"),
    ("list_transform(l, lambda x: x::DECIMAL(38, 0))[1]", "DECIMAL(38,0)", "255"),
    ("k::DECIMAL(38, 0)::BIGNUM", "BIGNUM", "3"),
    ("({'a': v, 'b': 1}::STRUCT(b DOUBLE, a DOUBLE)).a", "DOUBLE", "255.0"),
    ("[{'b': 1::BIGNUM, 'a': 1::BIGNUM}, {'A': v, 'b': 1}][2].a", "BIGNUM", "255"),
    ("[row(1, 1::BIGNUM), row(v, 1)][2][1]", "BIGNUM", "255"),
    ("(coalesce({'h': unhex('ab'), 'v': v}, NULL).v)::DOUBLE", "DOUBLE", "255.0"),
    ("v::VARCHAR || 'x'", "VARCHAR", "255x"),
]


@pytest.mark.parametrize(("expression", "kind", "value"), ASKED)
def test_a_cast_that_is_asked_for_is_made(
    expression: str,
    kind: str,
    value: str | None,
    shadow: duckdb.DuckDBPyConnection,
    main: duckdb.DuckDBPyConnection,
) -> None:
    sql = f"SELECT {expression} AS x FROM t WHERE k = 3"
    relation = main.sql(checked(shadow, sql).sql)
    if not kind:  # it does not fit, and DuckDB says so
        with pytest.raises(duckdb.ConversionException):
            relation.fetchall()
        return
    assert ([str(one) for one in relation.types], relation.project("x::VARCHAR").fetchall()) == ([kind], [(value,)])


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
    found = main.execute(checked(shadow, sql).sql).fetchall()
    wanted = main.execute(re.sub(r"\b[vV]\b", "h", sql)).fetchall()
    assert sorted(texts_of(found)) == sorted(texts_of(wanted))


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
    found = main.execute(checked(shadow, sql).sql).fetchall()
    wanted = main.execute(re.sub(r"\bv\b", "h", sql)).fetchall()
    assert texts_of(found) == texts_of(wanted)


def texts_of(rows: list[tuple[object, ...]]) -> list[list[str]]:
    return [[str(value) for value in row] for row in rows]


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
    ],
)
def test_functions_may_be_nested_by_hand(
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


def test_an_alias_of_a_cast_that_is_asked_for_stays_one(
    shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    sql = "SELECT v::DOUBLE AS x, x * 2, v::DECIMAL(38, 0) AS y, y * 2, (v * 2)::VARCHAR FROM t WHERE k = 3"
    assert main.execute(checked(shadow, sql).sql).fetchall() == [(255.0, 510.0, 255, 510, "510")]


def test_columns_keep_the_names_that_the_statement_gives_them(shadow: duckdb.DuckDBPyConnection) -> None:
    found = checked(shadow, "SELECT v::DECIMAL(38, 0), k FROM t")
    assert (found.sql, found.names) == (
        "SELECT v::VARCHAR::DECIMAL(38, 0), k FROM t",
        ["CAST(v AS DECIMAL(38, 0))", "k"],
    )
    assert checked(shadow, "SELECT v + 1 FROM t").names == ()


@pytest.mark.parametrize("digits", [2**256 - 1, 2**128, 10**38, -(2**200)])
def test_a_whole_number_of_any_length_is_read_exactly(
    digits: int, shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    found = checked(shadow, f"SELECT ({digits} + v)::VARCHAR, 'a {10**50} b' FROM t WHERE k = 3")
    assert main.execute(found.sql).fetchall() == [(str(digits + 255), f"a {10**50} b")]


@pytest.mark.parametrize(
    ("sql", "columns"),
    [
        ("DESCRIBE SELECT v * 2 AS x, 1e9 AS d FROM t", [("x", "BIGNUM"), ("d", "DOUBLE")]),
        ("DESCRIBE SELECT v - 1, v::DECIMAL(38, 0) FROM t", [("(v - 1)", "BIGNUM"), (None, "DECIMAL(38,0)")]),
        ("FROM (DESCRIBE SELECT v // 2 AS x FROM t GROUP BY x)", [("x", "BIGNUM")]),
        ("DESCRIBE (DESCRIBE SELECT v * 2 AS x FROM t)", None),
        ("DESCRIBE SELECT v, k FROM t", [("v", "BIGNUM"), ("k", "INTEGER")]),
        ("WITH c AS (SELECT v FROM t) FROM (DESCRIBE SELECT v * 2 AS x FROM c)", [("x", "BIGNUM")]),
        ("WITH c AS (FROM t), d AS (FROM (DESCRIBE SELECT v * 2 AS x FROM c)) FROM d", [("x", "BIGNUM")]),
        (
            "WITH c AS (FROM t) FROM (DESCRIBE WITH c AS (SELECT v * 1 AS v FROM t) SELECT v * 2 AS x FROM c)",
            [("x", "BIGNUM")],
        ),
        (
            "WITH RECURSIVE c AS (SELECT v FROM t UNION SELECT v - 1 FROM c WHERE v > 1)"
            " FROM (DESCRIBE SELECT v * 2 AS x FROM c)",
            [("x", "BIGNUM")],
        ),
    ],
)
def test_a_query_is_described_as_it_runs(
    sql: str,
    columns: list[tuple[str | None, str]] | None,
    shadow: duckdb.DuckDBPyConnection,
    main: duckdb.DuckDBPyConnection,
) -> None:
    found = [row[:2] for row in main.execute(checked(shadow, sql).sql).fetchall()]
    assert columns is None or [kind for _, kind in found] == [kind for _, kind in columns]
    assert all(name in (None, row[0]) for (name, _), row in zip(columns or (), found, strict=bool(columns)))
    assert not any("u256" in name for name, _ in found)


def test_what_would_be_rounded_is_not_described(shadow: duckdb.DuckDBPyConnection) -> None:
    for sql in (
        "DESCRIBE SELECT avg(v) FROM t",
        "desc/* of */SELECT avg(v) FROM t",
        "DESC (SELECT avg(v) FROM t)",
        "FROM (DESC FROM (SELECT avg(v) FROM t))",
        "FROM (DESCRIBE SELECT v / 2 FROM t)",
        "WITH c AS (FROM t) FROM (DESCRIBE SELECT avg(v) FROM c)",
    ):
        with pytest.raises(checking.Inexact):
            checked(shadow, sql)


def test_a_statement_without_256_bit_integers_runs_as_it_is(shadow: duckdb.DuckDBPyConnection) -> None:
    for sql in ("SELECT k * 2, avg(k) OVER (), s::DECIMAL(38, 0) FROM t", "SELECT h * 2 FROM t", "SELECT s FROM t"):
        assert checking.checked(shadow, sql) == (sql, sql, sql)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT k FROM t WHERE k > 5",
        "SELECT * FROM t ORDER BY v DESC LIMIT 3",
        "SELECT v, row_number() OVER (ORDER BY k DESC) FROM t ORDER BY v DESC NULLS LAST, k DESC",
        "SELECT v, count(*) FROM t GROUP BY v",
        "SELECT a.k FROM t a JOIN t b USING (v)",
        "SELECT CASE WHEN true THEN k ELSE v / 3 END FROM t",
        "SELECT k FROM t WHERE false AND v / 3 > 1",
    ],
)
def test_a_statement_that_computes_with_none_is_bound_once(
    sql: str,
    shadow: duckdb.DuckDBPyConnection,
    main: duckdb.DuckDBPyConnection,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(checking, "exact", lambda *_: pytest.fail("it was looked at more closely"))
    assert main.execute(checked(shadow, sql).sql).fetchall() == main.execute(sql).fetchall()


def test_what_cannot_be_checked_is_refused(shadow: duckdb.DuckDBPyConnection) -> None:
    connection = shadow.cursor()
    connection.execute("BEGIN")
    connection.execute(
        "CREATE OR REPLACE MACRO json_serialize_plan(s, skip_null := false, optimize := false) AS '[['"
    )
    with pytest.raises(checking.Inexact, match="cannot be checked"):
        checking.checked(connection, "SELECT v / 2 FROM t")
    connection.execute("ROLLBACK")


def test_a_wrong_statement_says_what_is_wrong(shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.BinderException, match="nothing"):
        checked(shadow, "SELECT nothing::DECIMAL(38, 0), v * 2 FROM t")


CALLS = (
    *("{f}(X)", "{f}(X, X)", "{f}(X, 2)", "{f}(2, X)", "{f}(s, X)", "{f}(X, 2, 3)", "{f}(X, 0.5)", "{f}(k, X)"),
    *("{f}([X])", "{f}([X, 2])", "{f}([X, 2], X)", "{f}([X], [X])", "{f}([X, 2], 'max')", "{f}(X ORDER BY X)"),
    *(
        "{f}({{'a': X}})",
        "{f}(MAP{{X: 1}}, X)",
        "(X) {f} (X)",
        "(X) {f} 2",
        "{f} (X)",
        "{f}([X, 2], lambda a: a > X)",
    ),
    *("{f}([X, 2], lambda a, b: a + b)", "{f}(X) OVER (ORDER BY k)", "{f}(X, 2) OVER (ORDER BY k)"),
)
OTHERWISE = {
    *("typeof", "pg_typeof", "hash", "struct_pack", "row", "uuid", "random", "reservoir_quantile", "approx_top_k"),
    *("approx_count_distinct", "list_approx_count_distinct", "gen_random_uuid", "uuidv4", "uuidv7"),
    *("entropy", "list_entropy"),
}
"""What depends on the type's name or its bytes, on names of columns, on chance, or on the order of additions."""


def calls(name: str) -> Iterator[str]:
    return (f"SELECT {form.format(f=name)} AS x FROM t" for form in CALLS)


@pytest.mark.parametrize("names", [sorted(functions.ALLOWED - OTHERWISE)[start::4] for start in range(4)])
def test_every_function_takes_a_256_bit_integer_as_it_takes_a_hugeint_or_not_at_all(
    names: list[str], shadow: duckdb.DuckDBPyConnection, main: duckdb.DuckDBPyConnection
) -> None:
    different, taken = [], 0
    for sql in (sql for name in names for sql in calls(name)):
        try:
            ours = checked(shadow, sql.replace("X", "v")).sql
            found = texts(main, ours)
        except (checking.Inexact, duckdb.Error):
            continue
        taken += 1
        try:
            wanted: list[str | None] | str = texts(main, sql.replace("X", "h"))
        except duckdb.Error as error:
            wanted = str(error)
        if found != wanted:
            different.append((sql, found, wanted))
    assert different == []
    assert taken > 50


def texts(main: duckdb.DuckDBPyConnection, sql: str) -> list[str | None]:
    (row,) = main.execute(f"SELECT list(replace(x::VARCHAR, '.0', '')) FROM ({sql})").fetchall()
    found: list[str | None] = row[0]
    return found
