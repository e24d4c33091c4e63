"""Which jobs of a new spec have to be rebuilt, and why.   (pure)

A job whose config hash is new produces other rows than before, so its data is made again beside what is served
now. The reasons name the fields a person changed, apart from the jobs that merely read changed ones.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import Any

from traceplane.graph import Graph, GraphJob
from traceplane.store.statements.versions import StoredGeneration

_MAX_VALUE = 40

_FIELDS = {
    "operator": "operator",
    "activation": "activation",
    "execution_strategy": "executionStrategy",
    "update_strategy": "updateStrategy",
}
_DEFINITION = {"unique_key": "uniqueKey", "scope_column": "scopeColumn", "outputs": "outputs"}


@dataclass(frozen=True, slots=True)
class Rebuild:
    """A job that has to be made anew. `reasons`: `new job`, `config.rangeSize 20 -> 50`, `reads ranges`."""

    job: str
    reasons: tuple[str, ...]

    def __str__(self) -> str:
        return f"{self.job} ({', '.join(self.reasons)})"


def scope(graph: Graph, generations: Collection[StoredGeneration]) -> tuple[Rebuild, ...]:
    """The jobs of `graph` that no version which was ever active has built, upstream first."""
    built = {(generation.name, generation.config_hash) for generation in generations if generation.built}
    new = [job for job in graph.jobs if (job.name, job.config_hash) not in built]
    active = {generation.name: generation for generation in generations if generation.active}
    return tuple(Rebuild(job.name, tuple(_reasons(job, active.get(job.name), new))) for job in new)


def _reasons(job: GraphJob, before: StoredGeneration | None, new: list[GraphJob]) -> list[str]:
    if before is None:
        return ["new job"]
    changed = list(_changed(job, before))
    upstream = sorted({i.own[0] for i in job.inputs if i.own} & {other.name for other in new})
    upstream += sorted(_other_versions(job, before))
    if upstream:
        changed.append(f"reads {', '.join(upstream)}")
    return changed or ["its operator's output, inputs or rebuildToken changed"]


def _other_versions(job: GraphJob, before: StoredGeneration) -> Iterator[str]:
    """Assets of other DAGs that the job read before, and that mean another version now."""
    known = dict(before.definition.get("assets", {}).values())
    for edge in job.inputs:
        if edge.asset is not None and known.get(edge.asset.title, edge.asset.version_id) != edge.asset.version_id:
            yield f"asset {edge.asset.title}"


def _changed(job: GraphJob, before: StoredGeneration) -> Iterator[str]:
    """Fields of a job that a person changed, as `path old -> new`."""
    for name, path in _FIELDS.items():
        yield from _difference(path, getattr(before, name), getattr(job, name))
    after = job.definition
    for name, path in _DEFINITION.items():
        yield from _difference(path, before.definition.get(name), after[name])
    read, reads = before.definition.get("where", {}), after.get("where", {})
    for position in sorted(read.keys() | reads.keys()):
        yield from _difference(f"inputs[{position}].where", read.get(position), reads.get(position))
    old, config = before.definition.get("config", {}), after["config"]
    for key in sorted(old.keys() | config.keys()):
        yield from _difference(f"config.{key}", old.get(key), config.get(key))


def _difference(path: str, before: Any, after: Any) -> Iterator[str]:
    if before != after:
        yield f"{path} {_shown(before)} -> {_shown(after)}"


def _shown(value: Any) -> str:
    shown = "unset" if value is None else str(value)
    return shown if len(shown) <= _MAX_VALUE else shown[: _MAX_VALUE - 1] + "…"
