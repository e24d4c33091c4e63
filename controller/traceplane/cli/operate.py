"""`tracectl retry` and `tracectl cancel`: one task, by its id."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, call, calls
from traceplane.cli.printing import Output

Task = Annotated[UUID, typer.Argument(help="Id of the task: `tracectl get tasks`.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print the task.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("retry", no_args_is_help=True)(retry)
    app.command("cancel", no_args_is_help=True)(cancel)


@calls(USER_API)
def retry(api: Access, task: Task, output: Printed = Output.TABLE) -> None:
    """Try a failed or canceled task again, with all the attempts of its job. Needs the role writer.

    Example: tracectl retry 01a218df-065d-73c4-a675-4ee3ef767bc4
    """
    _operate(api, "retry", task, output)


@calls(USER_API)
def cancel(api: Access, task: Task, output: Printed = Output.TABLE) -> None:
    """Cancel a queued task, or request a running one to stop at its next heartbeat. Needs the role writer.

    Example: tracectl cancel 01a218df-065d-73c4-a675-4ee3ef767bc4
    """
    _operate(api, "cancel", task, output)


def _operate(api: Access, verb: str, task: UUID, output: Output) -> None:
    with api.client() as client:
        found = call(client, "POST", f"/v1/tasks/{task}/{verb}").json()
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)  # one object, not a list of one
    else:
        columns = ("id", "job", "status", "attempt", "max_attempts", "cancel_requested")
        printing.rows([found], columns, output)
