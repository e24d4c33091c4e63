"""`tracectl result`: the answer of a query that was left to be run."""

from __future__ import annotations

import sys
import time
from contextlib import nullcontext
from enum import StrEnum
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from traceplane.cli import connection
from traceplane.cli.query import ACCEPTED, COMPONENT, PORT, SLACK_SECONDS, Server, exported, waiting
from traceplane.errors import NotFound, Stale

if TYPE_CHECKING:
    import httpx

WAIT_SECONDS = 20
"""Of one request that waits for a query's end."""


class Form(StrEnum):
    """`-o`."""

    URL = "url"
    PARQUET = "parquet"
    JSON = "json"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("result", no_args_is_help=True)(result)


def result(
    query_id: Annotated[str, typer.Argument(metavar="ID", help="What `tracectl query --batch` printed.")],
    output: Annotated[
        Form, typer.Option("--output", "-o", help="The file's address, the file, or what is known of it.")
    ] = Form.URL,
    wait: Annotated[bool, typer.Option(help="Wait until the query has ended.")] = False,
    cancel: Annotated[bool, typer.Option(help="End the query instead.")] = False,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """Print the answer of a query that was left to be run: the address of its Parquet file.

    Exit code 1 where it has not ended yet, was canceled, or failed; then the reason is what `tracectl query` would
    have said.

    Examples:

      tracectl result --wait 0193a1b2-0000-7000-8000-000000000000

      tracectl result -o parquet 0193a1b2-0000-7000-8000-000000000000 > miners.parquet

      tracectl result --cancel 0193a1b2-0000-7000-8000-000000000000
    """
    query = _uuid(query_id)
    if output is Form.PARQUET and sys.stdout.isatty():
        raise typer.BadParameter("parquet is not for a terminal; redirect it into a file")
    access = connection.Access(server, token_file, token, release_namespace, account, audience)
    with access.client(COMPONENT, PORT, WAIT_SECONDS + SLACK_SECONDS) as client:
        if cancel:
            found = connection.call(client, "DELETE", f"/v1/queries/{query}").json()
            sys.stderr.write("canceled\n" if found["state"] == "Canceled" else "it runs, and ends in a moment\n")
            return
        with waiting(f"query {query}; Ctrl-C leaves it running") if wait else nullcontext():
            found = _known(client, query, wait=wait)
    from traceplane.cli import printing

    if output is Form.JSON:
        printing.structured(found, printing.Output.JSON)
    elif found["output"] is None:
        raise NotFound("the answer's file is gone, or you may not read any more what it was read from")
    else:
        exported(found, download=output is Form.PARQUET)


def _known(client: httpx.Client, query: UUID, *, wait: bool) -> dict[str, Any]:
    """What is known of a query that has ended well. Raises what it failed with, and Stale where it goes on."""
    while True:
        asked = {"wait": WAIT_SECONDS} if wait else {}
        answer = connection.call(client, "GET", f"/v1/queries/{query}", params=asked)
        found: dict[str, Any] = answer.json()
        if answer.status_code != ACCEPTED:
            return found
        if not wait:
            raise Stale(f"the query has not ended ({found['state']}); --wait waits for it", code="QueryNotEnded")
        # It may have been too busy to let us wait. The time that it did let us is part of the pause.
        time.sleep(max(0.0, float(answer.headers["retry-after"]) - answer.elapsed.total_seconds()))


def _uuid(text: str) -> UUID:
    try:
        return UUID(text)
    except ValueError:
        raise typer.BadParameter(f"{text!r} is no id of a query; `tracectl query --batch` prints one") from None
