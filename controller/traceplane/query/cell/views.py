"""The relations of a query as DuckDB in the cell sees them: views, under each name that the statement uses.

Twice: over empty tables, to learn from the plan what a statement reads; then over linked files and hot rows, to run
it. A relation is `wire.RelationSpec`; its number is its place in the broker's list.
"""

from __future__ import annotations

from typing import Any

import duckdb
import orjson
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.cell import hot_scan
from traceplane.query.cell.answers.lossless import quoted

INSTANT = pa.timestamp("us", tz="UTC")
ARROW_TYPES = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "TIMESTAMP WITH TIME ZONE": INSTANT,
}
"""The Arrow type of hot rows by the DuckDB type of their column."""


def planned_scans(
    shadow: duckdb.DuckDBPyConnection, sql: str, relations: list[wire.RelationSpec]
) -> list[tuple[int, list[str]]]:
    """What the plan of `sql` scans: (relation, filters as DuckDB prints them) for each scan.

    Planned over empty tables of the same shape, since the files are linked only when it is known which are read.
    """
    if not any(relation.cold for relation in relations):
        return []
    tables: dict[str, int] = {}
    for number, relation in enumerate(relations):
        columns = ", ".join(f"{quoted(name)} {kind}" for name, kind in relation.columns)
        shadow.execute(f"CREATE TABLE __shadow_{number} ({columns})")
        tables[f"__shadow_{number}"] = number
        _create(shadow, relation, f"SELECT * FROM __shadow_{number}")
    row = shadow.execute("EXPLAIN (FORMAT json) " + sql).fetchone()
    return _scans(orjson.loads(row[1]) if row else [], tables)


def _scans(plan: list[Any], tables: dict[str, int]) -> list[tuple[int, list[str]]]:
    found: list[tuple[int, list[str]]] = []
    todo = list(plan)  # a stack of its own: a plan is as deep as its statement
    while todo:
        node = todo.pop()
        todo.extend(node.get("children", []))
        info = node.get("extra_info", {})
        table = str(info.get("Table", "")).rsplit(".", 1)[-1].strip('"') if isinstance(info, dict) else ""
        if table in tables:
            filters = info.get("Filters", [])
            # DuckDB prints a single filter as it is, and several as a list.
            found.append((tables[table], [filters] if isinstance(filters, str) else list(filters)))
    return found


def build(
    connection: duckdb.DuckDBPyConnection,
    folder: str,
    relations: list[wire.RelationSpec],
    run: wire.Run,
    broker: hot_scan.BrokerClient,
) -> None:
    """Make each relation of its linked files in `folder` and of the broker's hot rows."""
    for number, relation in enumerate(relations):
        parts = [
            _cold(folder, f"{number}-{group}", relation, count, ranges)
            for group, (count, ranges) in enumerate(run.groups[number])
            if count
        ]
        if relation.hot:
            schema = pa.schema([(name, ARROW_TYPES[kind]) for name, kind in relation.columns])
            connection.register(f"__hot_{number}", hot_scan.HotRelation(schema, number, broker))
            parts.append(f"SELECT {', '.join(quoted(name) for name, _ in relation.columns)} FROM __hot_{number}")
        _create(connection, relation, " UNION ALL ".join(parts) or _empty(relation))


def _create(connection: duckdb.DuckDBPyConnection, relation: wire.RelationSpec, select: str) -> None:
    """Make `select` a view under every name the statement uses for the relation."""
    for schema, table in relation.names:
        if schema:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {quoted(schema)}")
        target = f"{quoted(schema)}." if schema else "main."
        connection.execute(f"CREATE VIEW {target}{quoted(table)} AS {select}")


def _cold(folder: str, prefix: str, relation: wire.RelationSpec, count: int, ranges: list[tuple[int, int]]) -> str:
    """A SELECT over the files of one group: `count` of them, and of their rows those within `ranges`, or all."""
    # Cast: a file has the types that it was written with, the relation those of the catalog.
    columns = ", ".join(f"CAST({quoted(name)} AS {kind}) AS {quoted(name)}" for name, kind in relation.columns)
    files = ", ".join(f"'{folder}/{prefix}-{n}.parquet'" for n in range(count))
    scope = quoted(relation.scope_column)
    within = " OR ".join(f"{scope} BETWEEN {int(start)} AND {int(end)}" for start, end in ranges)
    where = f" WHERE {within}" if within else ""
    return f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false){where}"


def _empty(relation: wire.RelationSpec) -> str:
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {quoted(name)}" for name, kind in relation.columns)
    return f"SELECT {columns} WHERE false"
