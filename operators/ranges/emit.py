"""Rows of ranges, and the events that fire them."""

from __future__ import annotations

from collections.abc import Sequence

from traceplane_sdk import wire
from traceplane_sdk.context import Context


def write(ctx: Context, output: str, ranges: Sequence[wire.Partition]) -> int:
    """Add a row for each range to a hot output of the schema `RANGES`; returns how many were new.

    A repeat conflicts with the rows that are there, and adds nothing.
    """
    with ctx.hot() as transaction:
        return transaction.append(output, [(one.key, one.start, one.end) for one in ranges])


def events(output: str, ranges: Sequence[wire.Partition]) -> list[wire.Event]:
    """An event for each range, in their order."""
    return [wire.Event(output=output, partition=one) for one in ranges]


def newest(ctx: Context, output: wire.TaskOutput) -> wire.Partition | None:
    """The range with the highest start in a hot output of the schema `RANGES`; None where it has no row."""
    from psycopg import sql

    statement = sql.SQL("select dedupe_key, range_start, range_end from {} order by range_start desc limit 1")
    table = sql.Identifier(*output.location.split("."))
    row = ctx.connection().execute(statement.format(table)).fetchone()
    return None if row is None else wire.Partition(*row)
