"""Where the rows of an asset come from, and why others are not there yet."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any
from uuid import UUID

from traceplane.errors import Refused
from traceplane.store.statements import lineage, steps
from traceplane.store.statements.browse_dags import Row
from traceplane.userapi.call import Call
from traceplane.userapi.reads import find_asset
from traceplane.versions import waits

DEPTH = 32
MOST = 500
"""How far lineage is followed, and how much of it is shown, the nearest first."""
_INT8 = 2**63


async def asset_lineage(call: Call) -> Any:
    """What the asset is made from, and what is made from it; a Federated asset has two versions of its own."""
    roots, roles = _versions(await find_asset(call)), call.principal.roles
    rows = await call.run(lineage.lineage, roots=roots, roles=roles, depth=DEPTH, limit=MOST + 1)
    return {"items": rows[:MOST], "truncated": len(rows) > MOST}


async def asset_runs(call: Call) -> Any:
    """Which tasks and attempts made the asset's rows: all, a `?partition=`, or those from `?start=` to `?end=`.

    `?depth=` follows what they read, so many jobs back.
    """
    start, end = _number(call, "start"), _number(call, "end")
    key, depth = call.request.query_params.get("partition"), _number(call, "depth") or 0
    if (start is None) != (end is None) or (start is not None and end is not None and start > end):
        raise Refused("start, end: give both, start not after end")
    if key is not None and start is not None:
        raise Refused("partition: give either a partition or start and end")
    if not 0 <= depth <= DEPTH:
        raise Refused(f"depth: from 0 to {DEPTH}")
    rows = await call.run(
        lineage.runs,
        versions=_versions(await find_asset(call)),
        key=key,
        start=start,
        end=end,
        depth=depth,
        limit=MOST + 1,
    )
    return {"items": rows[:MOST], "truncated": len(rows) > MOST}


async def explain_asset(call: Call) -> Any:
    """What the asset waits for, job by job back to its source; with `?at=`, why it has not that value yet."""
    at = _number(call, "at")
    roots = _versions(await find_asset(call))
    found = await call.run(steps.steps, roots=roots, at=at, depth=DEPTH, limit=MOST + 1)
    explained = waits.explain(found[:MOST], at)
    return {"items": [asdict(wait) for wait in explained], "truncated": len(found) > MOST}


def _versions(asset: Row) -> set[UUID]:
    return {asset["version"], asset["cold_version"]} - {None}


def _number(call: Call, name: str) -> int | None:
    """A whole number in the query of the request. Raises Refused."""
    text = call.request.query_params.get(name)
    if text is None:
        return None
    digits = text.removeprefix("-")
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 19 and -_INT8 <= int(text) < _INT8):
        raise Refused(f"{name}: a whole number of 64 bits")
    return int(text)
