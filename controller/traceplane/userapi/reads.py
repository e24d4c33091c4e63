"""What a reader sees: DAGs, assets and what belongs to them.

A handler gets a `Call`: an authenticated user of the route's role, the request, and the state database. It answers
with something JSON can hold.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from traceplane.errors import NotFound, Refused
from traceplane.store.statements import browse_assets, browse_dags
from traceplane.store.statements.browse_dags import Row
from traceplane.store.statements.retention import held_beside
from traceplane.userapi import external, pages
from traceplane.userapi.call import Call
from traceplane.versions import retention
from traceplane_sdk.columns import FORMS

STATUSES = ("Queued", "Running", "Completed", "Failed", "Canceled")


async def dags(call: Call) -> Any:
    """Living DAGs by namespace and name."""
    size = pages.limit(call.request)
    after = pages.after(call.request, (str, str)) or ["", ""]
    rows = await call.run(
        browse_dags.dags, namespace=call.chosen_namespace(), after=(after[0], after[1]), limit=size + 1
    )
    return pages.page(rows, size, ("namespace", "name"))


async def dag(call: Call) -> Any:
    """One DAG."""
    return await _dag(call)


async def dag_jobs(call: Call) -> Any:
    """Jobs of the DAG's active version, with their queues."""
    await _dag(call)
    rows = await call.run(browse_dags.jobs, namespace=call.own_namespace(), dag=call.name())
    return {"items": rows, "next_cursor": None}


async def dag_tasks(call: Call) -> Any:
    """Tasks of the DAG, newest first; `?status=` and `?job=` narrow."""
    size = pages.limit(call.request)
    status = call.request.query_params.get("status")
    if status is not None and status not in STATUSES:
        raise Refused(f"status: one of {', '.join(STATUSES)}")
    before = _before(call)
    await _dag(call)
    rows = await call.run(
        browse_dags.tasks,
        namespace=call.own_namespace(),
        dag=call.name(),
        job=call.request.query_params.get("job"),
        status=status,
        before=before,
        limit=size + 1,
    )
    return pages.page(rows, size, ("id",))


async def dag_versions(call: Call) -> Any:
    """Versions of the DAG, newest first."""
    await _dag(call)
    size, before = pages.limit(call.request), _before(call)
    rows = await call.run(
        browse_dags.versions, namespace=call.own_namespace(), dag=call.name(), before=before, limit=size + 1
    )
    return pages.page(rows, size, ("id",))


async def assets(call: Call) -> Any:
    """Assets the caller may read, by namespace and name."""
    size = pages.limit(call.request)
    after = pages.after(call.request, (str, str)) or ["", ""]
    rows = await call.run(
        browse_assets.assets,
        namespace=call.chosen_namespace(),
        roles=call.principal.roles,
        after=(after[0], after[1]),
        limit=size + 1,
    )
    return pages.page([_with_columns(row) for row in rows], size, ("namespace", "name"))


async def asset(call: Call) -> Any:
    """One asset with its columns, and how far it is."""
    found = await find_asset(call)
    versions = {"version": found["version"], "cold_version": found["cold_version"]}
    progress = await call.run(browse_assets.progress, **versions)
    name = f"{found['namespace']}.{found['name']}".replace("-", "_")
    shown = await external.shown(call, found["namespace"], found["name"])
    return {**_with_columns(found), "sql_name": name, **progress, "external": shown}


async def asset_partitions(call: Call) -> Any:
    """Committed partitions of an asset's cold dataset by where they start, whole ones last; none for a hot one."""
    size = pages.limit(call.request)
    after = pages.after(call.request, ((int, type(None)), str))
    found = await find_asset(call)
    if found["cold_version"] is None:
        return {"items": [], "next_cursor": None}
    rows = await call.run(
        browse_assets.partitions,
        version=found["cold_version"],
        after=(after[0], after[1]) if after else None,
        limit=size + 1,
    )
    return pages.page(rows, size, ("start", "key"))


async def asset_versions(call: Call) -> Any:
    """Versions of the asset's dataset, newest first; of a Federated asset's hot half."""
    found = await find_asset(call)
    size, before = pages.limit(call.request), _before(call)
    rows = await call.run(
        browse_assets.versions,
        dataset=found["dataset"],
        current=found["version"],
        before=before,
        limit=size + 1,
    )
    assessed = retention.assess(await call.run(held_beside, dataset=found["dataset"])) if rows else None
    said = {one.output.version_id: one for one in assessed.verdicts} if assessed else {}
    # One that was made between the two statements has nobody to let it go yet.
    shown = [
        {**row, "name": one.output.name if one else None, "kept": str(one) if one else "staged"}
        for row in rows
        for one in [said.get(row["id"])]
    ]
    return pages.page(shown, size, ("id",))


async def _dag(call: Call) -> Row:
    name, namespace = call.name(), call.own_namespace()
    found = await call.run(browse_dags.dag, namespace=namespace, dag=name)
    if found is None:
        raise NotFound(f"there is no DAG {name!r} in namespace {namespace!r}")
    return found


async def find_asset(call: Call) -> Row:
    """The asset of the path, as its reader sees it. Raises NotFound."""
    name, namespace = call.name(), call.own_namespace()
    found = await call.run(browse_assets.asset, namespace=namespace, asset=name, roles=call.principal.roles)
    if found is None:
        raise NotFound(f"there is no asset {name!r} in namespace {namespace!r}")
    return found


def _with_columns(asset: Row) -> Row:
    """An asset with its columns as the API shows them."""
    return {**asset, "columns": asset["columns"] and [_column(column) for column in asset["columns"]]}


def _column(column: dict[str, Any]) -> dict[str, Any]:
    form = FORMS.get(column["type"])
    return {
        "name": column["name"],
        "type": column["type"],
        "sql_type": form.duckdb if form else None,
        "nullable": column.get("nullable", False),
        "pii": column.get("pii", False),
        "description": column.get("description", ""),
    }


def _before(call: Call) -> UUID | None:
    """The id in `?cursor=`, after which a page of ids from new to old goes on. Raises Refused."""
    after = pages.after(call.request, (str,))
    try:
        return UUID(after[0]) if after else None
    except ValueError:
        raise Refused("cursor: not one that a page gave") from None
