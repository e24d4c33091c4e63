"""Which jobs of a new spec would have to be rebuilt, and why: the words of a refusal.   (pure)

A job whose config hash is new produces other rows than before, so its data must be made again beside what is
served now. That staging is not supported yet; until it is, such a spec is refused and the running version stays.
The reason names the jobs and the fields a person changed, apart from the jobs that merely read changed ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from typing import Any

from traceplane.errors import Refused
from traceplane.graph import Graph, GraphJob
from traceplane.store.statements.versions import StoredGeneration

_MAX_JOBS = 10
_MAX_VALUE = 40

_FIELDS = {
    "operator": "operator",
    "activation": "activation",
    "execution_strategy": "executionStrategy",
    "update_strategy": "updateStrategy",
}
_DEFINITION = {"unique_key": "uniqueKey", "scope_column": "scopeColumn", "outputs": "outputs"}


class RebuildNotSupported(Refused):
    """The spec would rebuild jobs of a DAG that is in use. `jobs` names them; nothing was changed."""

    code = "RebuildNotSupported"

    def __init__(self, jobs: tuple[str, ...], message: str) -> None:
        super().__init__(message)
        self.jobs = jobs


def refusal(graph: Graph, generations: Collection[StoredGeneration]) -> RebuildNotSupported | None:
    """Why `graph` cannot replace the active version; None where it needs no job that is not built already."""
    built = {(generation.name, generation.config_hash) for generation in generations}
    new = [job for job in graph.jobs if (job.name, job.config_hash) not in built]
    if not new:
        return None
    active = {generation.name: generation for generation in generations if generation.active}
    reasons = [f"{job.name} ({', '.join(_reasons(job, active.get(job.name), new))})" for job in new]
    more = f" and {len(reasons) - _MAX_JOBS} more" if len(reasons) > _MAX_JOBS else ""
    return RebuildNotSupported(
        tuple(job.name for job in new),
        f"rebuilding jobs of a running DAG is not supported yet: {'; '.join(reasons[:_MAX_JOBS])}{more}. "
        "Revert these fields, or apply the new definition as a DAG of another name",
    )


def _reasons(job: GraphJob, before: StoredGeneration | None, new: list[GraphJob]) -> list[str]:
    if before is None:
        return ["new job"]
    changed = list(_changed(job, before))
    upstream = sorted({i.job for i in job.inputs} & {other.name for other in new})
    if upstream:
        changed.append(f"reads {', '.join(upstream)}")
    return changed or ["its operator's output, inputs or rebuildToken changed"]


def _changed(job: GraphJob, before: StoredGeneration) -> Iterator[str]:
    """Fields of a job that a person changed, as `path old -> new`."""
    for name, path in _FIELDS.items():
        yield from _difference(path, getattr(before, name), getattr(job, name))
    after = job.definition
    for name, path in _DEFINITION.items():
        yield from _difference(path, before.definition.get(name), after[name])
    old, config = before.definition.get("config", {}), after["config"]
    for key in sorted(old.keys() | config.keys()):
        yield from _difference(f"config.{key}", old.get(key), config.get(key))


def _difference(path: str, before: Any, after: Any) -> Iterator[str]:
    if before != after:
        yield f"{path} {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    shown = "unset" if value is None else str(value)
    return shown if len(shown) <= _MAX_VALUE else shown[: _MAX_VALUE - 1] + "…"
