"""`tracectl rollout` and `tracectl rollback`: the versions of a DAG."""

from __future__ import annotations

import sys
import time
from typing import Annotated, Any

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, call, calls
from traceplane.cli.options import Namespace, Printed
from traceplane.cli.printing import Output
from traceplane.errors import Refused

LOOK_SECONDS = 2.0
"""Between two looks of `watch`."""
_BAR = 30

Dag = Annotated[str, typer.Argument(help="Name of the DAG.")]
Row = dict[str, Any]


def register(app: typer.Typer) -> None:
    """Add the verbs."""
    verbs = typer.Typer(help="Follow, approve and resume the rollout of a DAG's new version.", no_args_is_help=True)
    for verb in (status, watch, approve, resume):
        verbs.command(verb.__name__)(verb)
    app.add_typer(verbs, name="rollout")
    app.command("rollback", no_args_is_help=True)(rollback)
    app.command("gc", no_args_is_help=True)(gc)


@calls(USER_API)
def status(api: Access, dag: Dag, namespace: Namespace = None, output: Printed = Output.TABLE) -> None:
    """Show which version of a DAG serves, which is built beside it, and how far that is.

    Example: tracectl rollout status monad
    """
    with api.client() as client:
        found: Row = call(client, "GET", f"/v1/dags/{dag}/rollout", params=_where(namespace)).json()
    _print(found, output)


@calls(USER_API)
def watch(
    api: Access,
    dag: Dag,
    namespace: Namespace = None,
    timeout: Annotated[float, typer.Option(help="Seconds to wait at most.", min=1)] = 3600.0,
) -> None:
    """Follow a rollout until the new version is active or its preview built; with nothing staged, say what serves.

    Exits with 1 where the rebuild fails, is given up, or takes too long.

    Example: tracectl rollout watch monad
    """
    begun, first, seen = time.monotonic(), None, None
    with api.client() as client:
        while True:
            found: Row = call(client, "GET", f"/v1/dags/{dag}/rollout", params=_where(namespace)).json()
            if found["staged_version"] is None:
                if seen not in (None, found["active_version"]):
                    raise Refused(f"{seen} was given up; {found['active_version']} is active", code="GivenUp")
                sys.stdout.write(f"{found['active_version']} is active\n")
                return
            seen = found["staged_version"]
            done, passed = _share(found), time.monotonic() - begun
            first = (done, passed) if first is None else first
            sys.stdout.write(f"{found['staged_version']} {_bar(done)} {_remaining(first, done, passed)}\n")
            sys.stdout.flush()
            if found["phase"] == "Preview":
                over = f"is built over {_range(found['preview'])}, as spec.rollout.preview says"
                sys.stdout.write(f"{seen} {over}; it does not take over before that is removed\n")
                return
            if found["phase"] == "RebuildFailed":
                why = "; ".join(f"{job['job']}: {job['waits']}" for job in found["jobs"] if job["failed"])
                raise Refused(f"the rebuild failed: {why}", code="RebuildFailed")
            if passed > timeout:
                raise Refused(f"not active after {timeout:.0f} s; it goes on", code="Timeout")
            time.sleep(LOOK_SECONDS)


@calls(USER_API)
def approve(
    api: Access,
    dag: Dag,
    version: Annotated[str | None, typer.Option(help="Refuse unless this is the staged version.")] = None,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Let the staged version take over as soon as it is ready (`rollout.cutover: Manual`). Needs the role writer.

    Example: tracectl rollout approve monad --version v3
    """
    _post(api, f"/v1/dags/{dag}/rollout/approve", _where(namespace, version), output)


@calls(USER_API)
def resume(api: Access, dag: Dag, namespace: Namespace = None, output: Printed = Output.TABLE) -> None:
    """Deploy again the spec that a rollback held off. Needs the role writer.

    Example: tracectl rollout resume monad
    """
    _post(api, f"/v1/dags/{dag}/rollout/resume", _where(namespace), output)


@calls(USER_API)
def rollback(
    api: Access,
    dag: Dag,
    to: Annotated[str | None, typer.Option(help="Version: `v2`, or its whole name.", metavar="VERSION")] = None,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Make the version before the active one active again, or another one that was. Needs the role writer.

    Its data is still there, so this is instant. The spec as applied is held off until it changes.

    Examples:

      tracectl rollback monad

      tracectl rollback monad --to v2
    """
    _post(api, f"/v1/dags/{dag}/rollback", _where(namespace, to), output)


@calls(USER_API)
def gc(
    api: Access,
    dag: Dag,
    keep: Annotated[int, typer.Option(help="Former versions that stay, the last ones.", min=0, max=9999)] = 1,
    dry_run: Annotated[bool, typer.Option("--dry-run", help="Only say what would be purged.")] = False,
    namespace: Namespace = None,
    output: Printed = Output.TABLE,
) -> None:
    """Purge tables and files that only former versions of a DAG hold. Needs the role admin.

    What the active and the staged version hold stays, and so does the only copy of rows. A purged version cannot be
    rolled back to; its definition, applied again, is built anew.

    Examples:

      tracectl gc monad --dry-run

      tracectl gc monad --keep 2
    """
    parameters = _where(namespace) | {"keep": str(keep), "dry_run": str(dry_run).lower()}
    with api.client() as client:
        found: Row = call(client, "POST", f"/v1/dags/{dag}/gc", params=parameters).json()
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
        return
    printing.rows(found["items"], ("job", "output", "storage", "rows", "bytes", "location", "kept"), output)


def _post(api: Access, path: str, parameters: dict[str, str], output: Output) -> None:
    with api.client() as client:
        found: Row = call(client, "POST", path, params=parameters).json()
    _print(found, output)


def _where(namespace: str | None, version: str | None = None) -> dict[str, str]:
    given = {"namespace": namespace, "version": version}
    return {name: value for name, value in given.items() if value is not None}


def _print(found: Row, output: Output) -> None:
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, output)
        return
    shown = {name: value for name, value in found.items() if name != "jobs"}
    shown["preview"] = _range(found["preview"])
    printing.rows([shown], tuple(shown), output)
    if output is Output.TABLE and found["jobs"]:
        sys.stdout.write("\n")
        printing.rows(found["jobs"], ("job", "done", "total", "waits"), output)


def _range(given: Row | None) -> str | None:
    return None if given is None else f"{given['start']}-{given['end']}"


def _share(found: Row) -> float:
    """How much is done of what is known so far, from 0 to 1."""
    from traceplane.versions.readiness import Progress, share

    return share([Progress(**job) for job in found["jobs"]]) / 100


def _bar(done: float) -> str:
    filled = int(done * _BAR)
    return f"[{'#' * filled}{'.' * (_BAR - filled)}] {done:4.0%}"


def _remaining(first: tuple[float, float], done: float, passed: float) -> str:
    """How long the rest takes at the pace seen since the first look; nothing while there is no pace."""
    gained, seconds = done - first[0], passed - first[1]
    if gained <= 0 or done >= 1:
        return ""
    return f"about {seconds * (1 - done) / gained:.0f} s left"
