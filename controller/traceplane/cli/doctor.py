"""`tracectl doctor`: everything that a person would look at, in one command.

Two sources, neither of which needs the other: kubectl with the caller's own rights, and the user API, which tries
the databases, the object store and STS with the dispatcher's credentials.
"""

from __future__ import annotations

from dataclasses import asdict
from typing import Annotated

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, calls
from traceplane.cli.options import Printed
from traceplane.cli.printing import Output

COLUMNS = ("result", "part", "message", "remedy")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("doctor")(doctor)


@calls(USER_API)
def doctor(
    api: Access,
    output: Printed = Output.TABLE,
    server_only: Annotated[
        bool, typer.Option("--server-only", help="Ask the user API alone, and no kubectl.")
    ] = False,
) -> None:
    """Examine an installation: what is wrong with each of its parts, and what to do.

    The API server, CRDs, processes, network policies and DAGs through kubectl; clock, databases, object store, STS,
    queues and sources through the user API, whose token needs the role admin. Each is looked at within a bound and
    whatever the others say. Exit code 1 where something failed; a warning is none.

    Examples:

      tracectl doctor

      tracectl doctor -o json
    """
    from traceplane.cli.examine import cluster, finding, server

    found: list[finding.Finding] = []
    if not server_only:
        found += finding.all_of(cluster.EXAMINATIONS, finding.Cluster(api.release_namespace, api.aim))
    found += server.findings(api)
    printing.rows([asdict(each) for each in found], COLUMNS, output)
    if any(each.result is finding.Result.FAILED for each in found):
        raise typer.Exit(1)
