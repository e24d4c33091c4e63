"""Generated statements, against the gate: `python -m tests.unit.query.fuzz --seconds 60 [--seed N]`.

Two kinds. Grown ones follow a grammar that puts honest and hostile parts into honest places: one hostile part
anywhere and the gate must refuse; none, and it must admit. Spliced ones mix the tokens of the two corpora: most
are no SQL at all, and whatever is admitted must be one SELECT over the granted relations, by DuckDB's own word.
A run is its seed: what it finds is found again by the same command.
"""

from __future__ import annotations

import itertools
import random
import sys
from pathlib import Path

import duckdb

from tests.support import fuzzing
from tests.unit.query.oracle import admitted, bound_by_duckdb, world
from traceplane.query.gate.statement import Refusal

DEPTH = 4

_VALUES = (
    "n",
    "1",
    "'x'",
    "hash",
    "NULL",
    "big",
    "b.n",
    "[1, 2][1]",
    "{'a': 1}.a",
    "n::VARCHAR",
    "DATE '2026-01-01'",
)
_HOSTILE_VALUES = (
    "getenv('HOME')",
    '"getenv"(hash)',
    "main.getenv('HOME')",
    "getvariable('x')",
    "current_setting('threads')",
    "(SELECT content FROM read_text('/etc/passwd'))",
    "(SELECT count(*) FROM duckdb_settings())",
    "EXISTS (FROM glob('/*'))",
    "'HOME'.getenv()",
    "nextval('s')",
    "1::secret_type",
    "(SELECT name FROM sqlite_master LIMIT 1)",
)
_TABLES = (
    *("blocks", "transfers", "research.prices", "range(3)", "unnest([1, 2])", "(VALUES (1), (2))", '"blocks"'),
    *("information_schema.tables", "Information_Schema.columns", "(DESCRIBE blocks)", "(SUMMARIZE transfers)"),
)
_HOSTILE_TABLES = (
    "'/etc/passwd'",
    "read_csv('/etc/passwd')",
    "\"read_text\"('/etc/passwd')",
    "query('SELECT 1')",
    "duckdb_secrets()",
    "information_schema.key_column_usage",
    "system.information_schema.tables",
    "(SHOW TABLES)",
    "pg_class",
    "memory.main.blocks",
    "postgres_scan('host=127.0.0.1', 'public', 't')",
    "(SUMMARIZE duckdb_settings)",
    "blocks AT (VERSION => 1)",
    "parquet_metadata('x.parquet')",
)
_GROWN_VALUES = (
    "({0} IS NULL)",
    "coalesce({0}, {1})",
    "CASE WHEN {0} IS NULL THEN {1} END",
    "[{0}, {1}]",
    "{{'k': {0}}}",
    "MAP {{'k': {0}}}",
    "(SELECT {0} FROM {t} LIMIT 1)",
    "list_transform([{0}], lambda x: [x, {1}])",
    "[{0} FOR i IN [1, 2] IF {1} IS NULL]",
    "count(*) FILTER (WHERE {0} IS NULL)",
    "first_value({0}) OVER (ORDER BY {1})",
    "({0} IN (SELECT {1} FROM {t}))",
    "concat({0}, '-', {1})",
    "TRY({0})",
    "({0} IS DISTINCT FROM {1})",
    "struct_pack(a := {0})",
    "/* {{ */ {0}",
)
_GROWN_TABLES = (
    "({s})",
    "{t} JOIN {t} ON {0} IS NULL",
    "{t}, LATERAL ({s})",
    "{t} ASOF JOIN {t} ON {0} >= {1}",
    "{t} CROSS JOIN {t}",
    "(SELECT * FROM {t} TABLESAMPLE 10%)",
    "(WITH w AS ({s}) SELECT * FROM w)",
    "(PIVOT {t} ON big IN (true, false) USING max({0}))",
)
_STATEMENTS = (
    "SELECT {0}, {1} FROM {t}",
    "FROM {t} SELECT {0}",
    "SELECT {0} AS a FROM {t} WHERE {1} IS NULL GROUP BY ALL",
    "SELECT DISTINCT ON ({0}) {1} FROM {t} ORDER BY {0} LIMIT 3",
    "SELECT {0} FROM {t} QUALIFY row_number() OVER (PARTITION BY {1}) = 1",
    "WITH a AS ({s}), c AS MATERIALIZED ({s}) SELECT * FROM a, c",
    "WITH RECURSIVE r AS (SELECT {0} AS x UNION ALL SELECT x FROM r) SELECT * FROM r",
    "({s}) UNION ALL BY NAME ({s})",
    "({s}) EXCEPT ({s})",
    "VALUES ({0}), ({1})",
    "SELECT * REPLACE ({0} AS n) FROM {t}",
    "SELECT COLUMNS(*), {0} FROM {t}",
    "SELECT unnest([{0}]) FROM {t}",
    "UNPIVOT (SELECT {0} AS a, {1} AS b) ON a, b INTO NAME k VALUE v",
)


