"""`tracectl query`: one SELECT over published assets."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import connection
from traceplane.cli.printing import Output
from traceplane.errors import Overloaded, Unavailable

if TYPE_CHECKING:
    import httpx

COMPONENT = "query"
PORT = 8082
SECONDS = 60.0
HINT = "the query runs; Ctrl-C ends it"
ACCEPTED = 202
"""The status of a query that was left to be run and has not ended."""
SLACK_SECONDS = 15.0
"""How much longer than the query's own limit we wait for its answer: it may queue, and it has to travel."""


class Form(StrEnum):
    """`-o`: printed for eyes and programs, or the service's own bytes."""

    TABLE = "table"
    JSON = "json"
    YAML = "yaml"
    CSV = "csv"
    ARROW = "arrow"
    PARQUET = "parquet"


_RAW = (Form.CSV, Form.ARROW, Form.PARQUET)
"""Forms that are passed on as the service sent them."""


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("query", no_args_is_help=True)(query)


Server = Annotated[
    str | None,
    typer.Option("--server", envvar=["TRACE_QUERY_URL", "TRACE_SERVER"], help="Address of the query service."),
]


def query(
    sql: Annotated[str | None, typer.Argument(help="The statement; `-` reads it from standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with the statement.", exists=True, dir_okay=False)
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print the rows.")] = Form.TABLE,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Where unqualified names are looked up.")
    ] = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds the query may take: 60, or as long as the service allows with --batch.", min=0.1
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Token `as_of` of an earlier answer: compute on what that was computed on.")
    ] = None,
    export: Annotated[
        bool,
        typer.Option(
            help="Let a large answer become a Parquet file instead of cutting it, and print the file's address."
        ),
    ] = False,
    batch: Annotated[
        bool, typer.Option(help="Leave the query to be run, and print its id for `tracectl result`.")
    ] = False,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """Run one SELECT over published assets and print its rows.

    Without --server it reaches the service through `kubectl port-forward`; without a token it takes one of a
    service account. An answer that was cut short says so on standard error; `-o parquet`, --export and --batch cut
    nothing. --batch is for what takes longer than the service lets anybody wait.

    Examples:

      tracectl query 'SELECT max(block_number) FROM blocks'

      tracectl query -o csv -n research --file holders.sql > holders.csv

      tracectl query -o parquet 'FROM blocks' > blocks.parquet

      tracectl query --export 'FROM logs'

      echo 'FROM blocks LIMIT 5' | tracectl query -o json -

      tracectl query --batch 'SELECT miner, count(*) FROM blocks GROUP BY miner'
    """
    statement = _statement(sql, file)
    if output in (Form.ARROW, Form.PARQUET) and sys.stdout.isatty():
        raise typer.BadParameter(f"{output.value} is not for a terminal; redirect it into a file")
    access = connection.Access(server, token_file, token, release_namespace, account, audience)
    whole = export or batch or output is Form.PARQUET
    seconds = timeout or (None if batch else SECONDS)
    body = {
        "sql": statement,
        "format": output.value if output in _RAW else "json",
        "mode": "batch" if batch else "interactive",
        "timeout_seconds": seconds,
        "overflow": "export" if whole else "truncate",
        "namespace": namespace,
        "as_of": as_of,
    }
    patience = SLACK_SECONDS if batch else (seconds or SECONDS) + SLACK_SECONDS
    with access.client(COMPONENT, PORT, patience) as client, nullcontext() if batch else waiting(HINT):
        answer = connection.call(
            client, "POST", "/v1/query", json={key: value for key, value in body.items() if value is not None}
        )
    if answer.status_code == ACCEPTED:
        _left(answer.json()["id"], wanted=batch)
    else:
        _show(answer, output, export=export)


def _left(query: str, *, wanted: bool) -> None:
    """Print the id of a query that waits for its turn. Raises Overloaded where an answer was wanted now."""
    if not wanted:
        raise Overloaded(
            "the service is busy, and runs the query when its turn comes: "
            f"`tracectl result --wait {query}` gets the answer, `tracectl result --cancel {query}` ends it",
            code="QueryLeft",
        )
    sys.stdout.write(f"{query}\n")
    sys.stderr.write(f"left to be run; `tracectl result --wait {query}` gets the answer\n")


def waiting(what: str) -> AbstractContextManager[object]:
    """To a person at a terminal: that something runs, and for how long."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    shown.add_task(what, total=None)
    return shown


def _show(answer: httpx.Response, output: Form, *, export: bool) -> None:
    """Print an answer, or where its file lies, or the file."""
    found = answer.json() if answer.headers["content-type"] == "application/json" else None
    if found is not None and found.get("output"):
        exported(found, download=output is Form.PARQUET and not export)
    elif found is None:
        sys.stdout.buffer.write(answer.content)
        _warn(answer.headers.get("x-trace-truncated") == "true", answer.headers.get("x-trace-row-count"))
    else:
        _print(found, Output(output.value))


def exported(found: dict[str, Any], *, download: bool) -> None:
    """Print the URL of an answer that is a file, or what lies there. Raises Unavailable."""
    import httpx

    place = found["output"]
    sys.stderr.write(f"{found['row_count']} rows, {place['bytes']} bytes in {place['location']}\n")
    if not download:
        sys.stdout.write(f"{place['url']}\n")
        return
    try:
        with httpx.stream("GET", place["url"], timeout=SLACK_SECONDS, trust_env=False) as file:
            file.raise_for_status()
            for piece in file.iter_bytes():
                sys.stdout.buffer.write(piece)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{place['location']} cannot be fetched from here ({type(error).__name__}): the URL names the object "
            "store as the service reaches it, unless TRACE_S3_PUBLIC_ENDPOINT_URL names it as users do"
        ) from error


def _statement(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise typer.BadParameter("give the statement, or --file, and not both")
    if file is not None:
        return file.read_text()
    return sys.stdin.read() if sql == "-" else str(sql)


def _print(found: dict[str, object], output: Output) -> None:
    from traceplane.cli import printing

    if output is not Output.TABLE:
        printing.structured(found, output)
    else:
        columns, rows = found["columns"], found["rows"]
        assert isinstance(columns, list)
        assert isinstance(rows, list)
        printing.table([column["name"] for column in columns], rows)
        plural = "" if found["row_count"] == 1 else "s"
        sys.stderr.write(f"{found['row_count']} row{plural} in {found['duration_ms']} ms\n")
    _warn(bool(found["truncated"]), found["row_count"])


def _warn(truncated: bool, rows: object) -> None:
    if truncated:
        sys.stderr.write(
            f"warning: the answer was cut after {rows} rows; aggregate, narrow the query, or use --export\n"
        )
