"""The relations of a query as DuckDB in the cell sees them: views, under each name that the statement uses.

Twice: over empty tables, to learn from the plan what a statement reads; then over linked files and hot rows, to run
it. A relation is `wire.RelationSpec`; its number is its place in the broker's list.
"""

from __future__ import annotations

import duckdb
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.cell import hot_scan, plan
from traceplane.query.cell.answers.lossless import quoted
from traceplane.query.exact import checking, constants

INSTANT = pa.timestamp("us", tz="UTC")
ARROW_TYPES = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "TIMESTAMP WITH TIME ZONE": INSTANT,
    "BIGNUM": pa.string(),
}
"""The Arrow type of hot rows by the DuckDB type of their column."""


def planned(shadow: duckdb.DuckDBPyConnection, sql: str, relations: list[wire.RelationSpec]) -> plan.Plan:
    """The plan of `sql` over empty tables of the same shape, since what is read is chosen by it."""
    if not relations and not checking.concerns(constants.large(sql), ()):
        return plan.Plan(sql)  # nothing is read; a plan would hold the constants that it makes, whatever their size
    tables: dict[str, int] = {}
    for number, relation in enumerate(relations):
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in relation.columns)
        shadow.execute(f"CREATE TABLE __shadow_{number} ({columns})")
        tables[f"__shadow_{number}"] = number
        _create(shadow, relation, f"SELECT * FROM __shadow_{number}")
    kinds = {kind for relation in relations for _, kind in relation.columns}
    return plan.of(shadow, sql, tables, kinds, [relation.hexes for relation in relations])


def build(
    connection: duckdb.DuckDBPyConnection,
    folder: str,
    relations: list[wire.RelationSpec],
    run: wire.Run,
    broker: hot_scan.BrokerClient,
    planned: plan.Plan,
) -> None:
    """Make each relation of its linked files in `folder` and of the broker's hot rows."""
    for number, relation in enumerate(relations):
        digits = _digits(planned.filter_of(number))
        parts = [
            _cold(folder, f"{number}-{group}", relation, count, ranges, digits, planned.distinct)
            for group, (count, ranges) in enumerate(run.groups[number])
            if count
        ]
        if relation.hot:
            schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in relation.columns])
            hot = hot_scan.HotRelation(schema, number, broker, planned.filter_of(number))
            connection.register(f"__hot_{number}", hot)
            parts.append(f"SELECT {_hot_columns(relation, planned.joins)} FROM __hot_{number}")
        _create(connection, relation, " UNION ALL ".join(parts) or _empty(relation))


def _hot_columns(relation: wire.RelationSpec, joins: bool) -> str:
    """The columns of hot rows, as expressions where a join may want to filter by them.

    A join filters the scan of the other side by the values that it has seen: by one value, a range, a list, a Bloom
    filter, whatever pays. Of these an Arrow scan takes some and fails on others (duckdb-python issue 463), and only
    one value is sure to be of a kind that it takes. Through an expression none is pushed. This one is the column
    itself, at next to no cost; DuckDB sees through most that are shorter, and removes them.
    """
    return ", ".join(_hot_column(quoted(name), kind, joins) for name, kind in relation.columns)


def _hot_column(name: str, kind: str, joins: bool) -> str:
    if kind == "BIGNUM":
        return f"CAST({name} AS BIGNUM) AS {name}"
    return f"CASE WHEN {name} IS NOT NULL THEN {name} END AS {name}" if joins else name


def _create(connection: duckdb.DuckDBPyConnection, relation: wire.RelationSpec, select: str) -> None:
    """Make `select` a view under every name the statement uses for the relation."""
    for schema, table in relation.names:
        if schema:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        target = f"{quoted(schema)}." if schema else "main."
        connection.execute(f"CREATE VIEW {target}{quoted(table)} AS {select}")


def _cold(
    folder: str,
    prefix: str,
    relation: wire.RelationSpec,
    count: int,
    ranges: list[tuple[int, int]],
    digits: str,
    distinct: bool,
) -> str:
    """A SELECT over the files of one group: `count` of them, and of their rows those within `ranges`, or all, which
    the relation's `where` lets through; only those that fulfil `digits`, where it is given.

    `distinct`: the statement has IS DISTINCT FROM. Within an OR, DuckDB 1.5.5 takes that for false of a column that
    is NULL in all of a row group, and skips its rows. As expressions, columns have no statistics to be misread.
    """
    # Cast: a file has the types that it was written with, the relation those of the catalog.
    form = "CASE WHEN {0} IS NOT NULL THEN CAST({0} AS {1}) END AS {0}" if distinct else "CAST({0} AS {1}) AS {0}"
    columns = ", ".join(form.format(quoted(name), kind) for name, kind in relation.columns)
    files = ", ".join(f"'{folder}/{prefix}-{n}.parquet'" for n in range(count))
    scope = quoted(relation.scope_column)
    within = " OR ".join(f"{scope} BETWEEN {int(start)} AND {int(end)}" for start, end in ranges)
    conditions = [f"({condition})" for condition in (within, relation.where, digits) if condition]
    where = f" WHERE {' AND '.join(conditions)}" if conditions else ""
    return f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false){where}"


def _digits(tree: plan.Tree | None) -> str:
    """What a filter asks of 256-bit integers as they rest in files: text, of one form for each number. DuckDB casts
    no other row then, and leaves out row groups by it."""
    match tree:
        case ["and", left, right]:
            return " AND ".join(f"({part})" for part in (_digits(left), _digits(right)) if part)
        case ["or", left, right]:
            either = [_digits(left), _digits(right)]
            return f"({either[0]}) OR ({either[1]})" if all(either) else ""
        case ["=", ["field", name], ["whole", digits]]:
            return f"{quoted(name)} = '{digits}'"
        case ["in", ["field", name], [["whole", _], *_] as constants]:
            listed = ", ".join(f"'{digits}'" for _, digits in constants)
            return f"{quoted(name)} IN ({listed})"
    return ""


def _empty(relation: wire.RelationSpec) -> str:
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in relation.columns)
    return f"SELECT {columns} WHERE false"
