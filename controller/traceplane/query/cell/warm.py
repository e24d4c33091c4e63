"""What the first query of a process would pay for, paid before there is a query: opening, and a rehearsal.

Opening DuckDB, its first plan, its first Parquet file and its first Arrow batch take 20 ms together, most of it
filling catalogs and touching memory. So the zygote opens the two databases of a cell and rehearses a query on them,
and cells inherit both by their fork.

What a fork inherits it shares until it writes, and each page costs it at its first touch. So a cell rehearses once
more while it waits, confined as it will be for the query.
"""

from __future__ import annotations

import socket
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import NamedTuple, Self

import duckdb
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.cell import execution, hot_scan, views
from traceplane.query.exact import u256

_COLUMNS = [("height", "BIGINT"), *((f"c{n}", kind) for n, kind in enumerate(views.ARROW_TYPES))]
_NAME = "rehearsal"
_SQL = f"""
SELECT count(*) AS n, max(c5) AS latest, lower(c4) AS text, sum(u256_mul(c6, 2)) AS total
FROM {_NAME} WHERE height = 1 GROUP BY ALL"""


class Databases(NamedTuple):
    """`main` runs the statement; `shadow` holds empty tables, over which it is planned first; `file` is what both
    were rehearsed with."""

    main: duckdb.DuckDBPyConnection
    shadow: duckdb.DuckDBPyConnection
    file: Path


def opened(folder: Path) -> Databases:
    """Both databases, rehearsed once. `folder` is empty and may be written to; its file stays for the cells.

    Whatever reads files at its first use is used here: a confined cell could not.
    """
    hot_scan.trace_filters()
    # Where there is none, DuckDB searches for it with each statement; so it knows at once that there is none.
    sys.modules.setdefault("pandas", None)  # type: ignore[arg-type]
    pa.array([datetime.now(UTC)], views.INSTANT).to_pylist()  # its first use reads files of time zones
    file = folder / "0-0-0.parquet"
    databases = Databases(_database(), _database(), file)
    u256.install(databases.main)
    u256.install(databases.shadow, planning=True)
    for connection in (databases.main, databases.shadow):
        connection.execute("FROM duckdb_secrets()").fetchall()  # its first use reads a folder
    columns = ", ".join(f"CAST(NULL AS {kind}) AS {name}" for name, kind in _COLUMNS[1:])
    databases.main.execute(f"COPY (SELECT 1::BIGINT AS height, {columns}) TO '{file}'")
    for form in ("json", "csv", "arrow", "parquet"):
        with Rehearsal(form) as rehearsal:
            rehearsal.run(databases)
    return databases


class Rehearsal:
    """A query over the file of `Databases`, of which the broker's messages are sent in advance.

    Its sockets are made here, so that `run` needs no more of the system than a query does.
    """

    def __init__(self, form: str) -> None:
        relation = wire.RelationSpec(
            names=[("", _NAME), ("before", _NAME)], columns=_COLUMNS, hot=False, cold=True, scope_column="height"
        )
        self._cell, self._broker = socket.socketpair()
        prepare = wire.Prepare(sql=_SQL, relations=[relation], format=form, max_rows=10, max_bytes=4096)
        wire.send(self._broker, prepare)
        wire.send(self._broker, wire.Run([[(1, [(0, 1)])]], "[]"))

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self._cell.close()
        self._broker.close()

    def run(self, databases: Databases) -> None:
        """Rehearse, and leave both databases as they were. Raises RuntimeError where the query fails."""
        main, shadow, file = databases
        with _rolled_back(shadow), _rolled_back(main):
            execution.serve(self._cell, str(file.parent), main, shadow)
            while not isinstance(message := wire.receive(self._broker, wire.FromCell)[0], wire.Result):
                if isinstance(message, wire.Failed):
                    raise RuntimeError(f"{message.kind}: {message.message}")


@contextmanager
def _rolled_back(connection: duckdb.DuckDBPyConnection) -> Iterator[None]:
    connection.execute("BEGIN")
    try:
        yield
    finally:
        connection.execute("ROLLBACK")


def _database() -> duckdb.DuckDBPyConnection:
    return duckdb.connect(
        config={
            "threads": 1,  # a DuckDB of one thread starts none, so that a fork gets it whole, with no lock held
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        }
    )
