"""Whether a change of a DAG, a Job or an Asset may be stored: what its conditions would say, but earlier.   (pure)

What an object says alone is refused where it is wrong. Objects of one set are applied one after the other, so what
is wrong only until the next of them is there must not be refused, or the set could never be applied:

- A Job may be applied before or after its DAG, an Asset before what it is federated over: what is wrong with them
  together with others is a warning.
- A DAG is what its author looks at, and an edge to nowhere most often a misspelling: it is refused, unless the DAG
  says by the annotation `trace.dev/jobs-follow: "true"` that Jobs of its graph are applied after it.

What was stored before may always be labelled, and always be deleted.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from traceplane import graph as graphs
from traceplane.graph import Checker, Problem
from traceplane.graph.wiring import UNKNOWN_ASSET, UNKNOWN_JOB
from traceplane.kinds.rules import REQUIRED
from traceplane.reconcile import names, written
from traceplane_sdk.operator import Operator

KINDS = frozenset({"DAG", "Job", "Asset"})
JOBS_FOLLOW = "trace.dev/jobs-follow"
"""Annotation of a DAG."""
_REMEDY = f'apply the Jobs that it names first, or annotate the DAG with {JOBS_FOLLOW}: "true"'

Object = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class Verdict:
    """`problems` refuse the change; `warnings` are shown to its author."""

    problems: tuple[str, ...] = ()
    warnings: tuple[str, ...] = ()
    may_be_stale: bool = False
    """Whether a Job that was applied a moment ago may mend a problem."""


def concerns(obj: Object, old: Object | None) -> bool:
    """Whether there is anything to validate in the change from `old` (None: it is new) to `obj`."""
    if obj.get("kind") not in KINDS or obj["metadata"].get("deletionTimestamp") or names.projected(obj):
        return False
    if old is None:
        return True
    return obj.get("spec") != old.get("spec") or written.manifest(obj) != written.manifest(old)


def verdict(
    obj: Object,
    old: Object | None,
    beside: Iterable[Object],
    operators: Mapping[str, Operator],
    checker: Checker,
    *,
    known: bool,
) -> Verdict:
    """What is wrong with `obj` among the objects `beside` it, all of which are `known` or not. May raise
    Unavailable, where `checker` does."""
    lost = written.lost_fields(obj) if old is None or written.manifest(obj) != written.manifest(old) else ()
    others = [other for other in _distinct(beside) if _key(other) != _key(obj)]
    together = _problems([obj, *others], operators, checker)
    annotations = obj["metadata"].get("annotations") or {}
    if obj["kind"] == "DAG" and known and annotations.get(JOBS_FOLLOW) != "true":
        refused = [*lost, *_lines(together)]
        stale = any(_others_mend(problem) for problem in together)
        return Verdict((*refused, _REMEDY) if stale else tuple(refused), (), stale)
    alone = [problem for problem in _problems([obj], operators, checker) if not _others_mend(problem)]
    refused = [*lost, *_lines(alone)]
    warnings = [line for line in _lines(together) if line not in refused]
    if obj["kind"] == "Job" and known and not any(other["kind"] == "DAG" for other in others):
        warnings.append(f"spec.dag: there is no DAG {obj['spec'].get('dag')} yet; the Job waits for it")
    return Verdict(tuple(refused), tuple(warnings))


def _problems(documents: Sequence[Object], operators: Mapping[str, Operator], checker: Checker) -> list[Problem]:
    """Those of the first of the documents."""
    return list(graphs.review(documents, operators, checker).problems.get(0, ()))


def _others_mend(problem: Problem) -> bool:
    """Whether an object that is applied later may mend it."""
    return problem.code in (UNKNOWN_JOB, UNKNOWN_ASSET) or (problem.code, problem.path) == (REQUIRED, "spec.jobs")


def _lines(problems: Iterable[Problem]) -> list[str]:
    return list(dict.fromkeys(str(problem) for problem in problems))


def _key(obj: Object) -> tuple[str, str]:
    return str(obj["kind"]), str(obj["metadata"].get("name"))


def _distinct(objects: Iterable[Object]) -> Iterable[Object]:
    return {_key(obj): obj for obj in objects}.values()
