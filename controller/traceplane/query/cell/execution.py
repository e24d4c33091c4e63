"""One query inside a cell, between the broker's first message and the answer.

1. `Prepare` brings the statement and the shapes of its relations. A second, separate DuckDB with empty tables of
   those shapes plans it; the filters of the scans go to the broker (`Scans`), which links only the files they
   can match.
2. `Run` brings the number of linked files. Views named as the user names the relations are made over the files and
   over the broker's hot rows, and the statement runs.
3. The answer leaves rendered, after one `Result`; one beyond the inline bounds leaves as the pieces of a Parquet
   file, before it. An error leaves as `Failed`, with its text only where that cannot speak of anything else.

Both databases are locked: their configuration is the cell's, whatever the statement says.
"""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator
from typing import Any

import duckdb
import orjson
import pyarrow as pa
from duckdb.sqltypes import DuckDBPyType

from traceplane.query import wire
from traceplane.query.cell import columnar, exact, export, hotscan, render

INSTANT = pa.timestamp("us", tz="UTC")
TYPES = {
    "BOOLEAN": pa.bool_(),
    "INTEGER": pa.int32(),
    "BIGINT": pa.int64(),
    "DOUBLE": pa.float64(),
    "VARCHAR": pa.string(),
    "TIMESTAMP WITH TIME ZONE": INSTANT,
}

_PASSED_ON = (
    duckdb.BinderException,
    duckdb.CatalogException,
    duckdb.ConversionException,
    duckdb.InvalidInputException,
    duckdb.InvalidTypeException,
    duckdb.NotImplementedException,
    duckdb.OutOfRangeException,
    duckdb.ParserException,
    duckdb.SyntaxException,
    duckdb.TypeMismatchException,
    columnar.Unheld,
)
"""Errors whose text speaks of the statement and of rows it reads, never of files or of this process. Who hears of
rows is decided outside: see `failures`."""


def serve(
    channel: socket.socket, folder: str, main_db: duckdb.DuckDBPyConnection, shadow: duckdb.DuckDBPyConnection
) -> None:
    """One query, from `Prepare` to its answer on `channel`. Raises Closed."""
    job, _ = wire.receive(channel, wire.Prepare)
    broker = hotscan.Broker(channel)
    try:
        wire.send(channel, wire.Scans(_scans(shadow, job)))
        run, _ = wire.receive(channel, wire.Run)
        _build(main_db, folder, job.relations, run, broker)
        result, body = _run(main_db, job, run.versions, broker)
        wire.send(channel, result)
    except wire.TooLong:
        wire.send(
            channel, wire.Failed("TooLong", "a constant, or the names and types of the columns, are too long")
        )
        return
    except wire.Closed:
        raise
    except Exception as error:  # whatever a statement's values do to Python or Arrow fails that statement only
        wire.send(channel, _failure(error, broker))
        return
    channel.sendall(body)


def _scans(shadow: duckdb.DuckDBPyConnection, job: wire.Prepare) -> list[tuple[int, list[str]]]:
    """The scans of relations with files, from the plan over empty tables of the same shape."""
    if not any(relation.cold for relation in job.relations):
        return []
    tables: dict[str, int] = {}
    for index, relation in enumerate(job.relations):
        columns = ", ".join(f"{exact.quoted(name)} {kind}" for name, kind in relation.columns)
        shadow.execute(f"CREATE TABLE __shadow_{index} ({columns})")
        tables[f"__shadow_{index}"] = index
        _views(shadow, relation, f"SELECT * FROM __shadow_{index}")
    row = shadow.execute("EXPLAIN (FORMAT json) " + job.sql).fetchone()
    found: list[tuple[int, list[str]]] = []
    _collect(orjson.loads(row[1]) if row else [], tables, found)
    return found


def _collect(plan: Any, tables: dict[str, int], found: list[tuple[int, list[str]]]) -> None:
    todo = list(plan)
    while todo:
        node = todo.pop()
        todo.extend(node.get("children", []))
        info = node.get("extra_info", {})
        table = str(info.get("Table", "")).rsplit(".", 1)[-1].strip('"') if isinstance(info, dict) else ""
        if table in tables:
            filters = info.get("Filters", [])
            found.append((tables[table], [filters] if isinstance(filters, str) else list(filters)))


