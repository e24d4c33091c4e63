"""A statement served by a cell in this process, without a broker, sandbox or relation."""

from __future__ import annotations

import socket

import duckdb

from traceplane.query import wire
from traceplane.query.cell import execution
from traceplane.query.exact import u256

FORMS = ("json", "csv", "arrow", "parquet")
TEXTS = [
    None,
    "",
    " ",
    " x ",
    "a,b",
    'say "no"',
    "two\nlines",
    "a\r\nb",
    "\\.",
    "\\N",
    "NULL",
    "null",
    "007",
    "é",
    "'",
]
"""Texts that look like something else to a reader of CSV."""


def served(sql: str, form: str = "json", **bounds: int) -> tuple[wire.Result | wire.Failed, bytes]:
    """The end of a statement over no relations, and its bytes."""
    broker, cell = socket.socketpair()
    with broker, cell:
        limits = {"max_rows": 100, "max_bytes": 50_000, **bounds}
        wire.send(broker, wire.Prepare(sql=sql, relations=[], format=form, **limits))
        wire.send(broker, wire.Run([], "[]"))
        with duckdb.connect(config={"threads": 1}) as main, duckdb.connect() as shadow:
            main.execute("SET TimeZone = 'UTC'")
            u256.install(main)
            u256.install(shadow, planning=True)
            execution.serve(cell, "/nowhere", main, shadow)
        planned, _ = wire.receive(broker, wire.FromCell)
        if isinstance(planned, wire.Failed):
            return planned, b""
        body = b""
        while isinstance(said := wire.receive(broker, wire.FromCell)[0], wire.Piece):
            body += said.data
        return said, body + (wire.exactly(broker, said.size) if isinstance(said, wire.Result) else b"")


def failed(sql: str, form: str, **bounds: int) -> wire.Failed:
    said, _ = served(sql, form, **bounds)
    assert isinstance(said, wire.Failed)
    return said


def literal(value: str | None) -> str:
    """A text in SQL."""
    return "NULL" if value is None else "'" + value.replace("'", "''") + "'"
