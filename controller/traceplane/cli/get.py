"""`tracectl get`: what runs and what was made, from the user API."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from itertools import islice
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import connection
from traceplane.cli.printing import Output

if TYPE_CHECKING:
    import httpx

COMPONENT = "dispatcher"
PORT = 8081
ANSWER_SECONDS = 30.0
PAGE = 500

Row = dict[str, Any]

Namespace = Annotated[str | None, typer.Option("--namespace", "-n", help="Only this namespace.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print.")]
Limit = Annotated[int, typer.Option(help="At most this many.", min=1, max=100_000)]
Server = Annotated[
    str | None, typer.Option(envvar=["TRACE_USER_URL", "TRACE_SERVER"], help="Address of the user API.")
]


def register(app: typer.Typer) -> None:
    """Add the verb and its nouns."""
    nouns = typer.Typer(help="Show DAGs, jobs, tasks and assets.", no_args_is_help=True)
    for noun in (dags, jobs, tasks, assets, partitions, lineage):
        nouns.command(noun.__name__)(noun)
    app.add_typer(nouns, name="get")


def dags(
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """List DAGs with their active version.

    Example: tracectl get dags -n default -o json
    """
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        rows = _take(_pages(client, "/v1/dags", namespace=namespace), limit)
    _print(rows, ("namespace", "name", "jobs", "active_version", "updated_at"), output)


def jobs(
    dag: Annotated[str, typer.Argument(help="Name of the DAG.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """List the jobs of a DAG with their queues.

    Example: tracectl get jobs monad
    """
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        rows = _take(_pages(client, f"/v1/dags/{dag}/jobs", namespace=namespace), PAGE)
    columns = ("name", "operator", "runtime", "queued", "running", "retrying", "paused", "oldest_queued_at")
    _print(rows, columns, output)


def tasks(
    dag: Annotated[str | None, typer.Argument(help="Name of the DAG; without it, of every DAG.")] = None,
    job: Annotated[str | None, typer.Option(help="Only tasks of this job.")] = None,
    status: Annotated[str | None, typer.Option(help="Queued, Running, Completed, Failed or Canceled.")] = None,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 50,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """List tasks, newest first.

    Examples:

      tracectl get tasks monad --status Failed

      tracectl get tasks monad --job compact -o json --limit 1000
    """
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        found: list[Row] = []
        for where, name in _named(client, dag, namespace):
            pages = _pages(client, f"/v1/dags/{name}/tasks", namespace=where, job=job, status=status)
            found += [{"dag": name, **row} for row in _take(pages, limit)]
    rows = sorted(found, key=lambda row: str(row["id"]), reverse=True)[:limit]
    _print(rows, ("id", "dag", "job", "status", "attempt", "scope", "worker_id", "queued_at", "error"), output)


def assets(
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """List the assets you may read.

    Example: tracectl get assets -o yaml
    """
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        rows = _take(_pages(client, "/v1/assets", namespace=namespace), limit)
    _print(rows, ("namespace", "name", "storage", "version", "read_roles", "description"), output)


def partitions(
    asset: Annotated[str, typer.Argument(help="Name of the asset.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    limit: Limit = 500,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """List the committed partitions of an asset.

    Example: tracectl get partitions cold-blocks
    """
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        rows = _take(_pages(client, f"/v1/assets/{asset}/partitions", namespace=namespace), limit)
    _print(rows, ("key", "rows", "bytes", "committed_at", "task_id", "attempt"), output)


def lineage(
    asset: Annotated[str, typer.Argument(help="Name of the asset.")],
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """Show what an asset is made from, and what is made from it, the nearest first.

    Example: tracectl get lineage cold-blocks
    """
    asked = {} if namespace is None else {"namespace": namespace}
    with _client(server, token_file, token, release_namespace, account, audience) as client:
        found = connection.call(client, "GET", f"/v1/assets/{asset}/lineage", params=asked).json()
    _print(found["items"], ("side", "distance", "asset", "namespace", "dag", "job", "output", "version"), output)
    if found["truncated"]:
        sys.stderr.write(f"warning: only the nearest {len(found['items'])} versions are shown\n")


def _client(
    server: str | None, token_file: Any, token: str | None, release: str, account: str | None, audience: str
) -> Any:
    access = connection.Access(server, token_file, token, release, account, audience)
    return access.client(COMPONENT, PORT, ANSWER_SECONDS)


def _pages(client: httpx.Client, path: str, **query: str | None) -> Iterator[Row]:
    """Every row of a list, page by page, fetched as they are taken."""
    wanted: dict[str, Any] = {name: value for name, value in query.items() if value is not None}
    while True:
        page = connection.call(client, "GET", path, params={**wanted, "limit": PAGE}).json()
        yield from page["items"]
        if page["next_cursor"] is None:
            return
        wanted["cursor"] = page["next_cursor"]


def _take(rows: Iterator[Row], limit: int) -> list[Row]:
    return list(islice(rows, limit))


def _named(client: httpx.Client, dag: str | None, namespace: str | None) -> list[tuple[str | None, str]]:
    """(namespace, name) of one DAG, or of all."""
    if dag is not None:
        return [(namespace, dag)]
    return [(row["namespace"], row["name"]) for row in _pages(client, "/v1/dags", namespace=namespace)]


def _print(rows: Sequence[Row], columns: Sequence[str], output: Output) -> None:
    from traceplane.cli import printing

    if output in (Output.JSON, Output.YAML):
        printing.structured(list(rows), output)
        return
    values = [[row.get(column) for column in columns] for row in rows]
    (printing.lines if output is Output.CSV else printing.table)(columns, values)
