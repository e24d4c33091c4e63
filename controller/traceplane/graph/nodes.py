"""The nodes of a graph before they are understood: inline jobs and Job objects, each with where it is written."""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

from traceplane.graph.model import Problem
from traceplane.kinds import API_VERSION, DAG, Job, JobTemplate
from traceplane.kinds.rules import DUPLICATE, violations


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
    for index, job in enumerate(dag.spec.jobs):
        yield Node(job.name, job, dag.source, f"spec.jobs[{index}]", readable=job.name not in stand_ins)
    for joined in joining:
        yield Node(joined.job_name, joined.spec, joined.source, "spec", joined.name)
