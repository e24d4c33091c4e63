"""An OpenAPI 3.1 document from tables of routes: what the pages `openapi` and `user_openapi` have in common.

An application serves exactly its table, and decodes exactly the types in it, so that a document cannot describe
another API.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import orjson

from traceplane.web.authentication import Scheme
from traceplane.web.problems import CONTENT_TYPE, TITLES
from traceplane.web.routes import Route
from traceplane_sdk.wire import Problem

_JSON = "application/json"
_PROBLEM = {"$ref": "#/components/schemas/Problem"}
_TOKEN = "The ES256 token that came with the claim, for exactly its attempts."
_SCHEMES: dict[Scheme, dict[str, Any]] = {
    Scheme.USER: {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An OIDC token."},
    Scheme.TASK: {"type": "apiKey", "in": "header", "name": Scheme.TASK.value, "description": _TOKEN},
    Scheme.WORKER: {
        "type": "apiKey",
        "in": "header",
        "name": Scheme.WORKER.value,
        "description": "The installation's worker token; two are valid during a rotation.",
    },
}
_DENIALS = {Scheme.USER: (401, 403, 429, 503), Scheme.TASK: (401, 403), Scheme.WORKER: (401,), Scheme.NONE: ()}
"""What a route answers to a wrong caller, or to a right one that calls too often or cannot be looked up."""

_DESCRIPTIONS = {
    202: "The query waits for a slot, or runs; look again at `Location`.",
    303: "Parquet was asked for, and is at `Location`.",
    304: "Nothing changed since the `ETag` of `If-None-Match`.",
}

Links = Mapping[tuple[str, int], Sequence[tuple[str, Mapping[str, str]]]]
"""What an answer leads to: (operation, status) to operations, with what their parameters take from the answer."""


@dataclass(frozen=True)
class Api:
    """One document. `tables` are routes by tag, `parameters` the schemas of those after `?`."""

    title: str
    description: str
    tables: Mapping[str, Sequence[Route]]
    parameters: Mapping[str, Mapping[str, Any]] = field(default_factory=dict)
    links: Links = field(default_factory=dict)
    always: tuple[int, ...] = ()
    """Problems that every route may answer."""

    def document(self) -> dict[str, Any]:
        """The whole document."""
        rows = [(tag, route) for tag, table in self.tables.items() for route in table]
        schemas, components = _schemas(route for _, route in rows)
        paths: dict[str, Any] = {}
        operations: dict[str, Any] = {}
        for tag, route in rows:
            assert route.call not in operations, f"two operations named {route.call}"
            operations[route.call] = self._operation(tag, route, schemas)
            path = re.sub(r":uuid}", "}", route.path)
            paths.setdefault(path, {})[route.method.lower()] = operations[route.call]
        for (name, status), leads in self.links.items():
            operations[name]["responses"][str(status)]["links"] = {
                to: {"operationId": to, "parameters": dict(parameters)} for to, parameters in leads
            }
        used = {route.scheme for _, route in rows}
        return {
            "openapi": "3.1.0",
            "info": {"title": self.title, "version": version("traceplane"), "description": self.description},
            "paths": dict(sorted(paths.items())),
            "components": {
                "schemas": dict(sorted(components.items())),
                "securitySchemes": {
                    scheme.name.lower(): described for scheme, described in _SCHEMES.items() if scheme in used
                },
            },
        }

    def _operation(self, tag: str, route: Route, schemas: Mapping[Any, Any]) -> dict[str, Any]:
        operation: dict[str, Any] = {"operationId": route.call, "summary": route.summary}
        if tag:
            operation["tags"] = [tag]
        if route.scheme is Scheme.USER:
            operation["description"] = f"Needs the role `{route.role}`."
        if route.scheme is not Scheme.NONE:
            operation["security"] = [{route.scheme.name.lower(): []}]
        if parameters := [*_path_parameters(route.path), *(self._query(name) for name in route.query)]:
            operation["parameters"] = parameters
        if route.request is not None:
            operation["requestBody"] = {"required": True, "content": _json(schemas[route.request])}
        operation["responses"] = self._responses(route, schemas)
        return operation

    def _query(self, name: str) -> dict[str, Any]:
        return {"name": name, "in": "query", **self.parameters[name]}

    def _responses(self, route: Route, schemas: Mapping[Any, Any]) -> dict[str, Any]:
        plain = {"text/plain": {"schema": {"type": "string"}}}
        content = plain if route.response is None else _json(schemas[route.response])
        content |= {kind: {"schema": {"type": "string", "format": "binary"}} for kind in route.media_types}
        found: dict[int, dict[str, Any]] = {200: _response(200, content)}
        for status in {*route.statuses, *_DENIALS[route.scheme], *self.always}:
            found[status] = _response(status, {CONTENT_TYPE: {"schema": _PROBLEM}})
        for status, kind in route.also.items():
            if kind is None:
                found[status] = _response(status)
            else:  # besides a problem of this status, where the route has one
                found.setdefault(status, _response(status, {}))["content"] |= _json(schemas[kind])
        return {str(status): found[status] for status in sorted(found)}


def _schemas(routes: Iterable[Route]) -> tuple[dict[Any, Any], dict[str, Any]]:
    """(schema of each type that the routes name, components that the schemas refer to)."""
    kinds = []
    for route in routes:
        kinds += [kind for kind in (route.request, route.response, *route.also.values()) if kind is not None]
    kinds.append(Problem)
    schemas, components = msgspec.json.schema_components(kinds, ref_template="#/components/schemas/{name}")
    return dict(zip(kinds, schemas, strict=True)), components


def _path_parameters(path: str) -> list[dict[str, Any]]:
    schemas = {"": {"type": "string", "maxLength": 253}, ":uuid": {"type": "string", "format": "uuid"}}
    return [
        {"name": name, "in": "path", "required": True, "schema": schemas[kind]}
        for name, kind in re.findall(r"{(\w+)(:uuid)?}", path)
    ]


def _json(schema: Any) -> dict[str, Any]:
    return {_JSON: {"schema": schema}}


def _response(status: int, content: dict[str, Any] | None = None) -> dict[str, Any]:
    phrase = TITLES[status] if status == 499 else HTTPStatus(status).phrase  # 499 is nobody's standard
    described = {"description": _DESCRIPTIONS.get(status, phrase)}
    return described if content is None else {**described, "content": content}


def rendered(api: Api) -> str:
    """The document as it is kept."""
    return orjson.dumps(api.document(), option=orjson.OPT_INDENT_2).decode() + "\n"


def write_or_check(page: Path, text: str, module: str, argv: Sequence[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        page.parent.mkdir(parents=True, exist_ok=True)
        page.write_text(text)
    elif not page.exists() or page.read_text() != text:
        print(f"{page.name} and the tables of routes differ; run: python -m {module}")
        return 1
    return 0
