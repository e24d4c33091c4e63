"""`tracectl plan`: what applying manifests would do to the DAGs that run."""

from __future__ import annotations

import sys
from collections.abc import Collection
from dataclasses import asdict
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any
from uuid import UUID

import typer

from traceplane.cli import printing
from traceplane.cli.connection import USER_API, Access, call, calls
from traceplane.cli.options import Namespace

if TYPE_CHECKING:
    from traceplane.graph import AssetRef, Found, Graph
    from traceplane.kinds import DAG
    from traceplane.versions.plan import Plan

Row = dict[str, Any]
_COLUMNS = ("job", "action", "tasks", "partitions", "rows", "bytes", "rpc_calls", "reasons")
_SAYS = {
    "Create": "is new",
    "Nothing": "changes nothing",
    "Swap": "is active at once: all it needs is built",
    "Rebuild": "is built beside the running version, and takes over when it is whole",
}


class Output(StrEnum):
    """`-o`."""

    TABLE = "table"
    MARKDOWN = "markdown"
    JSON = "json"
    YAML = "yaml"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("plan", no_args_is_help=True)(plan)


@calls(USER_API)
def plan(
    api: Access,
    files: Annotated[list[Path], typer.Option("--filename", "-f", help="File or folder; `-` is standard input.")],
    namespace: Namespace = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="markdown: for a pull request.")] = Output.TABLE,
) -> None:
    """Say what applying manifests would do: which jobs are rebuilt and why, and what that costs.

    Changes nothing. Exits with 1 where the manifests are wrong.

    Examples:

      tracectl plan -f dags/

      tracectl plan -f dags/ -o markdown
    """
    from traceplane.cli import lint

    with api.client() as client:
        checked, graphs = lint.review(files, lambda dag, refs: _looked_up(client, namespace, dag, refs))
        if checked.findings:
            for finding in checked.findings:
                sys.stderr.write(f"{finding}\n")
            raise typer.Exit(1)
        found = [_planned(client, graph, namespace) for graph in graphs]
    if output in (Output.JSON, Output.YAML):
        printing.structured(found, printing.Output(output.value))
        return
    for one in found:
        sys.stdout.write(_markdown(one) if output is Output.MARKDOWN else f"{_head(one)}\n")
        if output is Output.TABLE:
            printing.table(_COLUMNS, [_cells(job) for job in one["jobs"]], null="")
            sys.stdout.writelines(f"{line}\n" for line in _readers(one))


def _looked_up(client: Any, namespace: str | None, dag: DAG, refs: Collection[AssetRef]) -> Found:
    """What the server knows of assets that a DAG reads of others."""
    from traceplane.graph import AssetRef
    from traceplane.store.statements.asset_inputs import CurrentAsset
    from traceplane.versions import asset_inputs

    parameters = {} if namespace is None else {"namespace": namespace}
    own = dag.metadata.namespace
    # The DAG may be planned in another namespace than its manifest says: what is of its own is there as well.
    asked = [{"namespace": "" if ref.namespace == own else ref.namespace, "asset": ref.asset} for ref in refs]
    answer = call(client, "POST", f"/v1/dags/{dag.name}/inputs", params=parameters, json={"assets": asked}).json()
    rows = [CurrentAsset(**one) for one in answer["items"]]
    known = asset_inputs.found(answer["namespace"], dag.name, rows, own)
    # An input may say the namespace that it is planned in, where the manifest of its DAG says another one.
    spelled = {ref: AssetRef(own, ref.asset) for ref in refs if ref.namespace == answer["namespace"]}
    return {**known, **{ref: known[same] for ref, same in spelled.items() if same in known}}


