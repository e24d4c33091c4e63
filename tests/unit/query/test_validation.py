"""Validation checks a job's SELECT as the gate and DuckDB do: it refuses what they refuse, and nothing else."""

from __future__ import annotations

import itertools
import random
import re
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import duckdb
import pytest

from tests.integration.query.answers import rows
from tests.integration.query.answers.grammar import Grammar
from tests.unit.query.oracle import GRANTED
from traceplane.errors import Unavailable
from traceplane.graph import Fault, JobStatement
from traceplane.graph.statements import Relation
from traceplane.query.gate import allowlist, text
from traceplane.query.gate.messages import Shape, Table
from traceplane.query.gate.statement import Refusal
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.validation import StatementChecker
from traceplane_sdk.columns import FORMS
from traceplane_sdk.operator import Column, ColumnType, OutputSchema, Statement, Storage

BLOCKS = OutputSchema(
    storage=Storage.POSTGRES,
    columns=(
        Column("block_number", ColumnType.INT64),
        Column("hash", ColumnType.HEX),
        Column("mined_at", ColumnType.TIMESTAMP, nullable=True),
        Column("value", ColumnType.UINT256),
        Column("raw", ColumnType.JSON),
    ),
    unique_key=("block_number",),
    scope_column="block_number",
    sort_by=("block_number",),
)
FOUND = replace(BLOCKS, storage=Storage.S3, columns=BLOCKS.columns[:3])
RIGHT = "SELECT block_number, hash, mined_at FROM blocks"
HOT, COLD = ("follow", "blocks"), ("compact", "blocks")


@pytest.fixture(scope="module")
def checker() -> Iterator[StatementChecker]:
    with StatementChecker() as made:
        yield made


def job(sql: str, **changed: object) -> JobStatement:
    parameters = ("partition_start", "partition_end")
    relations = (
        Relation(*HOT, ("hot-blocks",), BLOCKS),
        Relation(*COLD, ("cold-blocks",), replace(BLOCKS, storage=Storage.S3)),
        Relation("follow", "logs", (), BLOCKS),
    )
    statement = Statement("config.sql", sql, parameters, FOUND, "config.columns")
    return replace(JobStatement("trace", statement, relations, {"blocks": (HOT, COLD)}), **changed)


@pytest.mark.parametrize(
    "sql",
    [
        RIGHT,
        RIGHT + " WHERE block_number BETWEEN $partition_start AND $partition_end; -- whole ;\n;",
        RIGHT.replace("blocks", "hot_blocks"),
        RIGHT.replace("blocks", "follow_blocks"),
        RIGHT.replace("blocks", "trace.compact_blocks"),
        RIGHT.replace("blocks", "COLD_Blocks JOIN follow_logs USING (block_number, hash, mined_at)"),
        "SELECT 1 AS BLOCK_NUMBER, '0x' AS hash, NULL AS mined_at, 5 AS beside",
        "SELECT '12' AS block_number, 1 AS hash, '2026-01-01' AS mined_at",
        "SELECT date_diff('day', mined_at, now()) AS block_number, hash, mined_at::DATE AS mined_at FROM blocks",
        "SELECT block_number, [hash] AS hash, mined_at FROM blocks",
        "WITH x AS (FROM blocks)"
        " SELECT max(block_number) AS block_number, hash, min(mined_at) mined_at FROM x GROUP BY ALL",
    ],
)
def test_a_right_statement_is_not_refused(checker: StatementChecker, sql: str) -> None:
    assert checker(job(sql)) is None


def test_a_statement_is_bound_as_deep_as_the_service_binds_it(checker: StatementChecker) -> None:
    nested = "(value - " * 40 + "1" + ")" * 40
    assert checker(job(RIGHT.replace("blocks", f"hot_blocks WHERE {nested} < 5"))) is None
    fault = checker(job(RIGHT + " WHERE value" + " - 1" * 190 + " < 5"))
    assert fault is None or (fault.code, "SET " in fault.message) == ("QueryTooDeep", False), fault


def test_a_parameter_is_the_number_of_no_column(checker: StatementChecker) -> None:
    for clause in ("ORDER BY $partition_start", "GROUP BY ALL ORDER BY $partition_start"):
        fault = checker(job(f"{RIGHT} {clause}"))
        assert fault is not None
        assert "out of range" in fault.message
    assert checker(job(RIGHT + " LIMIT $partition_start")) is None


