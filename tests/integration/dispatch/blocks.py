"""Blocks of the chain DAG, written as its follower writes them."""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import psycopg

from traceplane_sdk import wire
from traceplane_sdk.hot import fenced

_VALUES: dict[str, Callable[[int], Any]] = {
    "Int32": lambda n: n % 1000,
    "Int64": lambda n: n,
    "Float64": float,
    "UInt256": lambda n: n,
    "Hex": lambda n: f"0x{n:064x}",
    "Text": str,
    "Bool": lambda n: n % 2 == 0,
    "Timestamp": lambda n: datetime.fromtimestamp(1_700_000_000 + n, UTC),
    "Json": lambda n: {"n": n},
}


def write_blocks(dsn: str, task: wire.TaskPayload, first: int, last: int, final: int | None = None) -> None:
    """What a follower does: rows and their event in one fenced transaction."""
    output = next(output for output in task.outputs if output.name == "blocks")
    rows = [[_VALUES[column.type](number) for column in output.columns] for number in range(first, last + 1)]
    with psycopg.connect(dsn, autocommit=True) as connection, fenced(connection, task) as transaction:
        transaction.replace("blocks", first, last, rows)
        transaction.event(wire.Event(output="blocks", cursor=last, final=final))
