"""`tracectl query`: one SELECT over published assets."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import answers, printing
from traceplane.cli.connection import QUERY_SERVICE, Access, call, calls
from traceplane.cli.options import LookedUpIn
from traceplane.cli.printing import Output
from traceplane.errors import Overloaded

if TYPE_CHECKING:
    import httpx

SECONDS = 60.0
HINT = "the query runs; Ctrl-C ends it"


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


@calls(QUERY_SERVICE)
def query(
    service: Access,
    sql: Annotated[str | None, typer.Argument(help="The statement; `-` reads it from standard input.")] = None,
    file: Annotated[
        Path | None, typer.Option("--file", "-f", help="File with the statement.", exists=True, dir_okay=False)
    ] = None,
    output: Annotated[Form, typer.Option("--output", "-o", help="How to print the rows.")] = Form.TABLE,
    namespace: LookedUpIn = None,
    timeout: Annotated[
        float | None,
        typer.Option(
            help="Seconds the query may take: 60, or as long as the service allows with --batch.", min=0.1
        ),
    ] = None,
    as_of: Annotated[
        str | None, typer.Option(help="Token `as_of` of an earlier answer: compute on what that was computed on.")
    ] = None,
    version: Annotated[
        str | None,
        typer.Option(help="Version of a DAG that the names mean: `staged`, or `v3`. Default: the active one."),
    ] = None,
    export: Annotated[
        bool,
        typer.Option(
            help="Let a large answer become a Parquet file instead of cutting it, and print the file's address."
        ),
    ] = False,
    batch: Annotated[
        bool, typer.Option(help="Submit the query as a batch query, and print its id for `tracectl result`.")
    ] = False,
) -> None:
    """Run one SELECT over published assets and print its rows.

    Without --server it reaches the service through `kubectl port-forward`; without a token it takes one of a
    service account. An answer that was cut short says so on standard error; `-o parquet`, --export and --batch cut
    nothing. --batch is for a query that takes longer than the service lets a caller wait.

    Examples:

      tracectl query 'SELECT max(block_number) FROM blocks'

      tracectl query -o csv -n research --file holders.sql > holders.csv

      tracectl query -o parquet 'FROM blocks' > blocks.parquet

      tracectl query --export 'FROM logs'

      echo 'FROM blocks LIMIT 5' | tracectl query -o json -

      tracectl query --batch 'SELECT miner, count(*) FROM blocks GROUP BY miner'
    """
    statement = _statement(sql, file)
    if output in (Form.ARROW, Form.PARQUET):
        answers.binary_output(output.value)
    seconds = timeout or (None if batch else SECONDS)
    whole = export or batch or output is Form.PARQUET
    body = {
        "sql": statement,
        "format": output.value if output in _RAW else "json",
        "mode": "batch" if batch else "interactive",
        "timeout_seconds": seconds,
        "overflow": "export" if whole else "truncate",
        "namespace": namespace,
        "as_of": as_of,
        "version": version,
    }
    given = {key: value for key, value in body.items() if value is not None}
    # A batch query is answered once it is queued, whatever its own limit.
    patience = answers.SLACK_SECONDS + (0.0 if batch else seconds or SECONDS)
    with service.client(patience) as client, nullcontext() if batch else answers.progress(HINT):
        answer = call(client, "POST", "/v1/query", json=given)
    if answer.status_code == answers.ACCEPTED:
        _submitted(answer.json()["id"], wanted=batch)
    else:
        _show(answer, output, export=export)


def _submitted(query: str, *, wanted: bool) -> None:
    """Print the id of a batch query. Raises Overloaded where the caller wanted an answer now."""
    if not wanted:
        raise Overloaded(
            "the service is busy, and queued the query as a batch query: "
            f"`tracectl result --wait {query}` gets the answer, `tracectl result --cancel {query}` cancels it",
            code="QueryLeft",
        )
    sys.stdout.write(f"{query}\n")
    sys.stderr.write(f"queued as a batch query; `tracectl result --wait {query}` gets the answer\n")


def _show(answer: httpx.Response, output: Form, *, export: bool) -> None:
    """Print an answer, or where its file lies, or the file."""
    found = answer.json() if answer.headers["content-type"] == "application/json" else None
    if found is not None and found.get("output"):
        answers.exported(found, download=output is Form.PARQUET and not export)
    elif found is None:
        (printing.delimited if output is Form.CSV else sys.stdout.buffer.write)(answer.content)
        _warn(answer.headers.get("x-trace-truncated") == "true", answer.headers.get("x-trace-row-count"))
    else:
        _print(found, Output(output.value))


def _statement(sql: str | None, file: Path | None) -> str:
    if (sql is None) == (file is None):
        raise typer.BadParameter("give the statement, or --file, and not both")
    if file is not None:
        return answers.decoded(file.read_bytes())
    return answers.decoded(sys.stdin.buffer.read()) if sql == "-" else str(sql)


def _print(found: dict[str, Any], output: Output) -> None:
    if output is not Output.TABLE:
        printing.structured(found, output)
    else:
        printing.table([column["name"] for column in found["columns"]], found["rows"])
        sys.stderr.write(f"{answers.counted(found)}\n")
    _warn(bool(found["truncated"]), found["row_count"])


def _warn(truncated: bool, rows: object) -> None:
    if truncated:
        sys.stderr.write(f"warning: {answers.CUT.format(rows=rows)}, or use --export\n")
