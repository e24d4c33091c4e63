"""The nodes of a graph before they are understood: inline jobs and Job objects, each with where it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, NamedTuple

from traceplane.graph.model import Problem
from traceplane.kinds import API_VERSION, DAG, Job, JobTemplate
from traceplane.kinds.rules import DUPLICATE, violations

Output = tuple[str, str]
"""Job and output."""


class AssetRef(NamedTuple):
    """An asset by its name."""

    namespace: str
    asset: str


@dataclass(frozen=True, slots=True)
class Node:
    """A job of the DAG. `source` and `path` are where its fields are: `DAG/chain` and `spec.jobs[2]`."""

    name: str
    template: JobTemplate
    source: str
    path: str
    declared_by: str | None = None
    readable: bool = True
    """False for a stand-in, whose outputs are not known: no reference to it is a mistake."""
    namespace: str = ""
    published: Mapping[str, Output] = field(default_factory=dict)
    """What its DAG publishes, by asset."""

    def origin(self, position: int) -> Output | AssetRef | None:
        """What the input at `position` reads: an output of the DAG, or an asset of another; None where that is
        not said, which the rules of the kind report."""
        given = (self.template.inputs or [])[position].from_
        if given.asset is None:
            return None if given.job is None or given.output is None else (given.job, given.output)
        ref = AssetRef(given.namespace or self.namespace, given.asset)
        own = self.published.get(given.asset) if ref.namespace == self.namespace else None
        return own or ref

    def problem(self, field: str, code: str, message: str) -> Problem:
        """A problem with `field`, a path below the job; the job itself where it is empty."""
        return Problem(self.source, f"{self.path}.{field}" if field else self.path, code, message)

    def manifest(self, dag: str) -> dict[str, Any]:
        """The job as the `spec` of a Job object."""
        spec = self.template.model_dump(mode="json", by_alias=True, exclude_unset=True)
        return spec | {"dag": dag, "name": self.name}


def joins(job: Job, dag: DAG) -> bool:
    """Whether `job` is written by hand for `dag`: projected ones are owned by their DAG and join nothing."""
    return (
        job.spec.dag == dag.name
        and job.metadata.namespace == dag.metadata.namespace
        and not any(o.kind == "DAG" and o.api_version == API_VERSION for o in job.metadata.owner_references)
    )


def gather(dag: DAG, jobs: Sequence[Job], stand_ins: Collection[str] = ()) -> tuple[list[Node], list[Problem]]:
    """Every node, and what is wrong with each resource on its own: broken rules, and names used twice.

    Of several jobs of one name only the first becomes a node, so that later checks speak of one graph. Jobs of the
    DAG named in `stand_ins` could not be read.
    """
    joining = sorted((job for job in jobs if joins(job, dag)), key=lambda job: job.name)
    problems = [Problem(r.source, v.path, v.code, v.message) for r in (dag, *joining) for v in violations(r)]
    nodes: dict[str, Node] = {}
    for node in _all(dag, joining, stand_ins):
        first = nodes.setdefault(node.name, node)
        if first is not node and node.declared_by:
            field = "spec.name" if getattr(node.template, "name", None) else "metadata.name"
            message = f"{node.name!r} is already a job of the DAG ({first.source}: {first.path}); choose another"
            problems.append(Problem(node.source, field, DUPLICATE, message))
    return list(nodes.values()), problems


def _all(dag: DAG, joining: Sequence[Job], stand_ins: Collection[str]) -> Iterator[Node]:
    namespace, publishes = dag.metadata.namespace, published(dag)
    for index, job in enumerate(dag.spec.jobs):
        readable, path = job.name not in stand_ins, f"spec.jobs[{index}]"
        yield Node(job.name, job, dag.source, path, None, readable, namespace, publishes)
    for joined in joining:
        yield Node(joined.job_name, joined.spec, joined.source, "spec", joined.name, True, namespace, publishes)


def published(dag: DAG) -> dict[str, Output]:
    """What a DAG publishes, by asset."""
    return {entry.asset: (entry.from_.job, entry.from_.output) for entry in dag.spec.publish}


def asset_refs(nodes: Iterable[Node]) -> set[AssetRef]:
    """The assets of other DAGs that jobs read."""
    origins = (node.origin(position) for node in nodes for position, _ in enumerate(node.template.inputs or ()))
    return {origin for origin in origins if isinstance(origin, AssetRef)}