def _planned(client: Any, graph: Graph, namespace: str | None) -> Row:
    """The plan of one DAG, as JSON."""
    from traceplane.graph import NOT_DEPLOYED
    from traceplane.store.statements.asset_inputs import Reader
    from traceplane.versions import plan as plans

    jobs = [{"name": job.name, "config_hash": job.config_hash} for job in graph.jobs]
    parameters = {} if namespace is None else {"namespace": namespace}
    reads = [edge.asset.version_id for job in graph.jobs for edge in job.inputs if edge.asset]
    body: Row = {
        "spec_hash": graph.spec_hash,
        "written_hash": graph.written_hash,
        "jobs": jobs,
        "reads": [one for one in dict.fromkeys(reads) if not one.startswith(NOT_DEPLOYED)],
    }
    preview = None if graph.preview is None else dict(zip(("start", "end"), graph.preview, strict=True))
    if preview is not None:  # a server of a release before knows no such field
        body["preview"] = preview
    known: Row = call(client, "POST", f"/v1/dags/{graph.dag}/plan", params=parameters, json=body).json()
    made = _plan(graph, known)
    reading = [Reader(**one) for one in known["readers"]]
    named = known["version"] or f"a new version ({graph.spec_hash[:8]})"
    active = {name: known[name] for name in ("active_version", "staged_version", "held", "purged")}
    return {
        "dag": graph.dag,
        "version": named,
        **active,
        "result": made.result,
        "preview": preview if made.result == "Rebuild" else None,
        "cutover": graph.cutover,
        "jobs": list(map(asdict, made.jobs)),
        "readers": [asdict(reader) | {"effect": effect} for reader, effect in plans.readers(graph, made, reading)],
    }


def _plan(graph: Graph, known: Row) -> Plan:
    from traceplane import operator_registry
    from traceplane.store.statements.plans import Size
    from traceplane.store.statements.versions import StoredGeneration
    from traceplane.versions import plan as plans

    generations = [StoredGeneration(**one | {"id": UUID(one["id"])}) for one in known["generations"]]
    sizes = [Size(**one | {"version": UUID(one["version"])}) for one in known["sizes"]]
    calls = {name: operator.calls_per_value for name, operator in operator_registry.load().items()}
    return plans.plan(graph, generations, sizes, active_spec_hash=known["active_spec_hash"], calls=calls)


def _head(one: Row) -> str:
    """What happens to the DAG, in a line."""
    preview = one["preview"]
    over = f" over {preview['start']}-{preview['end']} only" if preview else ""
    if one["staged_version"] == one["version"]:
        return f"{one['dag']}: {one['version']} is being built already{over}; {one['active_version']} serves"
    rebuilt = one["result"] == "Rebuild"
    approved = " and approved" if rebuilt and not over and one["cutover"] == "Manual" else ""
    serves = f"{approved}; {one['active_version']} serves" if rebuilt else ""
    ends = f"; what is staged ({one['staged_version']}) is given up" if one["staged_version"] else ""
    held = "; it is held off by a rollback: `tracectl rollout resume`" if one["held"] else ""
    purged = "; its data was purged, so it is made again" if one["purged"] else ""
    says = f"is built{over} (spec.rollout.preview), and does not take over" if over else _SAYS[one["result"]]
    return f"{one['dag']}: {one['version']} {says}{serves}{purged}{ends}{held}"


def _readers(one: Row) -> list[str]:
    """Whom in other DAGs it concerns, a line each."""
    return [
        f"read by {reader['namespace']}/{reader['dag']}: job {reader['reader']} reads "
        f"{reader['job']}/{reader['output']}, and {reader['effect']}"
        for reader in one["readers"]
    ]


def _cells(job: Row) -> list[Any]:
    """A row of the table: what is not known before it runs is `?`, an estimate has a `~`."""
    tasks = "?" if job["tasks"] is None else f"{'' if job['exact'] else '~'}{job['tasks']}"
    calls = "?" if job["rpc_calls"] is None else job["rpc_calls"]
    counted = [job["partitions"], job["rows"], job["bytes"]]
    return [job["job"], job["action"], tasks, *counted, calls, ", ".join(job["reasons"])]


def _markdown(one: Row) -> str:
    """A section of a comment: GitHub and GitLab draw its table."""
    rows = [_COLUMNS, ["---"] * len(_COLUMNS), *(_cells(job) for job in one["jobs"])]
    lines = ["| " + " | ".join(str(cell).replace("|", "\\|") for cell in row) + " |" for row in rows]
    readers = "".join(f"- {line}\n" for line in _readers(one))
    return f"**{_head(one)}**\n\n" + "\n".join(lines) + "\n\n" + (f"{readers}\n" if readers else "")
