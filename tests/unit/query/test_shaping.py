"""What becomes of a task's SELECT: DuckDB is the oracle of what its text, its comments and its semicolons mean."""

from __future__ import annotations

import itertools
import random

import duckdb
import pytest

from traceplane.query.gate import allowlist, shaping
from traceplane.query.gate.messages import Shape
from traceplane.query.gate.statement import Refusal

COLUMNS = (("n", "BIGINT"), ("what", "VARCHAR"))
SHAPE = Shape(parameters=(("partition_start", 20), ("partition_end", 39)), columns=COLUMNS, order=("n", "what"))
SELECTS = [
    "SELECT n, 'a;b -- $partition_start' AS what FROM range($partition_start, $partition_end) r(n)",
    'SELECT $partition_start AS n, $$; $partition_end $$ AS "what"',
    'WITH x AS (SELECT 1 AS "a;b") SELECT "a;b" AS n, \'é;\' AS what FROM x',
    "(SELECT 7 AS n, E'\\';' AS what)",
    "FROM range(3) r(n) SELECT n, /* ; $partition_start */ 'x' AS what",
    "SELECT 2 AS n, 'x' AS what ORDER BY 1 LIMIT $partition_end",
]
AROUND = [
    ";",
    ";;",
    "; -- the end",
    "-- the end",
    "/* the; end */;",
    " ;\n-- $partition_start\n;",
    "\n;\t; ",
    "--;",
]


def plain(sql: str) -> list[object]:
    for name, value in SHAPE.parameters:
        sql = sql if name != "partition_start" else sql.replace(f"range(${name}", f"range({value}")
    sql = sql.replace("$partition_end)", "39)").replace("SELECT $partition_start", "SELECT 20")
    sql = sql.replace("LIMIT $partition_end", "LIMIT 39")
    return duckdb.execute(f"SELECT n::BIGINT, what::VARCHAR FROM (\n{sql}\n) AS answer ORDER BY 1, 2").fetchall()


@pytest.mark.parametrize("sql", ["SHOW TABLES", "DESCRIBE blocks", "SELECT 1 FROM information_schema.tables"])
def test_a_job_does_not_list_what_there_is(sql: str) -> None:
    with pytest.raises(Refusal, match="a job's SELECT reads its inputs") as refused:
        shaping.shaped(sql, SHAPE)
    assert refused.value.code == "StatementNotAllowed"


@pytest.mark.parametrize("sql", SELECTS)
@pytest.mark.parametrize("end", ["", *AROUND])
def test_semicolons_and_comments_at_its_end_change_no_answer(sql: str, end: str) -> None:
    _, whole = shaping.shaped(sql + end, SHAPE)
    assert duckdb.execute(whole).fetchall() == plain(sql)


def test_any_mixture_at_both_ends_is_the_same_statement() -> None:
    source = random.Random(1)
    for _ in range(200):
        sql = source.choice(SELECTS)
        end = "\n".join(source.choices(AROUND, k=source.randint(0, 5)))
        begin = "".join(source.choices([";", " ", "\n", "/* ; */", "-- ;\n"], k=source.randint(0, 4)))
        _, whole = shaping.shaped(begin + sql + end, SHAPE)
        assert duckdb.execute(whole).fetchall() == plain(sql), (begin, sql, end)


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT 1 AS n; SELECT 2",
        "SELECT 1 AS n) AS answer, (SELECT 2 AS n",
        "SELECT 1; DROP TABLE x",
        "; -- ;",
        "SELEC",
    ],
)
def test_what_is_not_one_select_by_itself_is_refused(sql: str) -> None:
    with pytest.raises(Refusal) as refused:
        shaping.shaped(sql, SHAPE)
    assert refused.value.code in {"NotOneSelect", "InvalidQuery"}


@pytest.mark.parametrize(("start", "end"), list(itertools.product((-5, 0, 2**63 - 1), repeat=2)))
def test_any_number_is_put_in(start: int, end: int) -> None:
    shape = Shape(parameters=(("a", start), ("b", end)), columns=(("x", "HUGEINT"),))
    _, whole = shaping.shaped("SELECT 3::HUGEINT-$a-$b AS x", shape)
    assert duckdb.execute(whole).fetchall() == [(3 - start - end,)]


@pytest.mark.parametrize(
    ("sql", "position"), [("SELECT $partition_starts", 7), ("SELECT 'é', $x", 12), ("SELECT\n  $Partition_End", 9)]
)
def test_an_unknown_parameter_is_refused_with_its_place_and_those_there_are(sql: str, position: int) -> None:
    with pytest.raises(Refusal, match=r"there is \$partition_start and \$partition_end") as refused:
        shaping.shaped(sql, SHAPE)
    assert (refused.value.code, refused.value.position) == ("ParametersNotSupported", position)


def test_places_are_those_in_what_the_author_wrote() -> None:
    sql = "SELECT $partition_start AS n, $partition_end AS what FROM read_csv('x')"
    with pytest.raises(Refusal) as refused:
        shaping.shaped(sql, SHAPE)
    assert refused.value.position == sql.index("read_csv")


def test_the_columns_of_a_long_statement_do_not_count_against_its_bounds() -> None:
    columns = tuple((f"c{n}", "VARCHAR") for n in range(500))
    sql = f"SELECT {', '.join(f'{n} AS c{n}' for n in range(500))}"
    _, whole = shaping.shaped(sql, Shape(columns=columns, order=("c0",)))
    (answer,) = duckdb.execute(whole).fetchall()
    assert answer == tuple(str(n) for n in range(500))
    with pytest.raises(Refusal):
        allowlist.check(whole * 2)
