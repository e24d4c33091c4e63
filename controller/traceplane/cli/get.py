"""`tracectl get`: what runs and what was made, from the user API."""

from __future__ import annotations

import sys
from collections.abc import Iterator
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, asset_path, call, calls
from traceplane.cli.options import AllNamespaces, Limit, Namespace, Printed
from traceplane.cli.printing import Output

if TYPE_CHECKING:
    import httpx

PAGE = 500
"""Rows of one request: the most that the user API gives."""

Row = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the verb and its nouns."""
    nouns = typer.Typer(help="Show DAGs, jobs, tasks and assets.", no_args_is_help=True)
    for noun in (dags, versions, jobs, tasks, assets, partitions):
        nouns.command(noun.__name__)(noun)
    app.add_typer(nouns, name="get")


@calls(USER_API)
def dags(
    api: Access,
    namespace: Namespace = None,
    everywhere: AllNamespaces = False,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
) -> None:
    """List DAGs with their active version.

    Example: tracectl get dags -n default -o json
    """
    rows = _list(api, "/v1/dags", limit, namespace=None if everywhere else namespace)
    printing.rows(rows, ("namespace", "name", "jobs", "active_version", "staged_version", "updated_at"), output)


@calls(USER_API)
def versions(
    api: Access,
    dag: Annotated[str, typer.Argument(help="Name of the DAG.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
) -> None:
    """List the versions of a DAG, newest first: those that were active once can be rolled back to, until they are
    purged.

    Example: tracectl get versions monad
    """
    rows = _list(api, f"/v1/dags/{dag}/versions", limit, namespace=namespace)
    printing.rows(rows, ("name", "active", "staged", "created_at", "activated_at", "purged_at"), output)


@calls(USER_API)
def jobs(
    api: Access,
    dag: Annotated[str, typer.Argument(help="Name of the DAG.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """List the jobs of a DAG with their queues.

    Example: tracectl get jobs monad
    """
    rows = _list(api, f"/v1/dags/{dag}/jobs", PAGE, namespace=namespace)
    columns = ("name", "operator", "runtime", "queued", "running", "retrying", "paused", "oldest_queued_at")
    printing.rows(rows, columns, output)


@calls(USER_API)
def tasks(
    api: Access,
    dag: Annotated[str | None, typer.Argument(help="Name of the DAG; without it, of every DAG.")] = None,
    job: Annotated[str | None, typer.Option(help="Only tasks of this job.")] = None,
    status: Annotated[str | None, typer.Option(help="Queued, Running, Completed, Failed or Canceled.")] = None,
    namespace: Namespace = None,
    everywhere: AllNamespaces = False,
    output: Printed = Output.TABLE,
    limit: Limit = 50,
) -> None:
    """List tasks, newest first.

    Examples:

      tracectl get tasks monad --status Failed

      tracectl get tasks monad --job compact -o json --limit 1000
    """
    with api.client() as client:
        found: list[Row] = []
        for where, name in _named(client, dag, None if everywhere else namespace):
            listed = pages(client, f"/v1/dags/{name}/tasks", namespace=where, job=job, status=status)
            # Any one DAG may have the newest tasks of all: so the limit is applied again after the merge.
            found += [{"dag": name, **row} for row in islice(listed, limit)]
    rows = sorted(found, key=lambda row: str(row["id"]), reverse=True)[:limit]
    columns = ("id", "dag", "job", "status", "attempt", "scope", "worker_id", "queued_at", "error", "report")
    if output in (Output.TABLE, Output.CSV):
        rows = [row | {"report": _in_words(row.get("report"))} for row in rows]
    printing.rows(rows, columns, output)


def _in_words(report: dict[str, Any] | None) -> str | None:
    """A source's report on one line: what it says, and where it is."""
    if not report or report.get("position") is None or not report.get("healthy"):
        return (report or {}).get("message")
    return f"{report['message']}: at {report['position']} of {report.get('head')}"


@calls(USER_API)
def assets(
    api: Access,
    name: Annotated[str | None, typer.Argument(help="One asset, with its columns; without it, all.")] = None,
    namespace: Namespace = None,
    everywhere: AllNamespaces = False,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
) -> None:
    """List the assets you may read, or show one with its columns.

    Examples:

      tracectl get assets -o yaml

      tracectl get assets cold-blocks
    """
    if name is not None:
        _one_asset(api, name, namespace, output)
        return
    rows = _list(api, "/v1/assets", limit, namespace=None if everywhere else namespace)
    printing.rows(rows, ("namespace", "name", "storage", "version", "read_roles", "description"), output)


def _one_asset(api: Access, name: str, namespace: str | None, output: Output) -> None:
    scope = {} if namespace is None else {"namespace": namespace}
    with api.client() as client:
        found = call(client, "GET", asset_path(name), params=scope).json()
        listed = islice(pages(client, f"{asset_path(name)}/versions", **scope), PAGE)
        versions = [{"version": row["name"], **row} for row in listed] if output is Output.TABLE else []
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
        return
    if output is Output.TABLE:
        about = ("sql_name", "storage", "scope_column", "cursor", "partitions", "rows", "bytes", "description")
        printing.rows([found], about, output)
        if (external := found.get("external")) is not None:
            said = {**external, "error": (external["error"] or {}).get("message")}
            printing.rows([said], ("source", "version", "content", "refreshed_at", "status", "error"), output)
    columns = ("name", "sql_type", "type", "nullable", "pii", "description")
    printing.rows(found["columns"] or [], columns, output)
    if output is Output.TABLE:
        sys.stdout.write("\n")
        printing.rows(versions, ("version", "active", "storage", "created_at", "kept"), output)


@calls(USER_API)
def partitions(
    api: Access,
    asset: Annotated[str, typer.Argument(help="Name of the asset.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
) -> None:
    """List the committed partitions of an asset.

    Example: tracectl get partitions cold-blocks
    """
    rows = _list(api, f"/v1/assets/{asset}/partitions", limit, namespace=namespace)
    printing.rows(rows, ("key", "rows", "bytes", "committed_at", "task_id", "attempt"), output)


def _list(api: Access, path: str, limit: int, **query: str | None) -> list[Row]:
    with api.client() as client:
        return list(islice(pages(client, path, **query), limit))


def pages(client: httpx.Client, path: str, **query: str | None) -> Iterator[Row]:
    """Every row of a list, page by page, fetched as they are taken."""
    wanted: dict[str, Any] = {name: value for name, value in query.items() if value is not None}
    while True:
        page = call(client, "GET", path, params={**wanted, "limit": PAGE}).json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        wanted["cursor"] = page["next_cursor"]


def _named(client: httpx.Client, dag: str | None, namespace: str | None) -> list[tuple[str | None, str]]:
    """(namespace, name) of one DAG, or of all."""
    if dag is not None:
        return [(namespace, dag)]
    return [(row["namespace"], row["name"]) for row in pages(client, "/v1/dags", namespace=namespace)]
