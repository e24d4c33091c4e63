"""What `tracectl query`, `sql` and `result` share: the text of statements, answers that are files, and waits."""

from __future__ import annotations

import sys
import time
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any
from uuid import UUID

import typer

from traceplane.cli.connection import authorities, call
from traceplane.errors import Refused, Stale, Unavailable

if TYPE_CHECKING:
    import httpx

ACCEPTED = 202
"""HTTP status of a batch query that has not ended."""
SLACK_SECONDS = 15.0
"""How much longer than the query's own limit an answer may take: the query may queue, and the answer travels."""

WAIT_SECONDS = 20
"""Longest wait of one request for the end of a batch query."""
CUT = "the answer was cut after {rows} rows; aggregate, narrow the query"


def decoded(text: bytes) -> str:
    """The text of statements. Raises Refused where it is not UTF-8."""
    try:
        return text.decode()
    except UnicodeDecodeError as error:
        raise Refused(f"byte {error.start} of the statement is not UTF-8", code="InvalidQuery") from None


def counted(found: dict[str, Any], *, timing: bool = True) -> str:
    """How many rows an answer has, and how long it took."""
    rows = f"{found['row_count']} row{'s' * (found['row_count'] != 1)}"
    return f"{rows} in {found['duration_ms']} ms" if timing else rows


def binary_output(form: str) -> None:
    """Refuse to print bytes to a terminal. Raises BadParameter."""
    if sys.stdout.isatty():
        raise typer.BadParameter(f"{form} is not for a terminal; redirect it into a file")


def progress(text: str) -> AbstractContextManager[object]:
    """Show a person at a terminal that something runs, and for how long; nothing to a program."""
    if not sys.stderr.isatty():
        return nullcontext()
    from rich.console import Console
    from rich.progress import Progress, SpinnerColumn, TextColumn, TimeElapsedColumn

    columns = (SpinnerColumn(), TextColumn("{task.description}"), TimeElapsedColumn())
    shown = Progress(*columns, console=Console(stderr=True), transient=True)
    shown.add_task(text, total=None)
    return shown


def exported(found: dict[str, Any], *, download: bool) -> None:
    """Print the URL of an answer that is a file, or the file. Raises Unavailable."""
    import httpx

    place = found["output"]
    sys.stderr.write(f"{found['row_count']} rows, {place['bytes']} bytes in {place['location']}\n")
    if not download:
        sys.stdout.write(f"{place['url']}\n")
        return
    try:
        with httpx.stream(
            "GET", place["url"], timeout=SLACK_SECONDS, trust_env=False, verify=authorities()
        ) as file:
            file.raise_for_status()
            for piece in file.iter_bytes():
                sys.stdout.buffer.write(piece)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{place['location']} cannot be fetched from here ({type(error).__name__}): the URL names the object "
            "store as the service reaches it, unless TRACE_S3_PUBLIC_ENDPOINT_URL names it as users do; where a "
            "private CA signed its certificate, SSL_CERT_FILE names the file with that CA's"
        ) from error


def ended(client: httpx.Client, query: UUID, *, wait: bool) -> dict[str, Any]:
    """Description of a query that succeeded. Raises what it failed with, and Stale where it has not ended."""
    while True:
        parameters = {"wait": WAIT_SECONDS} if wait else {}
        answer = call(client, "GET", f"/v1/queries/{query}", params=parameters)
        found: dict[str, Any] = answer.json()
        if answer.status_code != ACCEPTED:
            return found
        if not wait:
            raise Stale(f"the query has not ended ({found['state']}); --wait waits for it", code="QueryNotEnded")
        # A busy service answers before the wait is over. What the request did wait is part of the pause.
        time.sleep(max(0.0, float(answer.headers["retry-after"]) - answer.elapsed.total_seconds()))
