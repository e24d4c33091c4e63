"""`tracectl sql`: statement after statement, typed or from standard input."""

from __future__ import annotations

import sys
from typing import Annotated

import typer

from traceplane.cli import answers
from traceplane.cli.connection import QUERY_SERVICE, Access, calls
from traceplane.cli.options import LookedUpIn
from traceplane.errors import Refused

SECONDS = 60.0


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("sql")(sql)


@calls(QUERY_SERVICE)
def sql(
    service: Access,
    namespace: LookedUpIn = None,
    timeout: Annotated[float, typer.Option(help="Seconds that one statement may take.", min=0.1)] = SECONDS,
) -> None:
    """Ask statement after statement at a prompt, or run those on standard input.

    A statement ends with `;` and may have several lines. Tab completes names of assets and columns, Ctrl-C cancels
    the running query, Ctrl-D leaves, and `\\?` lists the commands. Names come from the user API: at TRACE_USER_URL,
    or where the query service is. What is longer or wider than the screen goes through PAGER.

    Without a terminal it runs what it reads and stops at the first statement that fails, with psql's exit codes:
    3 a statement failed, 2 the service cannot be reached.

    Examples:

      tracectl sql -n research

      tracectl sql -n research < statements.sql
    """
    from traceplane.cli.prompt import script
    from traceplane.cli.prompt.session import Session

    session = Session(service, namespace, timeout)
    try:
        if sys.stdin.isatty() and sys.stdout.isatty():
            _prompt(session)
        else:
            raise typer.Exit(script.run(answers.decoded(sys.stdin.buffer.read()), session))
    finally:
        session.close()


def _prompt(session: object) -> None:
    try:
        from traceplane.cli.prompt import terminal
    except ModuleNotFoundError as error:
        if error.name != "prompt_toolkit":
            raise
        raise Refused("the prompt needs prompt-toolkit: install traceplane[sql]", code="NotInstalled") from None
    terminal.run(session)  # type: ignore[arg-type]
