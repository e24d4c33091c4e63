"""From a cell's scan to SQL for Postgres: nothing but the relation's columns, typed literals, and the seam."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from traceplane.query.relations import hot_sql

LOCATION = "hot.d_" + "0" * 31 + "1"
COLUMNS = {"n": "Int64", "h": "Hex", "v": "UInt256", "t": "Timestamp", "b": "Bool", "f": "Float64", "j": "Json"}


def table(relocated: Any = ()) -> hot_sql.GrantedTable:
    return hot_sql.GrantedTable(LOCATION, COLUMNS, "n", relocated)


def where(tree: Any, relocated: Any = ()) -> str:
    return hot_sql.statement(table(relocated), ["n"], tree).partition(" WHERE ")[2]


def compare(operator: str, column: str, value: Any, tag: str = "scalar") -> list[Any]:
    return [operator, ["field", column], [tag, value]]


def test_wide_numbers_and_json_are_read_as_text() -> None:
    assert hot_sql.statement(table(), ["n", "v", "j"], None) == (
        f'SELECT "n", "v"::text AS "v", "j"::text AS "j" FROM {LOCATION}'
    )


@pytest.mark.parametrize(
    ("tree", "expected"),
    [
        (None, ""),
        (compare(">=", "n", 5), '"n" >= 5'),
        (compare("=", "n", -(2**63)), f'"n" = {-(2**63)}'),
        (compare("=", "n", 2**63), ""),
        (compare("=", "n", True), ""),
        (compare("=", "n", "5; DROP TABLE x"), ""),
        (compare("=", "h", "it's"), "\"h\" = 'it''s'"),
        (compare("<", "h", "0xab"), '"h" < \'0xab\' COLLATE "C"'),
        (compare("=", "h", "a\\b"), ""),
        (compare("=", "h", "a\0b"), ""),
        (compare("=", "v", "5"), ""),
        (compare("=", "v", 5), ""),
        (compare(">", "v", str(2**256 - 1), "whole"), f'"v" > {2**256 - 1}'),
        (compare("<=", "v", "-5", "whole"), '"v" <= -5'),
        (compare("=", "v", "5; DROP TABLE x", "whole"), ""),
        (compare("=", "v", "9" * 101, "whole"), ""),
        (compare("=", "n", "5", "whole"), ""),
        (["in", ["field", "v"], [["whole", "1"], ["whole", "2"]]], '"v" IN (1, 2)'),
        (compare("=", "f", 1), ""),
        (compare("=", "b", True), '"b" = true'),
        (compare("<", "b", True), ""),
        (
            compare("=", "t", "2026-01-01T00:00:00+00:00", "instant"),
            "\"t\" = '2026-01-01T00:00:00+00:00'::timestamptz",
        ),
        (compare("=", "t", "2026-01-01T00:00:00", "instant"), ""),
        (compare("=", "t", "now()'", "instant"), ""),
        (compare("like", "h", "x"), ""),
        (["and", compare("=", "n", 1), compare("=", "f", 1)], '("n" = 1)'),
        (["or", compare("=", "n", 1), compare("=", "f", 1)], ""),
        (["or", compare("=", "n", 1), compare("=", "n", 2)], '("n" = 1 OR "n" = 2)'),
        (["in", ["field", "n"], [["scalar", 1], ["scalar", -2]]], '"n" IN (1, -2)'),
        (["in", ["field", "h"], [["scalar", "it's"]]], "\"h\" IN ('it''s')"),
        (["in", ["field", "n"], [["scalar", 1], ["scalar", "x"]]], ""),
        (["in", ["field", "n"], []], ""),
        (["in", ["field", "n"], 5], ""),
        (["in", ["field", "n"], [["scalar", 1]] * 501], ""),
        (["null", ["field", "j"], None], '"j" IS NULL'),
        (["valid", ["field", "f"], None], '"f" IS NOT NULL'),
    ],
)
def test_filters_that_postgres_compares_alike_are_translated_and_others_dropped(tree: Any, expected: str) -> None:
    assert where(tree) == expected


@pytest.mark.parametrize(
    ("relocated", "expected"),
    [
        ([(0, 9)], '(("n" < 0) OR ("n" > 9))'),
        ([(0, 9), (20, 29)], '(("n" < 0) OR ("n" > 9 AND "n" < 20) OR ("n" > 29))'),
    ],
)
def test_every_statement_leaves_out_relocated_rows(relocated: Any, expected: str) -> None:
    assert where(None, relocated) == expected
    assert where(compare("=", "n", 5), relocated) == f'{expected} AND "n" = 5'


def test_many_ranges_become_one_multirange() -> None:
    text = where(None, [(n * 10, n * 10 + 5) for n in range(100)])
    assert text.startswith("NOT ('{[0,5],[10,15],")
    assert text.endswith('::int8multirange @> "n"::bigint)')


@pytest.mark.parametrize(
    ("columns", "tree"),
    [
        ([], None),
        (["secret"], None),
        (['n" FROM pg_shadow --'], None),
        (["n"], compare("=", "secret", 1)),
        (["n"], ["in", ["field", "secret"], [["scalar", 1]]]),
        (["n"], ["null", ["field", "secret"], None]),
        (["n"], "n = 1"),
        (["n"], ["and"]),
        (["n"], [1, 2, 3]),
        (["n"], {"and": 1}),
    ],
)
def test_a_scan_of_anything_but_the_relation_is_refused(columns: list[str], tree: Any) -> None:
    with pytest.raises(hot_sql.BadScan):
        hot_sql.statement(table(), columns, tree)


@pytest.mark.parametrize("location", ["public.users", "hot.x", "hot.d_zz", 'hot.d_1"', "d_" + "0" * 32, ""])
def test_a_location_that_is_no_hot_table_is_refused(location: str) -> None:
    with pytest.raises((hot_sql.BadScan, ValueError)):
        hot_sql.statement(hot_sql.GrantedTable(location, COLUMNS, "n", ()), ["n"], None)


def test_a_filter_of_many_parts_is_cut_to_a_bounded_cost() -> None:
    tree: Any = compare("=", "n", 1)
    for _ in range(300):
        tree = ["and", tree, compare("=", "n", 2)]
    assert len(where(tree)) < 20_000


def test_the_rows_of_a_where_alone_are_sent_whatever_the_cell_asks_for() -> None:
    granted = replace(table([(0, 9)]), where={"h": ["0x01", "0x02"], "f": ["0.5"]})
    sql = hot_sql.statement(granted, ["n"], compare("=", "h", "0x03"))
    assert sql.partition(" WHERE ")[2] == (
        '(("n" < 0) OR ("n" > 9)) AND "h" IN (CAST(\'0x01\' AS text), CAST(\'0x02\' AS text))'
        " AND \"f\" IN (CAST('0.5' AS double precision)) AND \"h\" = '0x03'"
    )