def _views(connection: duckdb.DuckDBPyConnection, relation: wire.RelationSpec, select: str) -> None:
    """Make `select` known under every name the statement uses for the relation."""
    for schema, table in relation.names:
        if schema:
            connection.execute(f"CREATE SCHEMA IF NOT EXISTS {exact.quoted(schema)}")
        target = f"{exact.quoted(schema)}." if schema else "main."
        connection.execute(f"CREATE VIEW {target}{exact.quoted(table)} AS {select}")


def _build(
    connection: duckdb.DuckDBPyConnection,
    folder: str,
    relations: list[wire.RelationSpec],
    run: wire.Run,
    broker: hotscan.Broker,
) -> None:
    for index, relation in enumerate(relations):
        parts = [
            _cold(folder, f"{index}-{group}", relation, count, ranges)
            for group, (count, ranges) in enumerate(run.groups[index])
            if count
        ]
        if relation.hot:
            schema = pa.schema([(name, TYPES[kind]) for name, kind in relation.columns])
            connection.register(f"__hot_{index}", hotscan.HotRelation(schema, index, broker))
            parts.append(
                f"SELECT {', '.join(exact.quoted(name) for name, _ in relation.columns)} FROM __hot_{index}"
            )
        _views(connection, relation, " UNION ALL ".join(parts) or _nothing(relation))


def _cold(folder: str, prefix: str, relation: wire.RelationSpec, count: int, ranges: list[tuple[int, int]]) -> str:
    columns = ", ".join(
        f"CAST({exact.quoted(name)} AS {kind}) AS {exact.quoted(name)}" for name, kind in relation.columns
    )
    files = ", ".join(f"'{folder}/{prefix}-{n}.parquet'" for n in range(count))
    scope = exact.quoted(relation.scope_column)
    within = " OR ".join(f"{scope} BETWEEN {int(start)} AND {int(end)}" for start, end in ranges)
    where = f" WHERE {within}" if within else ""
    return f"SELECT {columns} FROM read_parquet([{files}], hive_partitioning = false){where}"


def _nothing(relation: wire.RelationSpec) -> str:
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {exact.quoted(name)}" for name, kind in relation.columns)
    return f"SELECT {columns} WHERE false"


def _run(
    connection: duckdb.DuckDBPyConnection, job: wire.Prepare, versions: str, broker: hotscan.Broker
) -> tuple[wire.Result, bytes]:
    relation = connection.sql(job.sql)
    names, types = list(relation.columns), list(relation.types)
    columns = [(name, str(kind)) for name, kind in zip(names, types, strict=True)]
    schema, rest = exact.read(relation)
    seen: list[pa.RecordBatch] = []
    batches = pa.RecordBatchReader.from_batches(schema, _remembered(rest, seen))
    out = _rendered(job, names, types, batches, versions)
    if out.truncated and job.max_export_bytes:
        with columnar.parquet_of(list(zip(names, types, strict=True))):
            rows = export.export(broker.piece, schema, itertools.chain(seen, rest), versions, job.max_export_bytes)
        return wire.Result(columns=columns, rows=rows, truncated=False, size=0), b""
    result = wire.Result(columns=columns, rows=out.rows, truncated=out.truncated, size=len(out.body))
    return result, out.body


def _rendered(
    job: wire.Prepare,
    names: list[str],
    types: list[DuckDBPyType],
    batches: pa.RecordBatchReader,
    versions: str,
) -> render.Rendered:
    bounds = {"max_rows": job.max_rows, "max_bytes": job.max_bytes}
    if job.format == "parquet":
        with columnar.parquet_of(list(zip(names, types, strict=True))):
            return columnar.columns_as(job.format, batches, versions, **bounds)
    if job.format in columnar.FORMS:
        return columnar.columns_as(job.format, batches, versions, **bounds)
    return render.rows_as(job.format, names, types, batches, **bounds)


def _remembered(batches: pa.RecordBatchReader, seen: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    """The batches, each kept in `seen`: what was rendered in vain is exported after all."""
    for batch in batches:
        seen.append(batch)
        yield batch


def _failure(error: BaseException, broker: hotscan.Broker) -> wire.Failed:
    if broker.error is not None:
        return wire.Failed("HotRows", broker.error)
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException)) or "bad_alloc" in str(error):
        return wire.Failed("OutOfMemory", "")
    if isinstance(error, export.ExportTooLarge):
        return wire.Failed("ExportTooLarge", "")
    if isinstance(error, _PASSED_ON):
        text = str(error).split("\n\nStack Trace", 1)[0]
        return wire.Failed(type(error).__name__, re.sub(r"__(hot|shadow)_\d+", "relation", text)[:1000])
    return wire.Failed(type(error).__name__, "")
