"""What a reader sees: DAGs, assets and what belongs to them.

A handler gets a `Call`: an authenticated user of the route's role, the request, and the state database. It answers
with something JSON can hold.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any
from uuid import UUID

from traceplane.errors import NotFound, Refused
from traceplane.store.statements import browse
from traceplane.userapi import pages
from traceplane.userapi.call import Call

STATUSES = ("Queued", "Running", "Completed", "Failed", "Canceled")

LINEAGE_DEPTH = 32
LINEAGE_VERSIONS = 500
"""How far lineage is followed, and how many versions it shows, the nearest first."""


async def dags(call: Call) -> Any:
    """Living DAGs by namespace and name."""
    asked = pages.limit(call.request)
    after = pages.after(call.request, (str, str)) or ["", ""]
    rows = await call.rows(
        browse.DAGS,
        namespace=call.chosen_namespace(),
        dag=None,
        after_namespace=after[0],
        after_name=after[1],
        limit=asked + 1,
    )
    return pages.page(rows, asked, ("namespace", "name"))


async def dag(call: Call) -> Any:
    """One DAG."""
    return dict(await _dag(call))


async def dag_jobs(call: Call) -> Any:
    """Jobs of the DAG's active version, with their queues."""
    await _dag(call)
    rows = await call.rows(browse.DAG_JOBS, namespace=call.own_namespace(), dag=call.name())
    return {"items": [dict(row) for row in rows], "next_cursor": None}


async def dag_tasks(call: Call) -> Any:
    """Tasks of the DAG, newest first; `?status=` and `?job=` narrow."""
    asked = pages.limit(call.request)
    status = call.request.query_params.get("status")
    if status is not None and status not in STATUSES:
        raise Refused(f"status: one of {', '.join(STATUSES)}")
    before = pages.after(call.request, (str,))
    await _dag(call)
    rows = await call.rows(
        browse.DAG_TASKS,
        namespace=call.own_namespace(),
        dag=call.name(),
        job=call.request.query_params.get("job"),
        status=status,
        before=_uuid(before[0]) if before else None,
        limit=asked + 1,
    )
    return pages.page(rows, asked, ("id",))


async def dag_versions(call: Call) -> Any:
    """Versions of the DAG, newest first."""
    await _dag(call)
    asked, before = pages.limit(call.request), pages.after(call.request, (str,))
    rows = await call.rows(
        browse.DAG_VERSIONS,
        namespace=call.own_namespace(),
        dag=call.name(),
        before=_uuid(before[0]) if before else None,
        limit=asked + 1,
    )
    return pages.page(rows, asked, ("id",))


async def assets(call: Call) -> Any:
    """Assets the caller may read, by namespace and name."""
    asked = pages.limit(call.request)
    after = pages.after(call.request, (str, str)) or ["", ""]
    rows = await call.rows(
        browse.ASSETS,
        namespace=call.chosen_namespace(),
        asset=None,
        roles=sorted(call.principal.roles),
        after_namespace=after[0],
        after_name=after[1],
        limit=asked + 1,
    )
    return pages.page(rows, asked, ("namespace", "name"))


async def asset(call: Call) -> Any:
    """One asset with its columns."""
    return dict(await _asset(call))


async def asset_partitions(call: Call) -> Any:
    """Committed partitions of an asset's cold dataset by where they start, whole ones last; none for a hot one."""
    asked = pages.limit(call.request)
    after = pages.after(call.request, ((int, type(None)), str)) or [None, None]
    found = await _asset(call)
    if found["cold_version"] is None:
        return {"items": [], "next_cursor": None}
    rows = await call.rows(
        browse.PARTITIONS, version=found["cold_version"], after=after[0], after_key=after[1], limit=asked + 1
    )
    return pages.page(rows, asked, ("start", "key"))


async def asset_versions(call: Call) -> Any:
    """Versions of the asset's dataset, newest first; of a Federated asset's hot half."""
    found = await _asset(call)
    asked, before = pages.limit(call.request), pages.after(call.request, (str,))
    rows = await call.rows(
        browse.ASSET_VERSIONS,
        dataset=found["dataset"],
        current=found["version"],
        before=_uuid(before[0]) if before else None,
        limit=asked + 1,
    )
    return pages.page(rows, asked, ("id",))


async def asset_lineage(call: Call) -> Any:
    """What the asset is made from, and what is made from it; a Federated asset has two versions of its own."""
    found = await _asset(call)
    roots = [version for version in {found["version"], found["cold_version"]} if version is not None]
    rows = await call.rows(
        browse.LINEAGE,
        roots=roots,
        roles=sorted(call.principal.roles),
        depth=LINEAGE_DEPTH,
        limit=LINEAGE_VERSIONS + 1,
    )
    return {"items": [dict(row) for row in rows[:LINEAGE_VERSIONS]], "truncated": len(rows) > LINEAGE_VERSIONS}


async def _dag(call: Call) -> Mapping[str, Any]:
    name, namespace = call.name(), call.own_namespace()
    rows = await call.rows(browse.DAGS, namespace=namespace, dag=name, after_namespace="", after_name="", limit=1)
    if not rows:
        raise NotFound(f"there is no DAG {name!r} in namespace {namespace!r}")
    return rows[0]


async def _asset(call: Call) -> Mapping[str, Any]:
    name, namespace = call.name(), call.own_namespace()
    rows = await call.rows(
        browse.ASSETS,
        namespace=namespace,
        asset=name,
        roles=sorted(call.principal.roles),
        after_namespace="",
        after_name="",
        limit=1,
    )
    if not rows:
        raise NotFound(f"there is no asset {name!r} in namespace {namespace!r}")
    return rows[0]


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise Refused("cursor: not one that a page gave") from None
