"""Lease epochs, which state counts and data compares: one that goes back would keep every new writer out.

Only a state database that was restored to an earlier time counts lower than the fences in data.
"""

from __future__ import annotations

from traceplane.store.engine import Connection

HIGHEST = "SELECT coalesce(max(epoch), 0) FROM trace.write_fences"
"""The newest lease that ever wrote hot rows."""

ADVANCE = """
SELECT before.last_value, setval('lease_epochs', %(past)s)
FROM (SELECT last_value FROM lease_epochs WHERE last_value < %(past)s) before
"""
"""Go on counting above it. Without a row all is as it has to be; a sequence never goes back by itself."""


async def highest(data: Connection) -> int:
    """The highest epoch that a fence in data holds; 0 where there is none."""
    row = await (await data.execute(HIGHEST)).fetchone()
    return int(row[0]) if row else 0


async def advance(state: Connection, *, past: int) -> int | None:
    """Let the next claim have an epoch above `past`; where the count stood if it was lower, else None."""
    row = await (await state.execute(ADVANCE, {"past": past})).fetchone()
    return None if row is None else int(row[0])
