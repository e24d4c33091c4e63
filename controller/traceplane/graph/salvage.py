"""A DAG whose shape is wrong, as far as it can be read, so that the rest of it is checked too.

A DAG is refused with every problem listed at once. `parse` ends at a wrong shape, and without this module one
misspelt enum would hide an unknown job three entries below it. So each entry whose shape is wrong is replaced by a
stand-in of right shape at the same index, and what is then found at a stand-in is dropped again (`is_inside`).
"""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traceplane.graph.model import Problem
from traceplane.graph.parse import name_of, parse
from traceplane.kinds import DAG, InlineJob
from traceplane.kinds.fields import LABEL

Document = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What could be read of a DAG: `jobs` are names of its stand-ins, `paths` where stand-ins are, jobs or not."""

    dag: DAG
    jobs: frozenset[str] = frozenset()
    paths: tuple[str, ...] = ()


def salvage(document: Document, problems: Sequence[Problem]) -> Salvaged | None:
    """The DAG with stand-ins where `problems` say that its shape is wrong; None where nothing is left to check."""
    spec, metadata = document.get("spec"), document.get("metadata")
    if not isinstance(spec, dict) or not isinstance(metadata, dict) or not isinstance(spec.get("jobs"), list):
        return None
    wrong = tuple(problem.path for problem in problems)
    paths: list[str] = []

    def entries(field: str, stand_in: Any) -> list[Any]:
        """The entries of a list of the spec, stand-ins for those that are wrong."""
        found = list(spec[field]) if isinstance(spec.get(field), list) else []
        for index in range(len(found)):
            path = f"spec.{field}[{index}]"
            if any(is_inside(problem, path) for problem in wrong):
                found[index] = stand_in(found[index], index)
                paths.append(path)
        return found

    kept = {
        key: spec[key]
        for key in ("defaults", "rollout")
        if key in spec and not any(is_inside(problem, f"spec.{key}") for problem in wrong)
    }
    kept |= {"jobs": entries("jobs", _job), "publish": entries("publish", _publication)}
    dag = parse("DAG", {"metadata": {**metadata, "name": name_of(document)}, "spec": kept})
    if not isinstance(dag, DAG):
        return None
    names = frozenset(job.name for index, job in enumerate(dag.spec.jobs) if f"spec.jobs[{index}]" in paths)
    return Salvaged(dag, names, tuple(paths))


def stand_in(name: str) -> InlineJob:
    """A job of right shape in place of one that cannot be read."""
    return InlineJob.model_validate(_job({"name": name}, 0))


def is_inside(path: str, above: str) -> bool:
    """Whether a field path is `above` or lies below it."""
    return path == above or path.startswith((f"{above}.", f"{above}["))


def job_names(document: Document) -> set[str]:
    """The names that a Job document of wrong shape may have meant."""
    spec = document.get("spec")
    own = spec.get("name") if isinstance(spec, dict) else None
    return {name for name in (own, name_of(document)) if isinstance(name, str) and re.fullmatch(LABEL, name)}


def _job(job: Any, index: int) -> dict[str, Any]:
    # Under its own name where that can be read: other jobs refer to it.
    name = job.get("name") if isinstance(job, dict) else None
    return {
        "name": name if isinstance(name, str) and re.fullmatch(LABEL, name) else f"unreadable-{index}",
        "activation": "Source",
        "runtime": "Pod",
        "operator": "unreadable",
        "source": {"kind": "AlwaysOn"},
        "outputs": ["unreadable"],
        "updateStrategy": "Replace",
    }


def _publication(_publish: Any, index: int) -> dict[str, Any]:
    return {"asset": f"unreadable-{index}", "from": {"job": "unreadable", "output": "unreadable"}}