@pytest.mark.parametrize(
    ("sql", "field", "code", "said"),
    [
        ("SELEC 1", "config.sql", "InvalidStatement", 'line 1, column 1: syntax error at or near "SELEC"'),
        ("SELECT 1;\n SELECT 2", "config.sql", "NotOneSelect", "one SELECT is wanted, not 2 statements"),
        ("DROP TABLE blocks", "config.sql", "NotOneSelect", "only SELECT may be run, not DROP"),
        (
            "SELECT *\nFROM read_csv('/etc/passwd')",
            "config.sql",
            "FunctionNotAllowed",
            "line 2, column 6: function 'read_csv' may not be used; take an answer as Parquet",
        ),
        (
            RIGHT + "\n\n  WHERE nvl(hash) = ''",
            "config.sql",
            "FunctionNotAllowed",
            "line 3, column 9: .*use coalesce",
        ),
        (
            RIGHT.replace("blocks", "\n  follow_block"),
            "config.sql",
            "RelationNotFound",
            "line 2, column 3: no input of the job is called 'follow_block'; did you mean 'follow_blocks'",
        ),
        (RIGHT.replace("blocks", "main.blocks"), "config.sql", "RelationNotFound", "'main.blocks'"),
        (RIGHT.replace("blocks", "other.blocks"), "config.sql", "RelationNotFound", "'other.blocks'"),
        (RIGHT + "\nWHERE 'é' = numbr", "config.sql", "InvalidStatement", 'line 2, column 13: .*"numbr" not found'),
        (
            RIGHT + " WHERE hash = '0x5FbDB2315678afecb367f032d93F642f64180aa3'",
            "config.sql",
            "InvalidStatement",
            r"upper-case digits, .* write lower\('0x5FbDB23",
        ),
        (
            RIGHT.replace("blocks", "follow_logs")
            + " WHERE hash IN (VALUES ('5fbdb2315678afecb367f032d93f642f64180aa3'))",
            "config.sql",
            "InvalidStatement",
            "no 0x before its digits, .* write '0x5fbdb23",
        ),
        (RIGHT + " WHERE sum(hash) = 1", "config.sql", "InvalidStatement", "line 1, column "),
        (
            RIGHT + " WHERE block_number > $start",
            "config.sql",
            "ParametersNotSupported",
            r"column 70: .*\$partition_end",
        ),
        (
            "SELECT block_number, hash FROM blocks",
            "config.columns[2]",
            "ColumnMissing",
            "'mined_at'; it gives block_",
        ),
        (RIGHT.replace("hash", "hash AS hsh"), "config.columns[1]", "ColumnMissing", "did you mean 'hsh'"),
        (
            "SELECT mined_at AS block_number, hash, mined_at FROM blocks",
            "config.columns[0]",
            "ColumnTypeMismatch",
            "TIMESTAMP WITH TIME ZONE, of which no value becomes BIGINT; convert it",
        ),
        (
            "SELECT 1 AS block_number, '' AS hash, 1 AS mined_at",
            "config.columns[2]",
            "ColumnTypeMismatch",
            "INTEGER",
        ),
        (
            "SELECT [1] AS block_number, '' AS hash, now() AS mined_at",
            "config.columns[0]",
            "ColumnTypeMismatch",
            ".",
        ),
        ("  ", "config.sql", "EmptyQuery", "the statement is empty"),
    ],
)
def test_a_wrong_statement_is_refused_with_place_and_remedy(
    checker: StatementChecker, sql: str, field: str, code: str, said: str
) -> None:
    fault = checker(job(sql))
    assert fault is not None
    assert (fault.field, fault.code, fault.fatal) == (field, code, False), fault
    assert "LINE" not in fault.message
    assert "\n" not in fault.message
    assert re.search(said, fault.message), fault.message


def test_a_name_of_two_inputs_is_refused_without_made_up_versions(checker: StatementChecker) -> None:
    twice = (Relation("a", "b_c", (), BLOCKS), Relation("a-b", "c", (), BLOCKS))
    fault = checker(job(RIGHT.replace("blocks", "a_b_c"), relations=twice, federated={}))
    assert fault is not None
    assert fault.code == "RelationAmbiguous"
    assert "version" not in fault.message


def test_a_federated_asset_over_inputs_of_two_wheres_is_refused(checker: StatementChecker) -> None:
    hot, cold, logs = job(RIGHT).relations or ()
    some = replace(hot, where={"hash": ["0x"]})
    fault = checker(job(RIGHT, relations=(some, cold, logs)))
    assert fault is not None
    assert (fault.field, fault.code) == ("config.sql", "WhereDiffers")
    assert fault.message.startswith("line 1, column 42: 'blocks' is one relation over two inputs")
    assert checker(job(RIGHT, relations=(some, replace(cold, where={"hash": ["0x"]}), logs))) is None
    assert checker(job(RIGHT.replace("blocks", "hot_blocks"), relations=(some, cold, logs))) is None


def test_without_its_inputs_only_the_statement_itself_is_judged(checker: StatementChecker) -> None:
    alone = job(RIGHT.replace("blocks", "elsewhere"), relations=None, federated={})
    assert checker(alone) is None
    fault = checker(job("SELEC", relations=None, federated={}))
    assert fault is not None
    assert fault.code == "InvalidStatement"


def test_a_statement_that_grows_beyond_bounds_ends_no_other(checker: StatementChecker) -> None:
    expression = "1"
    for _ in range(24):
        expression = f"CASE {expression} WHEN 1 THEN 1 WHEN 2 THEN 1 END"
    fault = checker(job(f"SELECT {expression} AS block_number"))
    assert fault is not None
    assert (fault.code, fault.fatal) == ("QueryTooComplex", True)
    assert checker(job(RIGHT)) is None


