"""`tracectl`: one command for people and for processes.

Each verb lives in a module of its own with `register(app)`. Processes hang under `tracectl run`, so that what a
person types and what a pod starts are never confused. Modules import what is heavy inside their functions:
`tracectl lint` must not pay for kopf, nor the controller for DuckDB.

Exit codes: 0 done, 1 the answer is no (invalid manifest, failed query, refused), 2 wrong usage.
"""

from __future__ import annotations

import importlib
import io
import sys
from pathlib import Path

import typer

from traceplane.cli import escapes
from traceplane.cli.options import PLUGIN
from traceplane.errors import TraceError

app = typer.Typer(
    name="tracectl",
    help="Trace: pipelines from chains to SQL.",
    no_args_is_help=True,
    pretty_exceptions_enable=False,
)
processes = typer.Typer(help="Run one of Trace's processes (what the pods start).", no_args_is_help=True)
app.add_typer(processes, name="run")

_VERBS = (
    *("version", "doctor", "lint", "plan", "query", "sql", "result", "get", "lineage", "diff"),
    *("operate", "rollout", "asset", "logs", "admin"),
)
_PROCESSES = ("controller", "dispatcher", "query_service", "worker", "migrate")

for _names, _parent in ((_VERBS, app), (_PROCESSES, processes)):
    for _name in _names:
        importlib.import_module(f"traceplane.cli.{_name}").register(_parent)


def main() -> None:
    """Entry point of `tracectl`."""
    if isinstance(sys.stdout, io.TextIOWrapper):
        sys.stdout.reconfigure(encoding="utf-8")  # as JSON is, whatever the locale says
    try:
        # kubectl runs the plugin's file; what a person typed, and has to type again, are two words.
        app(prog_name=PLUGIN if Path(sys.argv[0]).name == "kubectl-tracedag" else None)
    except TraceError as error:
        sys.stderr.write(escapes.error_of(error.message, error.code))
        sys.exit(1)
