"""`tracectl version`: which release this command is, which one answers, and whether they go together."""

from __future__ import annotations

import sys
from enum import StrEnum
from importlib.metadata import version as version_of
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, call, calls
from traceplane.errors import TraceError

if TYPE_CHECKING:
    import httpx


class Output(StrEnum):
    """`-o`."""

    TEXT = "text"
    JSON = "json"
    YAML = "yaml"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("version")(version)


@calls(USER_API)
def version(
    api: Access,
    client: Annotated[bool, typer.Option("--client", help="Only of this command: ask no server.")] = False,
    output: Annotated[Output, typer.Option("--output", "-o", help="How to print.")] = Output.TEXT,
) -> None:
    """Print the version of this command and of the server, and whether they differ.

    Exit code 1 where the server does not answer; the version of this command is printed all the same.

    Examples:

      tracectl version

      tracectl version --client -o json
    """
    found: dict[str, Any] = {"client": {"version": own()}}
    failure: TraceError | None = None
    if not client:
        try:
            with api.client() as http:
                found["server"] = of_server(http)
            found["skew"] = skew(own(), found["server"]["version"])
        except TraceError as error:
            failure = error
    if output is Output.TEXT:
        for part in ("client", "server"):
            if part in found:
                typer.echo(f"{part.capitalize()} version: {found[part]['version']}")
        if found.get("skew"):
            sys.stderr.write(f"warning: {found['skew']}\n")
    else:
        printing.structured(found, printing.Output(output.value))
    if failure is not None:
        raise failure


def own() -> str:
    """The version of this command."""
    return version_of("traceplane")


def of_server(http: httpx.Client) -> dict[str, Any]:
    """What the server says of itself. Raises TraceError."""
    found: dict[str, Any] = call(http, "GET", "/v1/version").json()
    return found


def skew(client: str, server: str) -> str | None:
    """What to do about two versions that differ; None where they are the same."""
    if client == server:
        return None
    return f"tracectl is {client} and the server is {server}: install tracectl of the server's version"
