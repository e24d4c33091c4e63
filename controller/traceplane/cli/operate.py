"""`tracectl retry` and `tracectl cancel`: one task, by its id."""

from __future__ import annotations

from typing import Annotated
from uuid import UUID

import typer

from traceplane.cli import connection
from traceplane.cli.get import ANSWER_SECONDS, COMPONENT, PORT, Server
from traceplane.cli.printing import Output

Task = Annotated[UUID, typer.Argument(help="Id of the task: `tracectl get tasks`.")]
Printed = Annotated[Output, typer.Option("--output", "-o", help="How to print the task.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("retry", no_args_is_help=True)(retry)
    app.command("cancel", no_args_is_help=True)(cancel)


def retry(
    task: Task,
    output: Printed = Output.TABLE,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """Try a failed or canceled task again, with all the attempts of its job. Needs the role writer.

    Example: tracectl retry 01a218df-065d-73c4-a675-4ee3ef767bc4
    """
    _operate(
        "retry", task, output, connection.Access(server, token_file, token, release_namespace, account, audience)
    )


def cancel(
    task: Task,
    output: Printed = Output.TABLE,
    server: Server = None,
    token_file: connection.TokenFile = None,
    token: connection.Token = None,
    release_namespace: connection.ReleaseNamespace = connection.DEFAULT_RELEASE,
    account: connection.ServiceAccount = None,
    audience: connection.Audience = connection.DEFAULT_AUDIENCE,
) -> None:
    """End a task that waits; ask one that runs to stop, which it hears at its next heartbeat. Needs the role
    writer.

    Example: tracectl cancel 01a218df-065d-73c4-a675-4ee3ef767bc4
    """
    _operate(
        "cancel", task, output, connection.Access(server, token_file, token, release_namespace, account, audience)
    )


def _operate(verb: str, task: UUID, output: Output, access: connection.Access) -> None:
    from traceplane.cli import printing

    with access.client(COMPONENT, PORT, ANSWER_SECONDS) as client:
        found = connection.call(client, "POST", f"/v1/tasks/{task}/{verb}").json()
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
        return
    columns = ("id", "job", "status", "attempt", "max_attempts", "cancel_requested")
    rows = [[found[name] for name in columns]]
    (printing.table if output is Output.TABLE else printing.lines)(columns, rows)
