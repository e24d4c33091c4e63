"""What `tracectl query` and `tracectl result` share: answers that are files, and the wait for them."""

from __future__ import annotations

import sys
from contextlib import AbstractContextManager, nullcontext
from typing import Any

import typer

from traceplane.errors import Unavailable

ACCEPTED = 202
"""HTTP status of a batch query that has not ended."""
SLACK_SECONDS = 15.0
"""How much longer than the query's own limit an answer may take: the query may queue, and the answer travels."""


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
        with httpx.stream("GET", place["url"], timeout=SLACK_SECONDS, trust_env=False) as file:
            file.raise_for_status()
            for piece in file.iter_bytes():
                sys.stdout.buffer.write(piece)
    except httpx.HTTPError as error:
        raise Unavailable(
            f"{place['location']} cannot be fetched from here ({type(error).__name__}): the URL names the object "
            "store as the service reaches it, unless TRACE_S3_PUBLIC_ENDPOINT_URL names it as users do"
        ) from error
