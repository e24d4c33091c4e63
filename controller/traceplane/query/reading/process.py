"""The process that reads foreign files: confined like a cell, for one set of files, and then it ends.

A parser of files that anybody may write must hold nothing worth taking. So it has an empty environment, one socket,
one folder that it may read, and the kernel's sandboxes (`sandbox.confine`); rows leave it as Arrow, and the process
that started it writes them.
"""

from __future__ import annotations

import contextlib
import os
import socket
from pathlib import Path
from typing import Any

import duckdb
import pyarrow as pa

from traceplane.query import wire
from traceplane.query.reading import rows
from traceplane.query.reading.messages import Bad, BadContent, End, Found, Read, ReadColumn, Ready, Rows, SourceFile
from traceplane.query.sandbox import confine

CPU_SECONDS = 900
MEMORY_BYTES = 192 * 1024 * 1024
"""What DuckDB may use; rows are streamed, so it is for one batch and the parsers."""
_ROOM = wire.MAX_FRAME - 64 * 1024

_WARM = Read(
    files=[
        SourceFile("warm.csv", "warm.csv", "csv", False),
        SourceFile("warm.json", "warm.json", "json", False),
        SourceFile("warm.parquet", "warm.parquet", "parquet", False),
    ],
    columns=[ReadColumn("n", "Int64", True), ReadColumn("seen", "Timestamp", True), ReadColumn("to", "Hex", True)],
    forms={"Hex": "^0x[0-9a-f]*$"},
    quoted_nulls=True,
    max_rows=100,
)


def main(descriptor: int, folder: str) -> None:
    """Be the process, with the process that started it on file descriptor `descriptor`; `folder` has the files."""
    confine.prefer_for_oom_kill()
    confine.undumpable()  # after it: files in /proc of an undumpable process belong to root
    # Importing DuckDB started a thread, and Landlock binds only the thread that applies it. A fork has one thread.
    reader = os.fork()
    if reader:
        os.close(descriptor)
        os.waitpid(reader, 0)
        return
    log = confine.Log()
    try:
        confine.die_with_parent()
        log.detach()
        _serve(socket.socket(fileno=descriptor), folder, log)
    except BaseException as error:  # logged here: Python's own traceback would open files, which is forbidden now
        with contextlib.suppress(OSError):
            log.write(f"the reader's process: {type(error).__name__}")
        os._exit(1)
    os._exit(0)


def _serve(channel: socket.socket, folder: str, log: confine.Log) -> None:
    connection = _connection(folder)
    _rehearse(connection, folder)
    connection.execute("SET enable_external_access = false")
    connection.execute("SET lock_configuration = true")
    confine.confine(folder, memory_bytes=MEMORY_BYTES, cpu_seconds=CPU_SECONDS, slack_bytes=confine.slack(1))
    log.close()
    with contextlib.suppress(wire.Closed):
        wire.send(channel, Ready())
        wanted, _ = wire.receive(channel, Read)
        try:
            files, columns = rows.look(connection, folder, wanted)
            wire.send(channel, Found(columns))
            count = 0
            for batch in rows.batches(connection, files, columns, wanted):
                _send(channel, batch)
                count += batch.num_rows
            wire.send(channel, End(count))
        except BadContent as bad:
            wire.send(channel, Bad(bad.code, bad.message))
        except (MemoryError, duckdb.OutOfMemoryException):
            wire.send(channel, Bad("TooLarge", "the rows take too much memory; split the files"))


def _connection(folder: str) -> duckdb.DuckDBPyConnection:
    connection = duckdb.connect(
        config={
            "threads": 1,  # rows stay in the order of the file
            "temp_directory": "",
            "autoinstall_known_extensions": False,
            "autoload_known_extensions": False,
            "allow_persistent_secrets": False,
            "python_enable_replacements": False,
        }
    )
    connection.execute("SET TimeZone = 'UTC'")
    connection.execute(f"SET memory_limit = '{MEMORY_BYTES // 1024**2}MiB'")
    connection.execute("SET allowed_directories = ?", [[folder]])
    return connection


def _rehearse(connection: duckdb.DuckDBPyConnection, folder: str) -> None:
    """Load what reading takes from files: once confined, there are none to load from."""
    Path(folder, "warm.csv").write_text("n,seen,to\n1,2024-01-01,0xAB\n")
    Path(folder, "warm.json").write_text('{"n": 1, "seen": "2024-01-01", "to": "0xAB"}\n')
    one = "SELECT 1 AS n, TIMESTAMPTZ '2024-01-01 00:00:00Z' AS seen, '0xab' AS \"to\""
    connection.execute(f"COPY ({one}) TO '{Path(folder, 'warm.parquet')}'")
    for columns in (_WARM.columns, None):
        for file in _WARM.files:
            wanted = Read(
                files=[file], columns=columns, forms=_WARM.forms | {"UInt256": "^[0-9]+$"}, quoted_nulls=True,
                max_rows=100,
            )  # fmt: skip
            files, found = rows.look(connection, folder, wanted)
            for batch in rows.batches(connection, files, found, wanted):
                _encoded(batch)
    for file in _WARM.files:
        Path(folder, file.path).unlink()


def _send(channel: socket.socket, batch: Any) -> None:
    """Hand rows over, in as many frames as they take. Raises BadContent for a row that is larger than one."""
    data = _encoded(batch)
    if len(data) <= _ROOM:
        wire.send(channel, Rows(data))
        return
    if batch.num_rows == 1:
        raise BadContent("TooLarge", f"a row has more than {_ROOM} bytes; shorten its values")
    half = batch.num_rows // 2
    _send(channel, batch.slice(0, half))
    _send(channel, batch.slice(half))


def _encoded(batch: Any) -> bytes:
    sink = pa.BufferOutputStream()
    with pa.ipc.new_stream(sink, batch.schema) as writer:
        writer.write_batch(batch)
    return bytes(sink.getvalue())
