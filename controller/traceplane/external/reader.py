"""This side of the process that reads foreign files: it is started, asked once, and its rows are written.

Rows arrive as Arrow of known types, and are written in the platform's own form of Parquet. The process gets an
empty environment and a folder; it is ended with the folder, whatever became of it.
"""

from __future__ import annotations

import select
import socket
import subprocess
import time
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path

import pyarrow as pa

from traceplane.errors import Refused, TooLarge, Unavailable
from traceplane.query import wire
from traceplane.query.reading.messages import Bad, End, Found, FromReader, Read, ReadColumn, Ready, Rows
from traceplane.query.sandbox import confine, spawn
from traceplane_sdk import parquet
from traceplane_sdk.wire import ColumnDef

ENTRY = "traceplane.query.reading.process:main"
START_SECONDS = 30.0
FRAME_SECONDS = 30.0
"""How long the rest of a message may take once it has begun."""
SILENT_SECONDS = 900.0
"""How long the process may work without a message: it reads a file several times before the first row."""
STOP_SECONDS = 5.0
POLL_SECONDS = 0.5

_ENVIRONMENT = {"LC_ALL": "C.UTF-8", "MALLOC_ARENA_MAX": "1"}


class Written:
    """The Parquet file of a content."""

    def __init__(self, columns: Sequence[ReadColumn], rows: int) -> None:
        self.columns = columns
        self.rows = rows


def read(wanted: Read, folder: Path, target: Path, *, most: int, check: Callable[[], None]) -> Written:
    """Read the files below `folder` into the Parquet file `target` of at most so many bytes.

    `check` is called while the process works, and may raise to end it. Raises Refused for content that cannot be
    published, TooLarge, Unavailable.
    """
    if lacks := confine.missing():
        raise Refused(
            f"this kernel has no {' and no '.join(lacks)}, without which files from outside are not read here",
            code="NoSandbox",
        )
    ours, theirs = socket.socketpair()
    with ours:
        with theirs:
            process = spawn.start(ENTRY, theirs, str(folder), _ENVIRONMENT)
        try:
            return _converse(ours, wanted, target, most, check)
        except wire.Closed as error:  # it took more than it may, and the kernel ended it
            raise TooLarge("the files take too much memory or time to read; split them") from error
        finally:
            _stop(process)


def _converse(channel: socket.socket, wanted: Read, target: Path, most: int, check: Callable[[], None]) -> Written:
    messages = _messages(channel, check)
    wire.send(channel, wanted)
    first = next(messages)
    if isinstance(first, Bad):
        raise Refused(first.message, code=first.code)
    if not isinstance(first, Found):
        raise Unavailable("the process that reads files does not keep to its protocol")
    schema = parquet.arrow_schema([ColumnDef(c.name, c.type, c.nullable) for c in first.columns])
    file = parquet.ParquetFile(target, schema, ())
    try:
        for group in parquet.row_groups(_batches(messages), schema, parquet.GROUP_ROWS):
            file.write(group)
            if file.bytes > most:
                raise TooLarge(
                    f"the content takes over {most >> 20} MiB; split it into several assets, or raise "
                    "TRACE_EXTERNAL_MAX_MB"
                )
    finally:
        file.close()
    return Written(first.columns, file.rows)


def _batches(messages: Iterator[FromReader]) -> Iterator[pa.RecordBatch]:
    for message in messages:
        if isinstance(message, End):
            return
        if isinstance(message, Bad):
            raise Refused(message.message, code=message.code)
        if isinstance(message, Rows):
            yield from pa.ipc.open_stream(message.data)


def _messages(channel: socket.socket, check: Callable[[], None]) -> Iterator[FromReader]:
    """What the process says once it is ready. Raises wire.Closed, Unavailable."""
    _wait(channel, START_SECONDS, check)
    wire.receive(channel, Ready)
    while True:
        _wait(channel, SILENT_SECONDS, check)
        try:
            yield wire.receive(channel, FromReader)[0]
        except TimeoutError as error:
            raise Unavailable("the process that reads files gets no processor time") from error


def _wait(channel: socket.socket, seconds: float, check: Callable[[], None]) -> None:
    """Return when there is something to receive."""
    readable = select.poll()
    readable.register(channel, select.POLLIN)
    deadline = time.monotonic() + seconds
    channel.settimeout(FRAME_SECONDS)
    while not readable.poll(POLL_SECONDS * 1000):
        check()
        if time.monotonic() > deadline:
            raise Unavailable(f"the process that reads files said nothing for {seconds:.0f} s")


def _stop(process: subprocess.Popen[bytes]) -> None:
    """End the process. Its own child, which reads, ends with it."""
    process.terminate()
    try:
        process.wait(STOP_SECONDS)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()
