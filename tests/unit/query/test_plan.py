"""What a cell learns from a plan: the filters of scans as trees, and whether a join may filter while it runs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import duckdb
import pytest

from tests.unit.query.oracle import GRANTED, world
from traceplane.query.cell import plan
from traceplane.query.exact import bound
from traceplane.query.gate import allowlist

TABLES = {name.rpartition(".")[2]: number for number, name in enumerate(GRANTED)}


@pytest.fixture
def shadow() -> duckdb.DuckDBPyConnection:
    connection = world(planning=True)
    connection.execute("SET TimeZone = 'UTC'")
    bound.limit_optimizers(connection)
    return connection


def field(name: str) -> list[Any]:
    return ["field", name]


def n(operator: str, value: int) -> list[Any]:
    return [operator, field("n"), ["scalar", value]]


def v(operator: str, value: int) -> list[Any]:
    return [operator, field("value"), ["whole", str(value)]]


@pytest.mark.parametrize(
    ("condition", "tree"),
    [
        ("n = 5", n("=", 5)),
        ("5 < n", n(">", 5)),
        ("n BETWEEN 5 AND 9", ["and", n(">=", 5), n("<=", 9)]),
        ("n IN (1, 5, 9)", ["in", field("n"), [["scalar", 1], ["scalar", 5], ["scalar", 9]]]),
        ("n IN (1, NULL)", None),
        ("hash IS NULL", ["null", field("hash"), None]),
        ("hash IS NOT NULL", ["valid", field("hash"), None]),
        ("big", ["=", field("big"), ["scalar", True]]),
        ("NOT big", None),
        ("hash = 'it''s'", ["=", field("hash"), ["scalar", "it's"]]),
        ("hash = 'a' OR n = 1", None),
        ("hash = 'a' OR hash IS DISTINCT FROM 'b'", None),
        ("n = 1 OR n > 3 AND n < 5", ["or", n("=", 1), ["and", n(">", 3), n("<", 5)]]),
        ("n % 2 = 0 AND n > 4", n(">", 4)),
        ("at_time = '2026-01-02 03:04:05.000006Z'", ["=", field("at_time"),
         ["instant", "2026-01-02T03:04:05.000006+00:00"]]),
        ("at_time < 'infinity'", None),
        ("value > 1000", v(">", 1000)),
        ("1_000 <= value", v(">=", 1000)),
        ("value = '0'", v("=", 0)),
        *((f"value > {number}", v(">", number)) for number in (2**63, 2**64 - 1, 10**20, 2**127 - 1, -(10**20))),
        ("value = -5", v("=", -5)),
        ("NOT value > 5 AND value <> 7", ["and", v("<=", 5), v("!=", 7)]),
        ("value BETWEEN 1 AND 5 + 4", ["and", v(">=", 1), v("<=", 9)]),
        ("value IN (1, '2', 3)", ["in", field("value"), [["whole", "1"], ["whole", "2"], ["whole", "3"]]]),
        ("value = 1 OR value >= 3", ["or", v("=", 1), v(">=", 3)]),
        (f"value < {2**256 - 1}", v("<", 2**256 - 1)),
        (f"value < {2**128} AND n = 5", ["and", n("=", 5), v("<", 2**128)]),
        ("value > wei('1.5 ether')", v(">", 15 * 10**17)),
        ("value > u256_mul(u256_pow(2, 200), 3)", v(">", 3 * 2**200)),
        ("value > u256_pow(2, 256) AND n = 5", n("=", 5)),
        ("value > 1e18::BIGNUM", v(">", 10**18)),
        ("value > CAST(1e18 AS BIGNUM) AND n = 5", ["and", n("=", 5), v(">", 10**18)]),
        ("value > 2.5e0::BIGNUM AND n = 5", n("=", 5)),
        ("value > (1.5 * 1e18)::BIGNUM", v(">", 15 * 10**17)),
        ("value > CAST(5 * 1e18 AS BIGNUM) AND n = 5", n("=", 5)),
        ("value > 1e18::HUGEINT AND n = 5", ["and", n("=", 5), v(">", 10**18)]),
        ("value > 1e18::DECIMAL(38, 0)::BIGNUM AND n = 5", n("=", 5)),
        ("value > CAST(5::BIGNUM AS HUGEINT) AND n = 5", n("=", 5)),
        ("(SELECT max(1e18::BIGNUM)) > 5 AND n = 5", n("=", 5)),
        ("n > 1e3::INTEGER", n(">", 1000)),
        ("value > len('x') AND n = 5", ["and", n("=", 5), v(">", 1)]),
        ("value > 5::INTEGER", v(">", 5)),
        ("value > abs(-5)", v(">", 5)),
        ("value BETWEEN len('xx') AND len('x') + 9 * 9", ["and", v(">=", 2), v("<=", 82)]),
        ("value IN (len('xx'), 5::SMALLINT, 7)",
         ["in", field("value"), [["whole", "2"], ["whole", "5"], ["whole", "7"]]]),
        ("value > len('x') AND value < 1e18::BIGNUM", ["and", v(">", 1), v("<", 10**18)]),
        ("value > -99999999999999999999999999999999999999::HUGEINT + len('x')", v(">", 2 - 10**38)),
        ("value > len(hash) AND n = 5", n("=", 5)),
        ("value > (5::DECIMAL(38, 2))::HUGEINT", v(">", 5)),
        ("value > NULL::INTEGER AND n = 5", None),
        ("+value > 5", v(">", 5)),
        ("value = u256_to_hex(5)::BIGNUM AND n = 5", n("=", 5)),
        ("value = n", None),
        ("value = TRY_CAST('n5' AS BIGNUM)", None),
        ("value + 1 > 5 AND n = 5", n("=", 5)),
        ("value - 1 > 5 AND n = 5", n("=", 5)),
        ("value::DOUBLE > 1e3", None),
        ("n = (SELECT 5)", None),
        ("true", None),
    ],
)  # fmt: skip
def test_a_filter_is_a_tree_or_lets_every_row_through(
    condition: str, tree: Any, shadow: duckdb.DuckDBPyConnection
) -> None:
    assert plan.of(shadow, f"FROM blocks WHERE {condition}", TABLES, {"BIGNUM"}).filter_of(TABLES["blocks"]) == tree


def test_a_relation_needs_what_any_of_its_scans_needs(shadow: duckdb.DuckDBPyConnection) -> None:
    both = plan.of(shadow, "(FROM blocks WHERE n = 2) UNION ALL (FROM blocks WHERE n = 1)", TABLES)
    assert both.filter_of(TABLES["blocks"]) == ["or", n("=", 1), n("=", 2)]
    assert both.filter_of(TABLES["transfers"]) is None
    one = plan.of(shadow, "SELECT * FROM (FROM blocks WHERE n = 1), (FROM blocks)", TABLES)
    assert one.filter_of(TABLES["blocks"]) is None


@pytest.mark.parametrize(
    ("sql", "joins"),
    [
        ("FROM blocks WHERE n > 5 ORDER BY n LIMIT 3", False),
        ("FROM blocks WHERE n = (SELECT max(n) FROM blocks)", False),
        ("FROM blocks WHERE n > (SELECT max(n) - 100 FROM blocks WHERE big)", False),
        ("FROM blocks WHERE n = (SELECT n FROM blocks)", False),
        ("FROM blocks JOIN (SELECT max(n) AS n FROM blocks GROUP BY ()) USING (n)", False),
        ("FROM blocks JOIN (SELECT max(n) AS n FROM blocks GROUP BY GROUPING SETS ((), ())) USING (n)", True),
        ("FROM blocks JOIN (SELECT max(n) AS n FROM blocks GROUP BY miner) USING (n)", True),
        ("FROM blocks WHERE n IN (SELECT n FROM transfers)", True),
        ("FROM blocks b WHERE EXISTS (FROM transfers t WHERE t.n = b.n)", True),
        ("FROM blocks b WHERE n = (SELECT max(n) FROM transfers t WHERE t.sender = b.hash)", True),
        ("FROM blocks ASOF JOIN transfers ON blocks.n >= transfers.n", True),
        ("FROM blocks a, blocks b WHERE a.n = b.n AND a.n = (SELECT max(n) FROM blocks)", True),
    ],
)
def test_only_a_join_with_one_row_is_sure_to_filter_by_one_value(
    sql: str, joins: bool, shadow: duckdb.DuckDBPyConnection
) -> None:
    assert plan.of(shadow, sql, TABLES).joins == joins


def test_every_honest_statement_has_a_plan(
    shadow: duckdb.DuckDBPyConnection, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one its answer would be right, and every file and row would be read for it."""
    unplanned = []
    for sql in Path(__file__).with_name("honest.sql").read_text().splitlines():
        found = plan.Plan(sql)
        try:
            found = plan.of(shadow, sql, TABLES, {"BIGNUM"})
        except duckdb.Error:
            continue  # one of the gate's that no table has the columns of
        if not found.scans and found.joins and any(name.read for name in allowlist.check(sql).relations):
            unplanned.append(sql)
    assert unplanned == []


