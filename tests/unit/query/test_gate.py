"""The gate: honest statements pass, hostile ones do not, and DuckDB itself is the oracle of what passed.

The oracle: whatever the gate admits, DuckDB binds as one SELECT when exactly the admitted relations exist and
nothing else does, with external access off. A hostile statement is one that must be refused whatever relations
are granted to the user; the relations it may name are granted here.
"""

from __future__ import annotations

import contextlib
import itertools
from pathlib import Path

import duckdb
import pytest

from tests.unit.query import fuzz
from tests.unit.query.oracle import admitted, bound_by_duckdb
from traceplane.query.exact import u256
from traceplane.query.gate import allowlist, functions, parser, text
from traceplane.query.gate.statement import Refusal

HONEST = "honest.sql"
HOSTILE = "hostile.sql"


def statements(name: str) -> list[str]:
    """One statement a line."""
    return Path(__file__).with_name(name).read_text().splitlines()


def test_the_corpus_is_large_enough() -> None:
    assert len(set(statements(HONEST))) >= 200
    assert len(set(statements(HOSTILE))) >= 300


@pytest.mark.parametrize("sql", statements(HONEST))
def test_honest_statements_are_admitted_and_bind(sql: str) -> None:
    bound_by_duckdb(admitted(sql))


@pytest.mark.parametrize("sql", statements(HOSTILE))
def test_hostile_statements_are_refused(sql: str) -> None:
    with pytest.raises(Refusal) as refusal:
        admitted(sql)
    assert refusal.value.code.isalnum()
    assert "Stack Trace" not in refusal.value.message


def test_generated_statements_are_admitted_and_refused_as_duckdb_binds_them() -> None:
    """`make fuzz` goes on from here, with a seed of its own."""
    assert [problem for problem in itertools.islice(fuzz.problems(seed=20), 3_000) if problem] == []


@pytest.mark.parametrize("kind", ["table", "pragma", "table_macro"])
def test_no_table_function_of_duckdb_but_the_listed_ones_is_admitted(kind: str) -> None:
    query = "SELECT DISTINCT function_name FROM duckdb_functions() WHERE function_type = ?"
    rows = duckdb.execute(query, [kind]).fetchall()
    assert rows
    for (name,) in rows:
        if name not in functions.TABLE_FUNCTIONS:
            with pytest.raises(Refusal):
                admitted(f'SELECT * FROM "{name}"(1)')


def test_every_listed_function_is_one_duckdb_has_or_a_part_of_its_grammar() -> None:
    rows = duckdb.sql("SELECT DISTINCT lower(function_name) FROM duckdb_functions()").fetchall()
    grammar = {"!", "->", "coalesce", "current_timestamp", "grouping", "grouping_id", "if", "ifnull", "try"}
    assert functions.ALLOWED - {name for (name,) in rows} <= grammar | u256.NAMES
    assert u256.NAMES <= functions.ALLOWED
    assert not functions.ALLOWED & u256.FUNCTIONS.keys()


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT " + "(" * 3000 + "1" + ")" * 3000,
        "SELECT " + "NOT " * 7000 + "true",
        "SELECT " + "- " * 7000 + "1",
        "SELECT 1" + " + 1" * 3900,
        "SELECT 1" + " UNION ALL SELECT 1" * 3000,
        "SELECT 1" + " INTERSECT SELECT 1" * 1900,
        "SELECT " + "(SELECT " * 200 + "1" + ")" * 200,
        "SELECT " + "[" * 1000 + "]" * 1000,
        "SELECT " + "CASE WHEN " * 1500 + "1",
        "SELECT * FROM blocks" + " JOIN blocks ON true" * 1500,
        "SELECT list_transform(a, " + "lambda x: " * 1900 + "1)",
        "SELECT a" + "[1]" * 1900,
        "SELECT a" + ".f()" * 1900,
        "SELECT '" + "x" * 70_000 + "'",
        "SELECT " + "1," * 9000 + "1",
        "SELECT 1" + " " * 1_000_000,
        "SELECT '" + "\U0001f600" * 20_000 + "'",
    ],
    ids=lambda sql: sql[:20],
)
def test_oversized_statements_do_not_kill_the_parser(sql: str) -> None:
    with contextlib.suppress(Refusal):
        assert len(admitted(sql).sql) <= text.MAX_SQL_BYTES
    assert admitted("SELECT 1").relations == ()


