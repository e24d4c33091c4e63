"""The messages between broker, zygote and cell, and their frames: all that the two sides of the wall share.

A frame is four bytes of length (big endian) and a msgpack body; file descriptors travel with the length
(SCM_RIGHTS). Both ends bound what they accept: the broker because a cell may have been taken over by the SQL it
runs, the cell because a bound costs nothing. After a `Result` the body follows as `size` plain bytes, which the
broker passes on without reading them.
"""

from __future__ import annotations

import os
import socket
import struct
from typing import Any, TypeVar

import msgspec

MAX_FRAME = 4 * 1024 * 1024
CATALOG_SCHEMA = "__trace_catalog___"
"""The schema that holds what a statement may know of the catalog. As long as `information_schema`, for which it
stands, and no name of a namespace, so that no statement can name it itself."""
_LENGTH = struct.Struct(">I")

Message = TypeVar("Message")


class Limits(msgspec.Struct, frozen=True, kw_only=True):
    """What one cell may use: memory in bytes, CPU in seconds over all threads."""

    memory_bytes: int
    cpu_seconds: int
    threads: int


class Spawn(msgspec.Struct, frozen=True, kw_only=True):
    """Broker to zygote: fork cell `number`; its socket travels with the message."""

    number: int
    folder: str
    limits: Limits


class Spawned(msgspec.Struct, frozen=True, tag=True):
    """Zygote to broker: cell `number` runs; its pidfd travels with the message."""

    number: int


class Ended(msgspec.Struct, frozen=True, tag=True):
    """Zygote to broker: cell `number` ended, with this exit code, or minus the signal that killed it (as
    `subprocess` has it)."""

    number: int
    code: int


class RelationSpec(msgspec.Struct, frozen=True, kw_only=True, array_like=True):
    """A relation as the cell builds it: `names` are (schema or "", table); `columns` are (name, DuckDB type);
    `hexes` the names of those whose text is hex in lower case. `where` is a condition in SQL that the broker
    made, on the rows of files: of hot ones it sends no others."""

    names: list[tuple[str, str]]
    columns: list[tuple[str, str]]
    hot: bool
    cold: bool
    scope_column: str = ""
    hexes: list[str] = []
    where: str = ""


class CatalogColumn(msgspec.Struct, frozen=True, array_like=True):
    """A column as a statement may know it: `type` is DuckDB's, `trace_type` the one that an operator declared."""

    name: str
    type: str
    trace_type: str
    nullable: bool
    scope: bool
    pii: bool
    description: str


class CatalogRelation(msgspec.Struct, frozen=True, array_like=True):
    """A relation as a statement may know it, under the name that a statement uses."""

    schema: str
    table: str
    storage: str
    description: str
    columns: list[CatalogColumn]


class Catalog(msgspec.Struct, frozen=True, array_like=True):
    """What a statement may know of the catalog; `schema` is where it looks unqualified names up."""

    schema: str
    relations: list[CatalogRelation]


class Prepare(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The admitted statement and the relations it may see."""

    sql: str
    relations: list[RelationSpec]
    format: str
    max_rows: int
    max_bytes: int
    max_export_bytes: int = 0
    """Bytes of the Parquet file that an answer beyond the inline bounds becomes; 0: it is cut instead."""
    catalog: Catalog | None = None
    """For a statement that asks what there is."""


class Scans(msgspec.Struct, frozen=True, tag=True):
    """What the plan reads: (relation, filter) for each scan. A filter is a tree as of `HotScan`."""

    scans: list[tuple[int, Any]]


class Run(msgspec.Struct, frozen=True, tag=True):
    """The linked files: per relation its groups, each (number of files, ranges that count in them). `versions` is
    JSON that names what is read, for answers that are files of their own.

    Files are named `<relation>-<group>-<n>.parquet`. Without ranges every row of the group counts, else only
    rows whose scope column lies in one of them.
    """

    groups: list[list[tuple[int, list[tuple[int, int]]]]]
    versions: str


class HotScan(msgspec.Struct, frozen=True, tag=True):
    """The cell wants rows of a hot relation. `filter` is a tree of lists, see `relations.hot_sql`."""

    relation: int
    columns: list[str]
    filter: Any = None


class HotRows(msgspec.Struct, frozen=True, tag=True):
    """The answer to `HotScan`: a pipe of Arrow IPC comes with it, unless `error` says why not."""

    error: str = ""


class Piece(msgspec.Struct, frozen=True, tag=True):
    """The next bytes of the Parquet file that the answer is too large to go without."""

    data: bytes


class Result(msgspec.Struct, frozen=True, kw_only=True, tag=True):
    """The end of a query; `size` bytes of rendered rows follow, none after `Piece`s.

    `columns` are (name, DuckDB type).
    """

    columns: list[tuple[str, str]]
    rows: int
    truncated: bool
    size: int


class Failed(msgspec.Struct, frozen=True, tag=True):
    """The statement failed in DuckDB; `kind` is DuckDB's class of error, `message` its text."""

    kind: str
    message: str


FromCell = Scans | HotScan | Piece | Result | Failed


class Closed(Exception):
    """The other end closed the connection, or sent what is not a frame."""


class TooLong(Closed):
    """A message is larger than a frame. Nothing of it was sent."""


def send(channel: socket.socket, message: msgspec.Struct, descriptors: tuple[int, ...] = ()) -> None:
    """Send one frame, with file descriptors. Raises Closed, TooLong."""
    body = msgspec.msgpack.encode(message)
    if len(body) > MAX_FRAME:
        raise TooLong(f"a message of {len(body)} bytes is larger than a frame")
    head = _LENGTH.pack(len(body))
    try:
        if descriptors:
            sent = socket.send_fds(channel, [head], list(descriptors))
            channel.sendall(head[sent:] + body)
        else:
            channel.sendall(head + body)
    except TimeoutError:
        raise
    except OSError as error:
        raise Closed(str(error)) from error


def receive(channel: socket.socket, kind: Any, descriptors: int = 0) -> tuple[Any, list[int]]:
    """The next frame, decoded as `kind`, and up to `descriptors` file descriptors. Raises Closed, TimeoutError."""
    received: list[int] = []
    try:
        if descriptors:
            head, received, _, _ = socket.recv_fds(channel, _LENGTH.size, descriptors)
            head += exactly(channel, _LENGTH.size - len(head)) if head else b""
        else:
            head = exactly(channel, _LENGTH.size)
        if len(head) < _LENGTH.size:
            raise Closed("the other end closed")
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME:
            raise Closed(f"a frame of {length} bytes")
        return msgspec.msgpack.decode(exactly(channel, length), type=kind), received
    except (OSError, msgspec.DecodeError, RecursionError, Closed) as error:
        for descriptor in received:
            os.close(descriptor)
        if isinstance(error, (TimeoutError, Closed)):
            raise
        raise Closed(str(error)) from error


def exactly(channel: socket.socket, size: int) -> bytes:
    """`size` bytes. Raises Closed where fewer come."""
    buffer = bytearray(size)
    view = memoryview(buffer)
    while view:
        count = channel.recv_into(view)
        if count == 0:
            raise Closed("the other end closed")
        view = view[count:]
    return bytes(buffer)