def test_its_process_rests_and_comes_back() -> None:
    with StatementChecker() as checker:
        assert checker(job(RIGHT)) is None
        process = checker._gate._process
        assert process is not None
        checker._gate.rest()
        assert process.poll() is not None
        assert checker(job(RIGHT + " LIMIT 1")) is None


def test_what_was_found_is_known_without_its_process_until_something_it_depends_on_changes() -> None:
    wrong, renamed = job(RIGHT.replace("hash", "hsh")), (Column("number", ColumnType.INT64), *BLOCKS.columns[1:])
    with StatementChecker() as checker:
        first = [checker(job(RIGHT)), checker(wrong)]
        checker._gate.close()
        assert [checker(job(RIGHT)), checker(wrong)] == first
        other = Relation(*HOT, ("blocks",), replace(BLOCKS, columns=renamed, unique_key=(), sort_by=()))
        for changed in (job(RIGHT + " LIMIT 1"), job(RIGHT, namespace="b"), job(RIGHT, relations=(other,))):
            with pytest.raises(Unavailable):
                checker(changed)


def test_a_statement_that_took_too_much_is_tried_again(monkeypatch: pytest.MonkeyPatch) -> None:
    with StatementChecker() as checker:
        with monkeypatch.context() as busy:
            busy.setattr(
                checker, "_check", lambda _job: (_ for _ in ()).throw(Refusal(text.TOO_COMPLEX, "too much"))
            )
            fault = checker(job(RIGHT))
        assert fault is not None
        assert fault.fatal
        assert checker(job(RIGHT)) is None


# The oracle: plain DuckDB over the same empty tables.


def verdict(gate: GateSupervisor, sql: str, shape: Shape, tables: list[Table]) -> str | None:
    try:
        gate.check(sql, shape)
        gate.bind(sql, shape, tables)
    except Refusal as refusal:
        return f"{refusal.code}: {refusal.message}"
    return None


@pytest.fixture(scope="module")
def gate() -> Iterator[GateSupervisor]:
    made = GateSupervisor()
    yield made
    made.close()


def test_every_honest_statement_binds(gate: GateSupervisor) -> None:
    tables = [
        Table((tuple(name.rpartition(".")[::2]),), tuple(tuple(c.split()) for c in columns.split(", ")))  # type: ignore[misc]
        for name, columns in GRANTED.items()
    ]
    honest = Path(__file__).with_name("honest.sql").read_text().splitlines()
    refused = {sql: said for sql in honest if (said := verdict(gate, sql, Shape(), tables))}
    listing = [sql for sql, said in refused.items() if said.endswith("it may not list what there is")]
    assert refused.keys() == set(listing)
    assert len(honest) - len(listing) >= 200


def test_made_up_statements_are_checked_as_duckdb_binds_them(gate: GateSupervisor) -> None:
    """Right ones, and the same with a letter lost: the two agree, and no wrong one is let through either."""
    tables = rows.chain(13)
    plain = duckdb.connect(config={"threads": 1, "python_enable_replacements": False})
    empty = []
    for name in tables:
        columns = tuple((column.name, FORMS[column.type].duckdb) for column in rows.columns_of(name))
        empty.append(Table(tuple(("", tier + name) for tier in rows.TIERS), columns))
        plain.execute(f"CREATE TABLE export_{name} ({', '.join(f'{n} {kind}' for n, kind in columns)})")
        for tier in rows.TIERS:
            plain.execute(f"CREATE VIEW {tier}{name} AS FROM export_{name}")
    source, seen = random.Random(5), {True: 0, False: 0}
    for sql in itertools.islice(_statements(source, tables), 200):
        try:
            names = dict.fromkeys(plain.sql(sql).columns)
            allowlist.check(sql)
            binds = True
        except (duckdb.Error, Refusal):
            names, binds = {}, False
        shape = Shape(columns=tuple((name, "VARCHAR") for name in {n.lower(): n for n in names}.values()))
        said = verdict(gate, sql + source.choice(["", ";", "; -- x", "-- x\n;;"]), shape, empty)
        assert (said is None) == binds, (sql, said)
        seen[binds] += 1
    assert min(seen.values()) > 50, seen


def _statements(source: random.Random, tables: object) -> Iterator[str]:
    grammar = Grammar(source, tables)  # type: ignore[arg-type]
    while True:
        sql = str(grammar.statement())
        yield sql
        cut = source.randrange(len(sql))
        yield sql[:cut] + sql[cut + 1 :]


def test_a_fault_is_said_once(checker: StatementChecker) -> None:
    assert checker(job("SELECT a, b FROM blocks")) == checker(job("SELECT a, b FROM blocks"))
    assert isinstance(checker(job("SELECT a, b FROM blocks")), Fault)
