"""`tracectl logs`: what living pods of a job say, through kubectl and the caller's own rights in the cluster."""

from __future__ import annotations

import re
import subprocess
from typing import Annotated

import typer

from traceplane.cli import connection
from traceplane.errors import NotFound, Refused, Unavailable

MAX_PODS = 50
KUBECTL_SECONDS = 30
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("logs", no_args_is_help=True)(logs)


def logs(
    name: Annotated[str, typer.Argument(help="Name of a job, or of a pod.", metavar="JOB|POD")],
    follow: Annotated[bool, typer.Option("--follow", "-f", help="Go on until interrupted.")] = False,
    dag: Annotated[str | None, typer.Option(help="Only pods of this DAG's job.")] = None,
    tail: Annotated[int, typer.Option(help="Lines from the end of each pod; -1 for all.", min=-1)] = 100,
    namespace: Annotated[
        str | None, typer.Option("--namespace", "-n", help="Namespace of the pods; kubectl's own by default.")
    ] = None,
) -> None:
    """Print the logs of a job's living pods, or of one pod.

    Logs of pods that are gone are not kept.

    Examples:

      tracectl logs follow --dag monad -f

      tracectl logs monad-compact-1f2e3d4c-w0 --tail -1
    """
    if not _NAME.fullmatch(name) or (dag is not None and not _NAME.fullmatch(dag)):
        raise Refused(f"{name!r} is not the name of a job or a pod")
    scope = ["--namespace", namespace] if namespace else []
    pods = _pods(name, dag, scope)
    if not pods:
        raise NotFound(f"no living pod of a job {name!r}, and no pod of that name")
    if len(pods) > MAX_PODS:
        raise Refused(f"{len(pods)} pods; name one of them: {', '.join(pods[:5])}, ...")
    argv = [connection.kubectl(), "logs", *scope, f"--tail={tail}", "--all-containers"]
    argv += ["--follow"] if follow else []
    if len(pods) == 1:
        argv.append(pods[0])
    else:
        argv += ["--selector", _selector(name, dag), "--prefix", f"--max-log-requests={MAX_PODS}"]
    try:
        code = subprocess.run(argv).returncode
    except KeyboardInterrupt:
        code = 0  # the way to end --follow
    raise typer.Exit(1 if code else 0)


def _selector(job: str, dag: str | None) -> str:
    return f"trace.dev/job={job}" + (f",trace.dev/dag={dag}" if dag else "")


def _pods(name: str, dag: str | None, scope: list[str]) -> list[str]:
    """Names of the job's pods; else the pod of that name."""
    names = ["--output", 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}']
    found = _kubectl("get", "pods", *scope, "--selector", _selector(name, dag), *names)
    if found:
        return found
    return _kubectl("get", "pods", *scope, "--field-selector", f"metadata.name={name}", *names)


def _kubectl(*arguments: str) -> list[str]:
    done = subprocess.run(
        [connection.kubectl(), *arguments], capture_output=True, text=True, timeout=KUBECTL_SECONDS
    )
    if done.returncode:
        raise Unavailable(f"kubectl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.split()
