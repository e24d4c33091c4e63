"""From a cell's wish to SQL for Postgres: nothing but the relation's columns, typed literals, and the seam."""

from __future__ import annotations

from typing import Any

import pytest

from traceplane.query.relations import hot

LOCATION = "hot.d_" + "0" * 31 + "1"
COLUMNS = {"n": "Int64", "h": "Hex", "v": "UInt256", "t": "Timestamp", "b": "Bool", "f": "Float64", "j": "Json"}


def table(moved: Any = ()) -> hot.HotTable:
    return hot.HotTable(LOCATION, COLUMNS, "n", moved)


def where(tree: Any, moved: Any = ()) -> str:
    return hot.statement(table(moved), ["n"], tree).partition(" WHERE ")[2]


def compare(operator: str, column: str, value: Any, tag: str = "scalar") -> list[Any]:
    return [operator, ["field", column], [tag, value]]


def test_wide_numbers_and_json_leave_as_text() -> None:
    assert hot.statement(table(), ["n", "v", "j"], None) == (
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
    ],
)
def test_translates_what_postgres_compares_alike_and_drops_the_rest(tree: Any, expected: str) -> None:
    assert where(tree) == expected


@pytest.mark.parametrize(
    ("moved", "expected"),
    [
        ([(0, 9)], '(("n" < 0) OR ("n" > 9))'),
        ([(0, 9), (20, 29)], '(("n" < 0) OR ("n" > 9 AND "n" < 20) OR ("n" > 29))'),
    ],
)
def test_the_seam_is_always_there(moved: Any, expected: str) -> None:
    assert where(None, moved) == expected
    assert where(compare("=", "n", 5), moved) == f'{expected} AND "n" = 5'


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
        (["n"], "n = 1"),
        (["n"], ["and"]),
        (["n"], [1, 2, 3]),
        (["n"], {"and": 1}),
    ],
)
def test_refuses_what_is_not_the_relation_s(columns: list[str], tree: Any) -> None:
    with pytest.raises(hot.BadScan):
        hot.statement(table(), columns, tree)


@pytest.mark.parametrize("location", ["public.users", "hot.x", "hot.d_zz", 'hot.d_1"', "d_" + "0" * 32, ""])
def test_refuses_a_location_that_is_no_hot_table(location: str) -> None:
    with pytest.raises((hot.BadScan, ValueError)):
        hot.statement(hot.HotTable(location, COLUMNS, "n", ()), ["n"], None)


def test_a_filter_without_end_is_cut_to_what_it_may_cost() -> None:
    tree: Any = compare("=", "n", 1)
    for _ in range(300):
        tree = ["and", tree, compare("=", "n", 2)]
    assert len(where(tree)) < 20_000
