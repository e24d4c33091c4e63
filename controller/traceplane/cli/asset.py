"""`tracectl asset refresh`: read an external asset's source again."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from traceplane.cli import printing
from traceplane.cli.answers import progress
from traceplane.cli.connection import USER_API, Access, asset_path, call, calls
from traceplane.cli.options import Namespace, Printed
from traceplane.cli.printing import Output
from traceplane.errors import Refused

LOOK_SECONDS = 0.5
"""Between two looks at a refresh that goes on."""

Row = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    verbs = typer.Typer(help="Refresh external assets.", no_args_is_help=True)
    # Typer makes a group of one command that command; with a callback it stays a group.
    verbs.callback()(_group)
    verbs.command("refresh", no_args_is_help=True)(refresh)
    app.add_typer(verbs, name="asset")


def _group() -> None:
    """Refresh external assets."""


@calls(USER_API)
def refresh(
    api: Access,
    name: Annotated[str, typer.Argument(help="Name of the asset.")],
    namespace: Namespace = None,
    wait: Annotated[bool, typer.Option("--wait/--no-wait", help="Wait until it has ended.")] = True,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.", min=1)] = 3600.0,
    output: Printed = Output.TABLE,
) -> None:
    """Read the files or the table of an external asset; new content becomes a version. Needs the role writer.

    The same content makes no version. Content that cannot be read changes nothing, and exits with 1.

    Example: tracectl asset refresh prices
    """
    path = f"{asset_path(name)}/refresh"
    scope = {} if namespace is None else {"namespace": namespace}
    with api.client() as client:
        found: Row = call(client, "POST", path, params=scope).json()
        with progress(f"{name}: reading"):
            deadline = time.monotonic() + timeout
            while wait and not _ended(found):
                if time.monotonic() > deadline:
                    raise Refused(f"not refreshed after {timeout:.0f} s; it goes on", code="Timeout")
                time.sleep(LOOK_SECONDS)
                found = call(client, "GET", path, params=scope | {"task": found["task"]}).json()
    if found["status"] in ("Failed", "Canceled"):
        error = found["error"] or {"code": found["status"], "message": "the refresh was canceled"}
        raise Refused(f"{error['message']}; {_kept(found)}", code=error["code"])
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
        return
    printing.rows([found], ("asset", "result", "before", "version", "rows", "bytes"), output)
    if output is Output.TABLE and found["result"] == "Unchanged":
        sys.stderr.write(f"the content is that of {found['version']}: no version was made\n")


def _ended(found: Row) -> bool:
    return found["status"] in ("Completed", "Canceled") or (
        found["status"] == "Failed" and found["next_retry_at"] is None
    )


def _kept(found: Row) -> str:
    return f"readers keep {found['version']}" if found["version"] else "there is nothing to read yet"