def test_a_wrong_statement_is_an_error_before_a_file_is_read(shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.BinderException):
        plan.of(shadow, "SELECT nothing FROM blocks", TABLES)


@pytest.mark.parametrize("written", ["", "[", '{"error": true}', "[" * 100_000])
def test_a_plan_that_cannot_be_read_lets_every_row_through(written: str, shadow: duckdb.DuckDBPyConnection) -> None:
    shadow.execute("CREATE OR REPLACE MACRO json_serialize_plan(s, skip_null := false, optimize := false) AS"
                   f" '{written}'")  # fmt: skip
    found = plan.of(shadow, "FROM blocks WHERE n = 1", TABLES)
    assert found.joins
    assert found.filter_of(TABLES["blocks"]) is None


def test_many_parts_make_a_flat_tree() -> None:
    tree = plan.joined("or", [n("=", value) for value in range(1000)])
    depth = 0
    while tree is not None and tree[0] == "or":
        tree, depth = tree[1], depth + 1
    assert depth == 10


def test_what_is_wrong_is_quoted_with_its_line_in_the_statement(shadow: duckdb.DuckDBPyConnection) -> None:
    with pytest.raises(duckdb.BinderException, match=r"\n\nLINE 2:  nothing FROM"):
        plan.of(shadow, "SELECT 1,\n nothing FROM range(3)", {})
