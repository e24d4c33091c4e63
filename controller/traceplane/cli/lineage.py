"""`tracectl lineage` and `tracectl explain`: where rows come from, and what others wait for."""

from __future__ import annotations

import sys
from typing import Annotated, Any

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, asset_path, call, calls
from traceplane.cli.options import Namespace, Printed
from traceplane.cli.printing import Output

_RUNS = (
    "distance",
    "job",
    "output",
    "partition",
    "start",
    "end",
    "rows",
    "task_id",
    "attempt",
    "cause",
    "worker_id",
)

Asset = Annotated[str, typer.Argument(help="Name of the asset.")]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    app.command("lineage", no_args_is_help=True)(lineage)
    app.command("explain", no_args_is_help=True)(explain)


@calls(USER_API)
def lineage(
    api: Access,
    asset: Asset,
    partition: Annotated[str | None, typer.Option(help="Who made this partition.")] = None,
    start: Annotated[int | None, typer.Option(help="Who made the rows from here ...")] = None,
    end: Annotated[int | None, typer.Option(help="... to here, inclusive.")] = None,
    depth: Annotated[int, typer.Option(help="Also who made what they read, so many jobs back.", min=0, max=32)] = 0,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Show what an asset is made from and what is made from it; of a partition or of rows, which tasks made them.

    Examples:

      tracectl lineage cold-blocks

      tracectl lineage cold-blocks --partition 0-999 --depth 3 -o json

      tracectl lineage blocks --start 1200 --end 1299
    """
    rows = {"partition": partition, "start": start, "end": end}
    if any(value is not None for value in rows.values()):
        found = _ask(api, asset, "runs", namespace, depth=depth, **rows)
        printing.rows(found["items"], _RUNS, output)
    else:
        found = _ask(api, asset, "lineage", namespace)
        columns = ("side", "distance", "asset", "namespace", "dag", "job", "output", "version")
        printing.rows(found["items"], columns, output)
    _warn(found)


@calls(USER_API)
def explain(
    api: Access,
    asset: Asset,
    at: Annotated[int | None, typer.Option(help="A block, or another value of the scope column.")] = None,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Say why an asset is not fresh, or has not a certain block yet: each job back to its source with its reason.

    Examples:

      tracectl explain cold-blocks

      tracectl explain cold-blocks --at 1234
    """
    found = _ask(api, asset, "explanation", namespace, at=at)
    printing.rows(found["items"], ("distance", "dag", "job", "reason", "message", "remedy"), output)
    _warn(found)


def _ask(api: Access, asset: str, what: str, namespace: str | None, **query: object) -> dict[str, Any]:
    given = {name: str(value) for name, value in {"namespace": namespace, **query}.items() if value is not None}
    with api.client() as client:
        found: dict[str, Any] = call(client, "GET", f"{asset_path(asset)}/{what}", params=given).json()
    return found


def _warn(found: dict[str, Any]) -> None:
    if found["truncated"]:
        sys.stderr.write(f"warning: only the nearest {len(found['items'])} are shown\n")
