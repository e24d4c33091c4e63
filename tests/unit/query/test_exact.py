"""What a 256-bit integer is in a statement: exact, or refused with what to write instead."""

from __future__ import annotations

from collections.abc import Iterator

import duckdb
import pytest

from tests.unit.query.exact import checked
from traceplane.query.exact import checking
from traceplane.query.gate import functions

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
