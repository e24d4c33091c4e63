"""Grows statements over blocks, transactions and logs whose answer is one whatever the plan.

So rows are ordered by everything wherever they are cut, windows by a key, and nothing is cast that may fail. A
256-bit integer stands where plain DuckDB is exact too: it rounds elsewhere, and has `-` of one operand wrong.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Sequence
from typing import NamedTuple

import pyarrow as pa

from operators.chain import schemas
from tests.integration.query.answers.nodes import Form, Many, Node
from tests.integration.query.answers.rows import TIERS, columns_of
from traceplane_sdk.columns import ColumnType

DEPTH = 2
_WHOLE, _LARGE, _HEX, _TIME, _JSON = "whole", "large", "hex", "time", "json"
_TYPES = {
    ColumnType.INT32: _WHOLE,
    ColumnType.INT64: _WHOLE,
    ColumnType.UINT256: _LARGE,
    ColumnType.HEX: _HEX,
    ColumnType.TIMESTAMP: _TIME,
    ColumnType.JSON: _JSON,
}
_KEYS = {
    "blocks": ("block_number",),
    "transactions": ("block_number", "transaction_index"),
    "logs": ("block_number", "log_index"),
}
_SHARED = ("block_number", "block_hash", "block_timestamp", "transaction_hash", "transaction_index")
"""Columns that rows of two tables are joined by."""
_COMPARED = ("=", "<>", "<", "<=", ">", ">=", "IS DISTINCT FROM", "IS NOT DISTINCT FROM")


class Column(NamedTuple):
    """A column as a statement names it, and values that occur in it, as literals."""

    text: str
    kind: str
    values: Sequence[str]


class Source(NamedTuple):
    """A relation in FROM, by its alias."""

    alias: str
    table: str


Scope = tuple[Source, ...]


class Grammar:
    """Grows statements from `source`, over `tables` by name."""

    def __init__(self, source: random.Random, tables: dict[str, pa.Table]) -> None:
        self._random = source
        self._columns = {name: _columns(name, table) for name, table in tables.items()}
        self._tiers: Sequence[str] = tuple(TIERS)
        self._aliases = 0

    def statement(self) -> Node:
        """A whole statement: of one tier mostly, and now and then over all."""
        self._tiers = self._random.choice([*((tier,) for tier in TIERS), tuple(TIERS)])
        self._aliases = 0
        shape = self._one(self._plain, self._grouped, self._windowed, self._combined, self._with, self._distinct)
        return shape(DEPTH)

    def _one(self, *choices: Callable[[int], Node]) -> Callable[[int], Node]:
        return self._random.choice(choices)

    # Statements

    def _plain(self, depth: int) -> Node:
        scope, parts = self._from(depth)
        items = [Form(self._column(scope).text) for _ in range(self._random.randint(1, 3))]
        limit = Form(f" LIMIT {self._random.choice((1, 5, 40))}", instead=("",))
        return Form("{0}{1}{2} ORDER BY ALL{3}", (_select(items), *parts, limit))

    def _grouped(self, depth: int) -> Node:
        scope, parts = self._from(depth)
        items = [self._aggregate(scope) for _ in range(self._random.randint(1, 3))]
        keys = [self._key(scope) for _ in range(self._random.randrange(3))]
        select = _select([*keys, *items])
        group = Many(" GROUP BY ", ", ", tuple(Form(str(place + 1)) for place in range(len(keys))))
        if not keys:
            return Form("{0}{1}{2}", (select, *parts))
        if self._random.random() < 0.2:
            group = Many(" GROUP BY ROLLUP (", ", ", (*group.parts[:-1], Form(f"{len(keys)})")))
        having = Form(f" HAVING count(*) > {self._random.choice((1, 2, 9))}", instead=("",))
        if self._random.random() < 0.5:
            having = Form("")
        return Form("{0}{1}{2}{3}{4}", (select, *parts, group, having))

    def _windowed(self, depth: int) -> Node:
        source = self._source()
        keys = ", ".join(f"{source.alias}.{name}" for name in _KEYS[source.table])
        column = self._column((source,), self._random.choice((_WHOLE, _LARGE)))
        other = self._column((source,))
        call = self._random.choice(
            (
                f"row_number() OVER (PARTITION BY {other.text} ORDER BY {keys})",
                f"rank() OVER (ORDER BY {other.text})",
                f"dense_rank() OVER (PARTITION BY {column.text} ORDER BY {other.text})",
                f"lag({column.text}) OVER (ORDER BY {keys})",
                f"{column.text} - lead({column.text}, 2) OVER (ORDER BY {keys})",
                f"sum({column.text}) OVER (ORDER BY {keys} ROWS BETWEEN 3 PRECEDING AND CURRENT ROW)",
                f"first_value({other.text}) OVER (PARTITION BY {column.text} ORDER BY {keys})",
                f"count(*) OVER (PARTITION BY {other.text})",
                f"max({other.text}) OVER (ORDER BY {keys} ROWS UNBOUNDED PRECEDING)",
                f"ntile(4) OVER (ORDER BY {keys})",
            )
        )
        where = self._where((source,), depth)
        qualify = Form(f" QUALIFY row_number() OVER (PARTITION BY {other.text} ORDER BY {keys} DESC) = 1")
        last = self._random.choice((Form(""), qualify))
        items = _select([Form(keys), Form(f"{call} AS w")])
        return Form("{0} FROM {1}{2}{3} ORDER BY ALL LIMIT 50", (items, _named(source, self._tier()), where, last))

    def _combined(self, depth: int) -> Node:
        kind = self._random.choice((_WHOLE, _LARGE, _HEX, _TIME))
        word = self._random.choice(
            ("UNION", "UNION ALL", "INTERSECT", "INTERSECT ALL", "EXCEPT", "EXCEPT ALL", "UNION ALL BY NAME")
        )
        arms = []
        for _ in range(2):
            scope, parts = self._from(depth - 1, joins=False)
            arms.append(Form("SELECT {0} AS v{1}{2}", (Form(self._column(scope, kind).text), *parts)))
        return Form(
            "SELECT count(*), count(DISTINCT v), min(v), max(v) FROM (({0}) " + word + " ({1}))", tuple(arms)
        )

    def _with(self, depth: int) -> Node:
        name = f"c{self._random.randrange(9)}"
        source = self._source()
        inner = self._where((source,), depth - 1)
        column = self._column((source,), _WHOLE).text.partition(".")[2]
        body = Form("SELECT * FROM {0}{1}", (_named(source, self._tier()), inner))
        kept = self._random.choice(("", " MATERIALIZED", " NOT MATERIALIZED"))
        use = self._random.choice(
            (
                f"SELECT count(*), max(a.block_number) FROM {name} a JOIN {name} b USING ({column})",
                f"SELECT count(*) FROM {name} WHERE {column} = (SELECT max({column}) FROM {name})",
                f"SELECT {column}, count(*) FROM {name} GROUP BY 1",
                f"SELECT count(*) FROM {name} a WHERE NOT EXISTS"
                f" (FROM {name} b WHERE b.block_number = a.block_number + 1)",
            )
        )
        return Form(f"WITH {name} AS{kept} ({{0}}) {use}", (body,))

    def _distinct(self, depth: int) -> Node:
        scope, parts = self._from(depth, joins=False)
        one, two = self._column(scope), self._column(scope)
        keys = ", ".join(f"{scope[0].alias}.{name}" for name in _KEYS[scope[0].table])
        head = self._random.choice(
            (f"SELECT DISTINCT {one.text}, {two.text}", f"SELECT DISTINCT ON ({one.text}) {one.text}, {keys}")
        )
        order = f" ORDER BY {one.text}, {keys}" if " ON " in head else " ORDER BY ALL"
        return Form(head + "{0}{1}" + order, parts)

    # FROM and WHERE

    def _from(self, depth: int, *, joins: bool = True) -> tuple[Scope, tuple[Node, Node]]:
        source = self._source()
        named = _named(source, self._tier())
        if not joins or self._random.random() < 0.4:
            return (source,), (Form(" FROM {0}", (named,)), self._where((source,), depth))
        return self._join(source, named, depth)

    def _join(self, left: Source, named: Node, depth: int) -> tuple[Scope, tuple[Node, Node]]:
        right = self._source()
        word = self._random.choice(("JOIN", "LEFT JOIN", "RIGHT JOIN", "FULL JOIN", "SEMI JOIN", "ANTI JOIN"))
        on = self._random.choice(self._common(left, right))
        condition = f"{left.alias}.{on} = {right.alias}.{on}"
        more = ""
        if self._random.random() < 0.3:
            kinds = (_WHOLE, _LARGE)
            one = self._column((left,), self._random.choice(kinds))
            two = self._column((right,), self._random.choice(kinds))
            more = f" AND {one.text} {self._random.choice(('<', '>=', '<>', '='))} {two.text}"
        if self._random.random() < 0.15:
            word, condition, more = "ASOF JOIN", f"{left.alias}.{on} >= {right.alias}.{on}", ""
            condition = f"{left.alias}.block_number >= {right.alias}.block_number"
            right = Source(right.alias, "blocks")  # an ASOF JOIN takes one of equal rows: here there are none
        scope: Scope = (left,) if word in ("SEMI JOIN", "ANTI JOIN") else (left, right)
        joined = Form(
            f" FROM {{0}} {word} {{1}} ON {condition}{{2}}",
            (named, _named(right, self._tier()), Form(more, instead=("",))),
        )
        return scope, (joined, self._where(scope, depth))

    def _common(self, left: Source, right: Source) -> list[str]:
        here, there = self._columns[left.table], self._columns[right.table]
        return [name for name in _SHARED if name in here and name in there]

    def _where(self, scope: Scope, depth: int) -> Many:
        parts = tuple(self._condition(scope, depth) for _ in range(self._random.randrange(4)))
        return Many(" WHERE ", " AND ", parts)

    def _condition(self, scope: Scope, depth: int) -> Node:
        chance = self._random.random()
        if depth > 0 and chance < 0.25:
            return self._subquery(scope, depth - 1)
        if depth > 0 and chance < 0.5:
            parts = tuple(self._condition(scope, depth - 1) for _ in range(2))
            whole = Many("", " OR ", parts, least=1)
            return Form(self._random.choice(("({0})", "({0})", "NOT ({0})")), (whole,))
        if chance < 0.6:
            kind = self._random.choice((_WHOLE, _LARGE, _HEX))
            one, two = self._column(scope, kind), self._column(scope, kind)
            return Form(f"{one.text} {self._random.choice(_COMPARED)} {two.text}")
        column = self._column(scope)
        return Form(getattr(self, f"_of_{column.kind}")(column))

    def _subquery(self, scope: Scope, depth: int) -> Node:
        inner = self._source()
        outer = self._random.choice(scope)
        on = self._random.choice(self._common(outer, inner))
        relation, where = _named(inner, self._tier()), self._where((inner,), depth)
        if self._random.random() < 0.5:
            word = self._random.choice(("IN", "NOT IN"))
            text = f"{outer.alias}.{on} {word} (SELECT {inner.alias}.{on} FROM {{0}}{{1}})"
        elif self._random.random() < 0.5:
            word = self._random.choice(("EXISTS", "NOT EXISTS"))
            also = Many("", " AND ", (Form(f"{outer.alias}.{on} = {inner.alias}.{on}"), *where.parts))
            return Form(word + " (SELECT 1 FROM {0} WHERE {1})", (relation, also))
        else:
            word = self._random.choice(("=", "<", ">", ">=", "<="))
            call = self._random.choice(("max", "min"))
            text = f"{outer.alias}.{on} {word} (SELECT {call}({inner.alias}.{on}) FROM {{0}}{{1}})"
        return Form(text, (relation, where))

    # Predicates by type

    def _of_whole(self, column: Column) -> str:
        name, value, other = column.text, self._value(column), self._value(column)
        return self._random.choice(
            (
                f"{name} {self._random.choice(_COMPARED)} {value}",
                f"{name} BETWEEN {value} AND {other}",
                f"{name} IN ({value}, {other}, 5)",
                f"{name} NOT IN ({value}, {other})",
                f"{name} IN ({value}, NULL)",
                f"{name} IS NULL",
                f"{name} IS NOT NULL",
                f"{name} % 3 = 1",
                f"{name} + 1 > {value}",
                f"{name} > {value} - 0.5",
                f"{name}::DOUBLE >= {value}",
                f"-{name} < {value}",
                f"coalesce({name}, 0) = {value}",
                f"{name} > {value} OR {name} IS DISTINCT FROM {other}",
            )
        )

    def _of_large(self, column: Column) -> str:
        name, value, other = column.text, self._value(column), self._value(column)
        return self._random.choice(
            (
                f"{name} {self._random.choice(_COMPARED)} {value}",
                f"{value} {self._random.choice(_COMPARED)} {name}",
                f"{name} BETWEEN {value} AND {other}",
                f"{name} NOT BETWEEN {value} AND {other}",
                f"{name} IN ({value}, {other}, 5)",
                f"{name} NOT IN ({value}, {other})",
                f"{name} IN ({value}, NULL)",
                f"{name} IS NULL",
                f"{name} IS NOT NULL",
                f"{name} + 1 > {value}",
                f"{name} - {value} < 0",
                f"{name} > {value}::BIGNUM + 7",
                f"{name}::DOUBLE >= {value}::BIGNUM::DOUBLE",
                f"{name}::VARCHAR LIKE '1%'",
                f"coalesce({name}, 0) = {value}",
                f"greatest({name}, {value}) = {value}",
                f"{name} > {value} OR {name} IS DISTINCT FROM {other}",
                f"{name} = {value} OR {name} IS NULL",
            )
        )

    def _of_hex(self, column: Column) -> str:
        name, value, other = column.text, self._value(column), self._value(column)
        start = value.rstrip("'")[: self._random.choice((3, 4, 5, 12))]
        return self._random.choice(
            (
                f"{name} {self._random.choice(_COMPARED)} {value}",
                f"{name} BETWEEN {value} AND {other}",
                f"{name} IN ({value}, {other})",
                f"{name} NOT IN ({value}, {other})",
                f"{name} IS NULL",
                f"{name} IS NOT NULL",
                f"{name} LIKE {start}%'",
                f"{name} NOT LIKE '%{start[-2:]}%'",
                f"starts_with({name}, {start}')",
                f"length({name}) > 2",
                f"substr({name}, 3, 1) >= '8'",
                f"upper({name}) = upper({value})",
                f"{name} > {value} OR {name} IS DISTINCT FROM {other}",
                f"{name} = {value} OR {name} IS NULL",
            )
        )

    def _of_time(self, column: Column) -> str:
        name, value, other = column.text, self._value(column), self._value(column)
        return self._random.choice(
            (
                f"{name} {self._random.choice(_COMPARED)} {value}",
                f"{name} BETWEEN {value} AND {other}",
                f"{name} IN ({value}, {other})",
                f"{name} NOT IN ({value}, {other})",
                f"{name} < 'infinity'",
                f"{name} IN ({value}, TIMESTAMPTZ 'infinity')",
                f"date_trunc('minute', {name}) = date_trunc('minute', {value})",
                f"{name}::DATE = DATE '2026-01-01'",
                f"extract(second FROM {name}) >= 30",
                f"epoch({name}) > epoch({value})",
                f"{name} + INTERVAL 1 MINUTE > {value}",
                f"{name} IS DISTINCT FROM {value} OR {name} = {other}",
            )
        )

    def _of_json(self, column: Column) -> str:
        name, value = column.text, self._value(column)
        return self._random.choice(
            (
                f"{name} IS NULL",
                f"json_array_length({name}) > 0",
                f"{name} = {value}",
                f"({name}->>'$[0]') IS NOT NULL",
                f"length({name}) < 40",
            )
        )

    # Expressions

    def _aggregate(self, scope: Scope) -> Node:
        column, whole = self._column(scope), self._column(scope, _WHOLE)
        hexes, condition = self._column(scope, _HEX), self._column(scope)
        large = self._column(scope, self._random.choice((_WHOLE, _LARGE)))
        call = self._random.choice(
            (
                "count(*)",
                f"count({column.text})",
                f"count(DISTINCT {column.text})",
                f"min({column.text})",
                f"max({column.text})",
                f"sum({whole.text})",
                f"sum({large.text})",
                f"sum(DISTINCT {large.text} + 1)",
                f"max({large.text}) - min({large.text})",
                f"avg({large.text}::DOUBLE)",
                f"quantile_disc({large.text}, 0.9)",
                f"list(DISTINCT {large.text} ORDER BY {large.text} DESC)[1:5]",
                f"sum({whole.text} * 3 - 1)",
                f"avg({whole.text})",
                f"median({whole.text})",
                f"quantile_disc({whole.text}, 0.9)",
                f"stddev_samp({whole.text})",
                f"bool_or({whole.text} > 2)",
                f"string_agg(DISTINCT substr({hexes.text}, 1, 4), ',' ORDER BY substr({hexes.text}, 1, 4))",
                f"list(DISTINCT {whole.text} ORDER BY {whole.text})[1:5]",
            )
        )
        some = f"{call} FILTER (WHERE {getattr(self, f'_of_{condition.kind}')(condition)})"
        return Form(some if self._random.random() < 0.2 else call, instead=("count(*)",))

    def _key(self, scope: Scope) -> Node:
        column = self._column(scope)
        if column.kind == _TIME:
            return Form(self._random.choice((f"date_trunc('minute', {column.text})", column.text)))
        if column.kind == _HEX:
            return Form(self._random.choice((f"substr({column.text}, 3, 1)", column.text)))
        return Form(column.text)

    def _source(self) -> Source:
        self._aliases += 1
        return Source(f"t{self._aliases}", self._random.choice(schemas.OUTPUTS))

    def _tier(self) -> str:
        return self._random.choice(self._tiers)

    def _column(self, scope: Scope, kind: str | None = None) -> Column:
        source = self._random.choice(scope)
        every = self._columns[source.table].values()
        columns = [c for c in every if kind is None or c.kind == kind] or [c for c in every if c.kind == _WHOLE]
        column = self._random.choice(columns)
        return column._replace(text=f"{source.alias}.{column.text}")

    def _value(self, column: Column) -> str:
        return self._random.choice(column.values)


def _select(items: Sequence[Node]) -> Many:
    return Many("SELECT ", ", ", tuple(items), least=1)


def _named(source: Source, tier: str) -> Form:
    """A relation of a tier; the plainer ones may stand for it."""
    return Form(f"{tier}{source.table} {source.alias}", instead=(f"hot_{source.table} {source.alias}",))


def _columns(name: str, table: pa.Table) -> dict[str, Column]:
    found = {}
    for column in columns_of(name):
        kind = _TYPES.get(column.type)
        if kind is not None:
            values = sorted(
                {_literal(kind, value) for value in table[column.name].to_pylist() if value is not None}
            )
            found[column.name] = Column(column.name, kind, values)
    return found


def _literal(kind: str, value: object) -> str:
    if kind == _WHOLE:
        return str(value)
    if kind == _LARGE:  # more digits than DuckDB reads as a whole number are text
        return str(value) if int(str(value)) < 2**127 else f"'{value}'"
    return f"TIMESTAMPTZ '{value}'" if kind == _TIME else f"'{value}'"
