"""`tracectl logs`: logs of the running pods of a job, through kubectl and the caller's own rights."""

from __future__ import annotations

import json
import re
import subprocess
import sys
from enum import StrEnum
from typing import Annotated

import typer

from traceplane.cli import escapes, kubectl
from traceplane.cli.options import Context, Kubeconfig
from traceplane.errors import NotFound, Refused, Unavailable

MAX_PODS = 50
KUBECTL_SECONDS = 30
_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")
_LINE = re.compile(r"\[pod/(?P<pod>[^/\]]+)/(?P<container>[^\]]+)\] (?P<time>\S+) (?P<message>.*)", re.DOTALL)


class Output(StrEnum):
    """How lines are printed."""

    TEXT = "text"
    JSON = "json"


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
    output: Annotated[
        Output, typer.Option("--output", "-o", help="text: lines as they are; json: an object a line.")
    ] = Output.TEXT,
    context: Context = None,
    kubeconfig: Kubeconfig = None,
) -> None:
    """Print the logs of a job's running pods, or of one pod.

    Logs of deleted pods are not kept.

    Examples:

      tracectl logs follow --dag monad -f

      tracectl logs monad-compact-1f2e3d4c-w0 --tail -1

      tracectl logs compact -o json | jq -r .message
    """
    if not _NAME.fullmatch(name) or (dag is not None and not _NAME.fullmatch(dag)):
        raise Refused(f"{name!r} is not the name of a job or a pod")
    scope = ["--namespace", namespace] if namespace else []
    scope += kubectl.options(context, kubeconfig)
    pods = _pods("--selector", _selector(name, dag), scope)
    # Of a job's pods the worker speaks, and not what a mesh or a vault put beside it.
    containers = "--container=worker" if pods else "--all-containers"
    pods = pods or _pods("--field-selector", f"metadata.name={name}", scope)
    if not pods:
        raise NotFound(f"no running pod of a job {name!r}, and no pod of that name")
    if len(pods) > MAX_PODS:
        raise Refused(f"{len(pods)} pods; name one of them: {', '.join(pods[:5])}, ...")
    argv = ["logs", *scope, f"--tail={tail}", containers]
    argv += ["--follow"] if follow else []
    if len(pods) == 1:
        argv.append(pods[0])
    else:
        argv += ["--selector", _selector(name, dag), f"--max-log-requests={MAX_PODS}"]
    if output is Output.JSON:
        argv += ["--prefix", "--timestamps"]
    elif len(pods) > 1:
        argv.append("--prefix")
    try:
        code = _print(argv, output)
    except KeyboardInterrupt:
        code = 0  # the way to end --follow
    raise typer.Exit(1 if code else 0)


def _print(argv: list[str], output: Output) -> int:
    """Run kubectl and pass on what it says; returns its exit code."""
    piped = subprocess.PIPE if output is Output.JSON else None
    with kubectl.running(*argv, stdout=piped) as process:
        for line in process.stdout or ():
            parsed = json.dumps(_parsed(line.rstrip("\n")), ensure_ascii=False)
            sys.stdout.write(escapes.json_of(parsed) + "\n")
            sys.stdout.flush()
        return process.wait()


def _parsed(line: str) -> dict[str, str | None]:
    """A line of `kubectl logs --prefix --timestamps`; a notice of kubectl's own has only a message."""
    found = _LINE.fullmatch(line)
    return found.groupdict() if found else {"pod": None, "container": None, "time": None, "message": line}


def _selector(job: str, dag: str | None) -> str:
    return f"trace.dev/job={job}" + (f",trace.dev/dag={dag}" if dag else "")


def _pods(selector: str, of: str, scope: list[str]) -> list[str]:
    """Names of the pods that a selector of kubectl's finds."""
    names = ["--output", 'jsonpath={range .items[*]}{.metadata.name}{"\\n"}{end}']
    return _kubectl("get", "pods", *scope, selector, of, *names)


def _kubectl(*arguments: str) -> list[str]:
    done = kubectl.run(*arguments, seconds=KUBECTL_SECONDS)
    if done.returncode:
        raise Unavailable(f"kubectl {arguments[0]}: {done.stderr.strip()}")
    return done.stdout.split()
