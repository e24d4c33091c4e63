"""`tracectl result`: the answer of a batch query."""

from __future__ import annotations

import sys
from contextlib import nullcontext
from enum import StrEnum
from typing import Annotated
from uuid import UUID

import typer

from traceplane.cli import answers, printing
from traceplane.cli.connection import QUERY_SERVICE, Access, call, calls
from traceplane.errors import NotFound


class Form(StrEnum):
    """`-o`."""

    URL = "url"
    PARQUET = "parquet"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("result", no_args_is_help=True)(result)


@calls(QUERY_SERVICE)
def result(
    service: Access,
    query_id: Annotated[str, typer.Argument(metavar="ID", help="What `tracectl query --batch` printed.")],
    output: Annotated[
        Form, typer.Option("--output", "-o", help="The file's address, the file, or its description.")
    ] = Form.URL,
    wait: Annotated[bool, typer.Option(help="Wait until the query has ended.")] = False,
    cancel: Annotated[bool, typer.Option(help="Cancel the query instead.")] = False,
) -> None:
    """Print the answer of a batch query: the address of its Parquet file.

    Exit code 1 where it has not ended yet, was canceled, or failed; then the reason is what `tracectl query` would
    have said.

    Examples:

      tracectl result --wait 0193a1b2-0000-7000-8000-000000000000

      tracectl result -o parquet 0193a1b2-0000-7000-8000-000000000000 > miners.parquet

      tracectl result --cancel 0193a1b2-0000-7000-8000-000000000000
    """
    query = _uuid(query_id)
    if output is Form.PARQUET:
        answers.binary_output(output.value)
    with service.client(answers.WAIT_SECONDS + answers.SLACK_SECONDS) as client:
        if cancel:
            found = call(client, "DELETE", f"/v1/queries/{query}").json()
            ended = found["state"] == "Canceled"
            sys.stderr.write("canceled\n" if ended else "the query is running; it will be canceled in a moment\n")
            return
        with answers.progress(f"query {query}; Ctrl-C leaves it running") if wait else nullcontext():
            found = answers.ended(client, query, wait=wait)
    if output is Form.JSON:
        printing.structured(found, printing.Output.JSON)
    elif found["output"] is None:
        raise NotFound("the answer's file was deleted, or you may no longer read the assets it was made from")
    else:
        answers.exported(found, download=output is Form.PARQUET)


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(
            f"{text!r} is not the id of a query; `tracectl query --batch` prints one"
        ) from None
