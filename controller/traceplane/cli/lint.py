"""`tracectl lint`: what the API server and the controller would say about manifests, without either.

The same models, rules and graph validation run here as in the controller. All files given are taken as one set,
so a Job finds its DAG and a federation its two assets in another file.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from difflib import SequenceMatcher
from enum import StrEnum
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

if TYPE_CHECKING:
    from traceplane.cli.manifests import Document
    from traceplane.cli.yaml_nodes import Unreadable
    from traceplane.graph import Graph, LookUp

MAX_OBJECT_BYTES = 1536 * 1024
"""etcd's default limit of a request, which the API server passes on (etcd, "System limits")."""
_COLUMNS = ("file", "line", "object", "path", "code", "message")


class Output(StrEnum):
    """How problems are printed."""

    TEXT = "text"
    TABLE = "table"
    JSON = "json"
    YAML = "yaml"


@dataclass(frozen=True, slots=True)
class Finding:
    """A problem and where it is written."""

    file: str
    line: int
    object: str
    path: str
    message: str
    code: str

    def __str__(self) -> str:
        field = f"{self.path}: " if self.path else ""
        return f"{self.file}:{self.line}: {self.object}: {field}{self.message} [{self.code}]"


@dataclass(frozen=True, slots=True)
class Checked:
    """What was found in a set of files; `skipped` documents are of other API groups."""

    findings: tuple[Finding, ...]
    resources: int
    skipped: int


def check(paths: list[Path]) -> Checked:
    """Check everything in `paths` as one set."""
    return review(paths)[0]


def review(paths: list[Path], look_up: LookUp | None = None) -> tuple[Checked, tuple[Graph, ...]]:
    """What is wrong with everything in `paths`, taken as one set, and the graphs of the DAGs that are right.
    Without `look_up`, nothing is known of assets that DAGs outside of the set publish."""
    from traceplane import graph, operator_registry
    from traceplane.cli.manifests import documents, files_in, read
    from traceplane.cli.yaml_nodes import Unreadable
    from traceplane.query.validation import StatementChecker

    findings: list[Finding] = []
    taken: list[tuple[str, Document]] = []
    skipped = 0
    for path in files_in(paths):
        try:
            for document in documents(read(path)):
                if document.wrong:
                    findings += [_unreadable(path, wrong) for wrong in document.wrong]
                elif refused := _refused(document):
                    findings.append(Finding(str(path), document.line, *refused))
                elif _is_foreign(document.value):
                    skipped += 1
                else:
                    taken.append((str(path), document))
        except Unreadable as error:
            findings.append(_unreadable(path, error))
    with StatementChecker() as checker:
        values = [document.value for _, document in taken]
        reviewed = graph.review(values, operator_registry.load(), checker, look_up)
    for index, problems in reviewed.problems.items():
        file, document = taken[index]
        findings += [Finding(file, document.line_of(p.path), p.source, p.path, p.message, p.code) for p in problems]
    # On one line they stay as they come, fields by name and items by number.
    findings.sort(key=lambda finding: (finding.file, finding.line))
    return Checked(tuple(findings), len(taken), skipped), reviewed.graphs


def _unreadable(path: Path, error: Unreadable) -> Finding:
    return Finding(str(path), error.line, "document", "", error.message, error.code)


def _refused(document: Document) -> tuple[str, str, str, str] | None:
    """Object, path, message and code of a document that is no manifest at all, or one too large to apply."""
    if not isinstance(document.value, dict):
        return "document", "", "is no object with apiVersion, kind, metadata and spec", "WrongType"
    size = len(json.dumps(document.value))
    if size > MAX_OBJECT_BYTES:
        message = f"has {size} bytes; the API server takes at most {MAX_OBJECT_BYTES}, move jobs into Job objects"
        return "document", "", message, "TooLarge"
    return None


def _is_foreign(document: dict[str, Any]) -> bool:
    """Whether the document belongs to another API group, such as a Secret beside the DAG."""
    version = document.get("apiVersion")
    if not isinstance(version, str) or not isinstance(document.get("kind"), str):
        return False
    group = version.partition("/")[0]
    misspelt = len(group) <= 32 and SequenceMatcher(None, group, "trace.dev").ratio() >= 0.8
    return not misspelt and document["kind"] != "DAG"


def lint(
    files: Annotated[
        list[Path] | None, typer.Option("--filename", "-f", help="File or folder; `-` is standard input.")
    ] = None,
    more: Annotated[list[Path] | None, typer.Argument(help="More files and folders.", show_default=False)] = None,
    output: Annotated[Output, typer.Option("--output", "-o", help="text: one line a problem.")] = Output.TEXT,
) -> None:
    """Check manifests without a cluster. Exit code 1 where something is wrong with them."""
    paths = [*(files or ()), *(more or ())]
    if not paths:
        raise typer.BadParameter("give files or folders with -f", param_hint="-f")
    for path in paths:
        if str(path) != "-" and not path.exists():
            raise typer.BadParameter(f"{path} does not exist", param_hint="-f")
    checked = check(paths)
    _print(checked, output)
    if checked.findings:
        raise typer.Exit(1)


def _print(checked: Checked, output: Output) -> None:
    from traceplane.cli import printing

    if output in (Output.JSON, Output.YAML):
        printing.structured(_plain(checked), printing.Output(output.value))
        return
    if output is Output.TABLE:
        printing.table(_COLUMNS, [[getattr(finding, name) for name in _COLUMNS] for finding in checked.findings])
    else:
        for finding in checked.findings:
            typer.echo(str(finding))
    typer.echo(_summary(checked), err=True)


def _plain(checked: Checked) -> dict[str, Any]:
    return {
        "problems": [{name: getattr(finding, name) for name in _COLUMNS} for finding in checked.findings],
        "resources": checked.resources,
        "skipped": checked.skipped,
    }


def _summary(checked: Checked) -> str:
    skipped = f", {checked.skipped} of other API groups skipped" if checked.skipped else ""
    count = len(checked.findings)
    found = f"{count} problem{'s' * (count != 1)}" if count else "no problem"
    return f"{found} in {checked.resources} resource{'s' * (checked.resources != 1)}{skipped}"


def register(app: typer.Typer) -> None:
    """Add the verb."""
    app.command("lint")(lint)
