"""From a document, as the API server or a file delivers it, to a resource or to what is wrong with its shape.

Shape is what the CRD's schema says: fields, types, bounds, enums. `salvage` goes on where `parse` stops: it puts
a harmless stand-in for each broken job, so that everything else can be checked and listed at once.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal, overload

from pydantic import ValidationError

from traceplane.graph.explain import WRONG_TYPE, explain
from traceplane.graph.model import Problem
from traceplane.graph.wording import listing, suggestion
from traceplane.kinds import API_VERSION, DAG, KINDS, Asset, Bundle, Job, Resource
from traceplane.kinds.fields import LABEL
from traceplane.kinds.rules import INVALID

_FREE_FORM = ("config", "where")
_PARTS = ("defaults", "rollout")
_BROKEN = "broken"


@overload
def parse(kind: Literal["DAG"], document: Mapping[str, Any]) -> DAG | list[Problem]: ...
@overload
def parse(kind: Literal["Job"], document: Mapping[str, Any]) -> Job | list[Problem]: ...
@overload
def parse(kind: Literal["Asset"], document: Mapping[str, Any]) -> Asset | list[Problem]: ...
@overload
def parse(kind: Literal["Bundle"], document: Mapping[str, Any]) -> Bundle | list[Problem]: ...
@overload
def parse(kind: str, document: Mapping[str, Any]) -> Resource | list[Problem]: ...
def parse(kind: str, document: Mapping[str, Any]) -> Resource | list[Problem]:
    """The resource in `document`, or every problem of its shape.

    What `status` says is not judged: it is ours, and an older release may have written it.
    """
    model = KINDS.get(kind)
    if model is None:
        message = f"no kind {kind!r} in {API_VERSION}; {suggestion(kind, list(KINDS))}"
        return [Problem(source_of(document), "kind", INVALID, message)]
    source = f"{kind}/{_name(document)}"
    if (version := document.get("apiVersion", API_VERSION)) != API_VERSION:
        return [Problem(source, "apiVersion", INVALID, f"must be {API_VERSION}, not {str(version)[:64]!r}")]
    body = {key: value for key, value in document.items() if key not in ("apiVersion", "kind", "status")}
    problems = [
        Problem(source, path, WRONG_TYPE, message) for path, message in _unstorable(body.get("spec"), "spec")
    ]
    try:
        resource = model.model_validate(body)
    except ValidationError as error:
        known = {problem.path for problem in problems}
        shape = (Problem(source, *problem) for problem in explain(error, model))
        return problems + [problem for problem in shape if problem.path not in known]
    return problems or resource


@dataclass(frozen=True, slots=True)
class Salvaged:
    """What could be read of a DAG: `broken` are names of jobs that are stand-ins, `paths` where those are."""

    dag: DAG
    broken: frozenset[str]
    paths: frozenset[str]


def salvage(document: Mapping[str, Any], problems: list[Problem]) -> Salvaged | None:
    """The DAG without what `problems` say is wrong with its shape; None where nothing is left to check."""
    spec, metadata = document.get("spec"), document.get("metadata")
    if not isinstance(spec, dict) or not isinstance(metadata, dict) or not isinstance(spec.get("jobs"), list):
        return None
    wrong = [problem.path for problem in problems]
    jobs: list[Any] = []
    broken: dict[str, str] = {}
    for index, job in enumerate(spec["jobs"]):
        path = f"spec.jobs[{index}]"
        if any(_is_in(p, path) for p in wrong):
            stand_in = _stand_in(job, index)
            broken[stand_in["name"]] = path
            jobs.append(stand_in)
        else:
            jobs.append(job)
    kept = {key: spec[key] for key in _PARTS if key in spec and not any(_is_in(p, f"spec.{key}") for p in wrong)}
    kept["publish"] = [_readable(p, i, wrong) for i, p in enumerate(_list(spec.get("publish")))]
    rest = parse("DAG", {"metadata": {**metadata, "name": _name(document)}, "spec": {**kept, "jobs": jobs}})
    if not isinstance(rest, DAG):
        return None
    return Salvaged(rest, frozenset({*broken, _BROKEN}), frozenset(broken.values()))


def source_of(document: Mapping[str, Any]) -> str:
    """`Kind/name` as far as the document says it."""
    return f"{str(document.get('kind', '?'))[:64]}/{_name(document)}"


def job_names(document: Mapping[str, Any]) -> set[str]:
    """The names that a Job document of wrong shape may have meant."""
    spec = document.get("spec")
    own = spec.get("name") if isinstance(spec, dict) else None
    return {name for name in (own, _name(document)) if isinstance(name, str)}


def unknown_kind(document: Mapping[str, Any]) -> Problem | None:
    """The problem of a document that says no kind of ours; None where it does."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if version != API_VERSION:
        message = f"must be {API_VERSION}, not {str(version)[:64]!r}" if version else f"is required: {API_VERSION}"
        return Problem(source_of(document), "apiVersion", INVALID, message)
    if not isinstance(kind, str) or kind not in KINDS:
        return Problem(
            source_of(document), "kind", INVALID, f"must be one of {listing(KINDS)}, not {str(kind)[:64]!r}"
        )
    return None


def _name(document: Mapping[str, Any]) -> str:
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return name[:253] if isinstance(name, str) and name else "?"


def _stand_in(job: Any, index: int) -> dict[str, Any]:
    name = job.get("name") if isinstance(job, dict) else None
    return {
        "name": name if isinstance(name, str) and re.fullmatch(LABEL, name) else f"broken-{index}",
        "activation": "Source",
        "runtime": "Pod",
        "operator": "broken",
        "source": {"kind": "AlwaysOn"},
        "outputs": ["broken"],
        "updateStrategy": "Replace",
    }


def _readable(publish: Any, index: int, wrong: list[str]) -> Any:
    """The publication, or one that nothing is said of in its place."""
    if not any(_is_in(path, f"spec.publish[{index}]") for path in wrong):
        return publish
    return {"asset": f"{_BROKEN}-{index}", "from": {"job": _BROKEN, "output": _BROKEN}}


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_in(path: str, above: str) -> bool:
    return path == above or path.startswith((f"{above}.", f"{above}["))


def _unstorable(value: Any, path: str, free: bool = False) -> Iterator[tuple[str, str]]:
    """Paths and messages of what has the right shape and yet cannot be: nulls, which the API server refuses or
    drops (free-form fields may have them), and the character NUL, which no Postgres text can hold."""
    if value is None and path != "spec" and not free:
        yield path, "must not be null; leave the field out"
    elif isinstance(value, str) and "\0" in value:
        yield path, "must not have the character NUL"
    elif isinstance(value, dict):
        for key, item in value.items():
            below = f"{path}.{str(key)[:64]}"
            if "\0" in str(key):
                yield path, "must not have the character NUL in a name"
            else:
                yield from _unstorable(item, below, free or key in _FREE_FORM)
    elif isinstance(value, list):
        for index, item in enumerate(value):
            yield from _unstorable(item, f"{path}[{index}]", free)
