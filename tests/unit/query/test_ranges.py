"""Sets of ranges, and what a plan says about a column. The oracle is the set of numbers itself."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import duckdb
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane.query.cell import plan
from traceplane.query.exact import bound
from traceplane.query.relations import ranges

parts = st.lists(st.tuples(st.integers(-30, 30), st.integers(-30, 30)), max_size=6)


def numbers(found: Any) -> set[int]:
    return {n for n in range(-40, 41) if any(start <= n <= end for start, end in found)}


@given(parts, parts)
def test_set_operations_are_those_of_sets(left: Any, right: Any) -> None:
    a, b = ranges.normal(left), ranges.normal(right)
    assert numbers(a) == numbers(left)
    assert all(first[1] + 1 < second[0] for first, second in pairwise(a))
    assert numbers(ranges.both(a, b)) == numbers(a) & numbers(b)
    assert numbers(ranges.outside(a)) == set(range(-40, 41)) - numbers(a)
    assert ranges.touches((-3, 7), a) == bool(numbers(a) & set(range(-3, 8)))
    assert ranges.inside((-3, 7), a) == (set(range(-3, 8)) <= numbers(a))


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("{}", ()),
        ("{[0,1000)}", ((0, 999),)),
        ("{[0,10),[20,30)}", ((0, 9), (20, 29))),
        ("{(,5),[7,)}", ((ranges.LOWEST, 4), (7, ranges.HIGHEST))),
        ("{[-10,-5)}", ((-10, -6),)),
    ],
)
def test_multiranges_of_postgres_are_parsed(text: str, expected: Any) -> None:
    assert ranges.parse_multirange(text) == expected


CONDITIONS = [
    "n = 5",
    "n BETWEEN 3 AND 9",
    "n > 3 AND n <= 9 AND n <> 5",
    "n IN (1, 7, 9)",
    "n IN (1, 7, 9) AND n > 5",
    "n = 5 OR n = 9",
    "n < -5 OR n > 20",
    "n = 5 OR h = 'x'",
    "n > 5 AND (h = 'n<3' OR h = 'y')",
    "h = 'x AND n>20 AND y'",
    "n > 5 AND h LIKE 'a%'",
    "n / 2 > 5",
    "n % 2 = 0 AND n > 4",
    "n > 5.5",
    "n::INTEGER > 5",
    "n IS NOT NULL AND n < 4",
    "n IS NULL OR n < 4",
    "NOT (n < 4)",
    "n >= (SELECT 5)",
    "n IN (SELECT range FROM range(3))",
    "abs(n) < 3",
    "CASE WHEN n > 5 THEN true ELSE h = 'x' END",
    "(n > 5) = (h = 'x')",
    "n + 1 > 5",
    "-n > 5",
    "n > 5 OR n < 3 AND h = 'x'",
    "(n > 1 AND n < 4) OR (n > 10 AND n < 14)",
    "n = 3 AND n = 4",
    "false",
    "m > 5",
    "m = 3 AND n = 4",
    "m IN (1, 2) AND n IN (3, 4)",
    "h IN ('n=3', 'n=4')",
    "strlen(h) > n AND n < 9",
]


@pytest.mark.parametrize("condition", CONDITIONS)
@pytest.mark.parametrize(
    "shape",
    [
        "SELECT count(*) FROM t WHERE {}",
        "SELECT * FROM t WHERE {} ORDER BY n LIMIT 3",
        "SELECT * FROM (FROM t WHERE {}) a JOIN t b USING (n)",
        "SELECT count(*) FROM (FROM t WHERE {} LIMIT 2)",
    ],
)
def test_pruning_never_changes_an_answer(condition: str, shape: str) -> None:
    """Ranges from the plan over an empty twin keep every row the statement needs."""
    sql = shape.format(condition)
    scans = planned(sql).scans
    wanted = ranges.normal(part for _, tree in scans for part in ranges.of_tree(tree, "n"))
    whole = duckdb.connect()
    whole.execute(
        "CREATE TABLE t AS SELECT range - 20 AS n, (range * 7) % 11 AS m, "
        "CASE range % 3 WHEN 0 THEN 'x' WHEN 1 THEN 'y' ELSE 'n<3' END AS h FROM range(60)"
    )
    before = sorted(map(repr, whole.execute(sql).fetchall()))
    keep = " OR ".join(f"n BETWEEN {start} AND {end}" for start, end in wanted if scans) or str(not scans)
    whole.execute(f"DELETE FROM t WHERE NOT ({keep})")
    assert sorted(map(repr, whole.execute(sql).fetchall())) == before


def planned(sql: str) -> plan.Plan:
    """The plan of a statement over an empty table `t`."""
    shadow = duckdb.connect()
    bound.limit_optimizers(shadow)
    shadow.execute("CREATE TABLE t (n BIGINT, m BIGINT, h VARCHAR)")
    return plan.of(shadow, sql, {"t": 0})


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        ("n>=5 AND n<=10 AND h='x'", ((5, 10),)),
        ("n IN (1, 7, 9)", ((1, 1), (7, 7), (9, 9))),
        ("n>1000 AND n IN (1, 2000, 5000)", ((2000, 2000), (5000, 5000))),
        ("n=5 OR n=9", ((5, 5), (9, 9))),
        ("n>5 AND n IS NOT NULL", ((6, ranges.HIGHEST),)),
        ("n BETWEEN 1 AND 3 OR n BETWEEN 8 AND 9", ((1, 3), (8, 9))),
        ("h='n>5 AND n<3'", ranges.EVERYTHING),
        ("h=chr(10)||'n>5'||chr(10)", ranges.EVERYTHING),
        ("m=5", ranges.EVERYTHING),
        ("n=5 OR m=9", ranges.EVERYTHING),
        ("true", ranges.EVERYTHING),
    ],
)
def test_the_plan_says_which_values_a_statement_needs(condition: str, expected: Any) -> None:
    found = planned(f"FROM t WHERE {condition}")
    assert [ranges.of_tree(tree, "n") for _, tree in found.scans] == [expected]


def test_what_no_value_can_pass_reads_nothing() -> None:
    assert ranges.of_tree(["and", *(["=", ["field", "n"], ["scalar", n]] for n in (5, 6))], "n") == ()


@pytest.mark.parametrize(
    "tree",
    [
        None,
        5,
        [],
        ["and"],
        ["="],
        ["=", ["field", "n"], ["scalar", True]],
        ["=", ["field", "n"], ["instant", 5]],
        ["like", ["field", "n"], ["scalar", 5]],
        ["or", ["=", ["field", "n"], ["scalar", 5]], None],
        ["in", ["field", "n"], [["scalar", 5], ["scalar", "5"]]],
        ["in", ["field", "n"], 5],
        ["!=", ["field", "n"], ["scalar", 5]],
    ],
)
def test_a_tree_that_a_cell_made_up_restricts_nothing(tree: Any) -> None:
    assert ranges.of_tree(tree, "n") == ranges.EVERYTHING


def test_a_tree_as_deep_as_a_cell_likes_is_read_to_a_bound() -> None:
    tree: Any = ["=", ["field", "n"], ["scalar", 5]]
    for _ in range(900):
        tree = ["and", tree, ["=", ["field", "n"], ["scalar", 5]]]
    assert ranges.of_tree(tree, "n") == ((5, 5),)