@pytest.mark.parametrize(
    ("sql", "code", "position"),
    [
        ("SELECT getenv('HOME')", "FunctionNotAllowed", 7),
        ("SELECT 1 FROM blocks, read_text('x')", "FunctionNotAllowed", 22),
        ("SELECT '\U0001f600', getenv('x')", "FunctionNotAllowed", 12),
        ("SELECT \0", "InvalidQuery", 7),
        ("SELECT \ud800", "InvalidQuery", 7),
        ("", "EmptyQuery", None),
        ("   \n", "EmptyQuery", None),
        ("SELECT 1; SELECT 2", "NotOneSelect", None),
        ("SELECT 1 FROM x AT (VERSION => 1)", "StatementNotAllowed", 14),
        ("SELECT ?", "ParametersNotSupported", None),
        ("SELECT 1::nothing", "TypeNotAllowed", None),
        ("SELECT 1 FROM elsewhere.research.prices", "RelationNotFound", 14),
        ("DELETE FROM blocks", "NotOneSelect", None),
        ("SELECT " + "1," * parser.MAX_TOKENS + "1", "QueryTooLarge", None),
        ("SELECT " + "(" * 51 + "1" + ")" * 51, "QueryTooDeep", 57),
        ("SELECT 1 FROM " + ", ".join(f"t{n}" for n in range(65)), "QueryTooLarge", None),
    ],
)
def test_a_refusal_says_what_and_where(sql: str, code: str, position: int | None) -> None:
    with pytest.raises(Refusal) as refusal:
        allowlist.check(sql)
    assert refusal.value.code == code
    if position is not None:
        assert refusal.value.position == position


@pytest.mark.parametrize(
    "sql", ["SELECT " + "(" * 50 + "1" + ")" * 50, "SELECT 1 FROM " + ", ".join(f"t{n}" for n in range(64))]
)
def test_what_is_as_large_as_it_may_be_is_admitted(sql: str) -> None:
    allowlist.check(sql)


def test_a_kind_of_query_that_duckdb_learns_later_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    tree = parser.parse("SELECT 1")
    tree["node"]["type"] = "UPDATE_NODE"
    monkeypatch.setattr(parser, "parse", lambda _sql: tree)
    with pytest.raises(Refusal, match="update may not be used"):
        allowlist.check("SELECT 1")


def test_relations_are_named_once_lower_case_in_order() -> None:
    found = allowlist.check("SELECT * FROM Blocks b JOIN research.Prices p ON true JOIN BLOCKS c ON true")
    assert [name.text for name in found.relations] == ["blocks", "research.prices"]


def test_lookalike_letters_make_another_name() -> None:
    for sql in ("FROM bl\u043ecks", "FROM bl\u200bocks", "FROM \uff42locks", 'FROM "blocks "'):
        with pytest.raises(Refusal):
            admitted(sql)


def test_a_name_is_folded_as_duckdb_folds_it() -> None:
    """To DuckDB the Kelvin sign is another letter than k: a table expression of that name does not hide a table."""
    found = allowlist.check('WITH "\u212a" AS (SELECT 1) SELECT * FROM k, "\u212a"')
    assert [name.text for name in found.relations] == ["k"]


def test_positions_count_characters() -> None:
    (relation,) = allowlist.check("SELECT '\u00e9\u00e9\u00e9' FROM nowhere").relations
    assert relation.position == 18


@pytest.mark.parametrize(
    "name", ["/tmp/x.csv", "s3://bucket/x.parquet", "pg_class", "Pg_Settings", "duckdb_tables"]
)
def test_the_first_arm_of_a_recursion_does_not_see_the_second(name: str) -> None:
    """In it DuckDB looks the name up outside: in the catalog, or as a file."""
    arm = f'SELECT 1 FROM "{name}"'
    sql = f'WITH RECURSIVE "{name}" AS ({arm} UNION ALL {arm}) SELECT * FROM "{name}"'
    assert [found.text for found in allowlist.check(sql).relations] == [name.lower()]
    with pytest.raises(Refusal):
        admitted(sql)


def test_a_number_beyond_every_double_is_refused_with_the_remedy() -> None:
    with pytest.raises(Refusal) as refused:
        allowlist.check("SELECT 1e400::DOUBLE")
    assert (refused.value.code, "'infinity'::DOUBLE" in refused.value.message) == ("InvalidQuery", True)
