"""One query inside a cell, between the broker's first message and the answer.

1. `Prepare` brings the statement and the shapes of its relations. A second, separate DuckDB plans it over empty
   tables (`plan`); the filters of its scans go to the broker (`Scans`), which links only the files they can match.
2. `Run` brings the number of linked files. Views are made over them and over the broker's hot rows, and the
   statement runs.
3. The answer leaves rendered, after one `Result`; one beyond the inline bounds leaves as the pieces of a Parquet
   file, before it. An error leaves as `Failed`, with its text only where that cannot speak of anything else.

Both databases are locked: their configuration is the cell's, whatever the statement says.
"""

from __future__ import annotations

import itertools
import re
import socket
from collections.abc import Iterator

import duckdb
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.cell import catalog, hot_scan, plan, views
from traceplane.query.cell.answers import columnar, export, lossless, rows
from traceplane.query.exact import checking, spelling

MAX_TEXT = 1000
"""Characters of an error's text."""

_PLACES = re.compile(r"\n\n(?:Stack Trace|At:\n)")
"""From here on DuckDB says where in its code, or in that of the cell, an error was made."""
_IN_PYTHON = "Python exception occurred while executing the UDF: ValueError: "

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
    columnar.NotInParquet,
    checking.Inexact,
    spelling.NeverEqual,
    lossless.TooManyDigits,
)
"""Errors whose text speaks of the statement and of rows it reads, never of files or of this process. Which callers
may see rows is decided in the broker, see its `failures`."""


def serve(
    channel: socket.socket, folder: str, main_db: duckdb.DuckDBPyConnection, shadow: duckdb.DuckDBPyConnection
) -> None:
    """One query, from `Prepare` to its answer on `channel`. Raises Closed."""
    query, _ = wire.receive(channel, wire.Prepare)
    broker = hot_scan.BrokerClient(channel)
    try:
        if query.catalog is not None:
            catalog.shape(shadow)
            catalog.fill(main_db, query.catalog)
        planned = views.planned(shadow, query.sql, query.relations)
        wire.send(channel, wire.Scans(list(planned.scans)))
        run, _ = wire.receive(channel, wire.Run)
        views.build(main_db, folder, query.relations, run, broker, planned)
        result, body = _run(main_db, query, planned, run.versions, broker)
        wire.send(channel, result)
    except wire.TooLong:
        text = "a constant, or the names and types of the columns, are too long"
        wire.send(channel, wire.Failed("TooLong", text))
        return
    except wire.Closed:
        raise
    except Exception as error:  # whatever a statement's values do to Python or Arrow fails that statement only
        wire.send(channel, _failure(error, broker))
        return
    channel.sendall(body)


def _run(
    connection: duckdb.DuckDBPyConnection,
    query: wire.Prepare,
    planned: plan.Plan,
    versions: str,
    broker: hot_scan.BrokerClient,
) -> tuple[wire.Result, bytes]:
    """Run the statement; the end of the answer, and its rendered rows where they were not exported."""
    relation = connection.sql(planned.sql)
    names = planned.names or relation.columns
    columns = list(zip(names, relation.types, strict=True))
    described = [(name, str(kind)) for name, kind in columns]
    schema, rest = lossless.read(relation, names)
    # Batches that were rendered in vain are exported after all, so they are kept until it is known that they fit.
    seen: list[pa.RecordBatch] = []
    batches = pa.RecordBatchReader.from_batches(schema, _kept(rest, seen))
    bounds = {"max_rows": query.max_rows, "max_bytes": query.max_bytes}
    if query.format in columnar.FORMATS:
        answer = columnar.render(query.format, columns, batches, versions, **bounds)
    else:
        answer = rows.render(query.format, columns, batches, **bounds)
    if answer.truncated and query.max_export_bytes:
        everything, most = itertools.chain(seen, rest), query.max_export_bytes
        count = export.export(broker.send_piece, columns, schema, everything, versions, most)
        return wire.Result(columns=described, rows=count, truncated=False, size=0), b""
    result = wire.Result(columns=described, rows=answer.rows, truncated=answer.truncated, size=len(answer.body))
    return result, answer.body


def _kept(batches: Iterator[pa.RecordBatch], seen: list[pa.RecordBatch]) -> Iterator[pa.RecordBatch]:
    for batch in batches:
        seen.append(batch)
        yield batch


def _failure(error: BaseException, broker: hot_scan.BrokerClient) -> wire.Failed:
    if broker.error is not None:  # DuckDB wraps it in an error of its own
        return wire.Failed("HotRows", broker.error)
    if isinstance(error, (MemoryError, duckdb.OutOfMemoryException)) or "bad_alloc" in str(error):
        return wire.Failed("OutOfMemory", "")
    if isinstance(error, export.ExportTooLarge):
        return wire.Failed("ExportTooLarge", "")
    if isinstance(error, _PASSED_ON):
        text = _PLACES.split(str(error), maxsplit=1)[0].replace(_IN_PYTHON, "")
        # The caller knows a relation by its name and not by the table that stands for it here.
        text = re.sub(r"__(hot|shadow)_\d+", "relation", text).replace(wire.CATALOG_SCHEMA, "information_schema")
        return wire.Failed(type(error).__name__, text[:MAX_TEXT])
    return wire.Failed(type(error).__name__, "")
