"""From a document, as the API server or a file delivers it, to a resource or to what is wrong with its shape.

Shape is what the CRD's schema says: fields, types, bounds, enums.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Literal, overload

from pydantic import ValidationError

from traceplane.graph.explain import WRONG_TYPE, explain
from traceplane.graph.model import Problem
from traceplane.graph.wording import listing, suggestion
from traceplane.kinds import API_VERSION, DAG, KINDS, Asset, Bundle, Job, Resource
from traceplane.kinds.rules import INVALID

_FREE_FORM = ("config", "where")


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

    `status` is not checked: the controller writes it, perhaps that of an older release.
    """
    model = KINDS.get(kind)
    if model is None:
        message = f"no kind {kind!r} in {API_VERSION}; {suggestion(kind, list(KINDS))}"
        return [Problem(source_of(document), "kind", INVALID, message)]
    source = f"{kind}/{name_of(document)}"
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


def source_of(document: Mapping[str, Any]) -> str:
    """`Kind/name` as far as the document says it."""
    return f"{str(document.get('kind', '?'))[:64]}/{name_of(document)}"


def unknown_kind(document: Mapping[str, Any]) -> Problem | None:
    """The problem of a document that is of no kind of Trace; None where it is."""
    version, kind = document.get("apiVersion"), document.get("kind")
    if version != API_VERSION:
        message = f"must be {API_VERSION}, not {str(version)[:64]!r}" if version else f"is required: {API_VERSION}"
        return Problem(source_of(document), "apiVersion", INVALID, message)
    if not isinstance(kind, str) or kind not in KINDS:
        return Problem(
            source_of(document), "kind", INVALID, f"must be one of {listing(KINDS)}, not {str(kind)[:64]!r}"
        )
    return None


def name_of(document: Mapping[str, Any]) -> str:
    """`metadata.name` as far as the document says it; `?` where it does not."""
    metadata = document.get("metadata")
    name = metadata.get("name") if isinstance(metadata, Mapping) else None
    return name[:253] if isinstance(name, str) and name else "?"


def _unstorable(value: Any, path: str, free: bool = False) -> Iterator[tuple[str, str]]:
    """Paths and messages of what has the right shape and yet cannot be stored."""
    if value is None and path != "spec" and not free:
        # The API server refuses or drops a null, outside of free-form fields.
        yield path, "must not be null; leave the field out"
    elif isinstance(value, str) and "\0" in value:
        # No Postgres text can hold it.
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