class Grammar:
    """Grows statements. `hostile` says whether the last one holds a hostile part."""

    def __init__(self, source: random.Random) -> None:
        self._random = source
        self.hostile = False

    def statement(self) -> str:
        """A whole statement."""
        self.hostile = False
        return self._select(DEPTH)

    def _select(self, depth: int) -> str:
        return self._filled(self._random.choice(_STATEMENTS if depth > 0 else _STATEMENTS[:2]), depth)

    def _filled(self, template: str, depth: int) -> str:
        """Only what the template asks for is grown: a hostile part that is left out would make `hostile` wrong."""
        slots = {
            "{0}": lambda: self._value(depth - 1),
            "{1}": lambda: self._value(depth - 1),
            "{t}": lambda: self._table(depth - 1),
            "{s}": lambda: self._select(depth - 1),
        }
        text = template
        for slot, grow in slots.items():
            while slot in text:
                text = text.replace(slot, grow().replace("{", "\0").replace("}", "\1"), 1)
        return text.replace("{{", "{").replace("}}", "}").replace("\0", "{").replace("\1", "}")

    def _value(self, depth: int) -> str:
        if depth > 0 and self._random.random() < 0.6:
            return self._filled(self._random.choice(_GROWN_VALUES), depth)
        return self._part(_VALUES, _HOSTILE_VALUES)

    def _table(self, depth: int) -> str:
        if depth > 0 and self._random.random() < 0.4:
            return self._filled(self._random.choice(_GROWN_TABLES), depth)
        return self._part(_TABLES, _HOSTILE_TABLES)

    def _part(self, honest: tuple[str, ...], hostile: tuple[str, ...]) -> str:
        if self._random.random() < 0.06:
            self.hostile = True
            return self._random.choice(hostile)
        return self._random.choice(honest)


def corpus() -> list[list[str]]:
    """Both corpora as tokens."""
    lines = [line for name in ("honest", "hostile") for line in _lines(name)]
    return [_tokens(line) for line in lines]


def _lines(name: str) -> list[str]:
    return Path(__file__).with_name(f"{name}.sql").read_text().splitlines()


def _tokens(sql: str) -> list[str]:
    data = sql.encode()
    starts = [start for start, _ in duckdb.tokenize(sql)] + [len(data)]
    return [data[low:high].decode("utf-8", "replace") for low, high in itertools.pairwise(starts)]


def spliced(source: random.Random, lines: list[list[str]]) -> str:
    """The beginning of one statement and the end of another, with a token dropped, doubled or exchanged."""
    first, second = source.choice(lines), source.choice(lines)
    tokens = first[: source.randrange(len(first) + 1)] + second[source.randrange(len(second) + 1) :]
    for _ in range(source.randrange(3)):
        if tokens:
            at = source.randrange(len(tokens))
            tokens[at : at + 1] = source.choice(
                [[], [tokens[at]] * 2, [source.choice(source.choice(lines) or [""])]]
            )
    return "".join(tokens)


def problems(seed: int) -> fuzzing.Problems:
    """A grown statement and a spliced one, for ever."""
    source = random.Random(seed)
    grammar, lines, connection = Grammar(source), corpus(), world()
    while True:
        sql = grammar.statement()
        yield _tried(sql, connection, must_pass=not grammar.hostile, must_fail=grammar.hostile)
        yield _tried(spliced(source, lines), connection)


def _tried(
    sql: str, connection: duckdb.DuckDBPyConnection, *, must_pass: bool = False, must_fail: bool = False
) -> str | None:
    try:
        found = admitted(sql)
    except Refusal as refusal:
        return f"refused ({refusal.code}): {sql}" if must_pass and _is_sql(sql) else None
    if must_fail:
        return f"admitted: {sql}"
    try:
        bound_by_duckdb(found, connection)
    except AssertionError:
        return f"reads what was not granted: {sql}"
    except duckdb.Error:
        return None  # it does not bind, so it reads nothing
    return None


def _is_sql(sql: str) -> bool:
    """Whether DuckDB can read it at all; the grammar here is looser than its own."""
    try:
        return bool(duckdb.extract_statements(sql))
    except duckdb.Error:
        return False


if __name__ == "__main__":
    sys.exit(fuzzing.main(problems))
