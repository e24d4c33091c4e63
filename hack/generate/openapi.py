"""Writes operators/contract/task-api.openapi.json from the table of routes and the wire types.

The application serves exactly the table, and decodes exactly the types, so the document cannot tell of another API.
The integration tests hold every answer they get against it, so that neither can the answers.

Usage: python -m hack.generate.openapi [--check]
"""

from __future__ import annotations

import sys
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import orjson

from traceplane.taskapi.problems import CONTENT_TYPE
from traceplane.taskapi.routes import ROUTES, Principal, Route
from traceplane_sdk.wire import Problem

PAGE = Path(__file__).resolve().parents[2] / "operators" / "contract" / "task-api.openapi.json"

_DESCRIPTION = (
    "What workers and tasks call, inside the cluster only. Block ranges are inclusive, times RFC 3339, errors "
    "application/problem+json (RFC 9457) with a stable code."
)
_SCHEMES = {
    Principal.WORKER: "The installation's worker token; two are valid during a rotation.",
    Principal.TASK: "The ES256 token that came with the claim, for exactly its attempts.",
}
_REFUSED = {Principal.WORKER: (401,), Principal.TASK: (401, 403)}
"""What a route that asks for a principal may answer to a wrong one."""


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    bodies = [kind for route in ROUTES for kind in (route.request, route.response) if kind is not None]
    schemas, components = msgspec.json.schema_components(
        [*bodies, Problem], ref_template="#/components/schemas/{name}"
    )
    found = iter(schemas)
    paths: dict[str, Any] = {}
    for route in ROUTES:
        request = None if route.request is None else next(found)
        response = None if route.response is None else next(found)
        paths.setdefault(route.path, {})[route.method.lower()] = _operation(route, request, response)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trace task API", "version": version("traceplane"), "description": _DESCRIPTION},
        "paths": paths,
        "components": {
            "schemas": dict(sorted(components.items())),
            "securitySchemes": {
                principal.name.lower(): {
                    "type": "apiKey",
                    "in": "header",
                    "name": principal.value,
                    "description": description,
                }
                for principal, description in _SCHEMES.items()
            },
        },
    }


def _operation(route: Route, request: dict[str, Any] | None, response: dict[str, Any] | None) -> dict[str, Any]:
    operation: dict[str, Any] = {"operationId": route.call, "summary": route.summary}
    if route.principal in _SCHEMES:
        operation["security"] = [{route.principal.name.lower(): []}]
    if request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
    refusals = {*route.statuses, *_REFUSED.get(route.principal, ()), 500}
    operation["responses"] = {"200": _answer(200, response)} | {
        str(status): _refusal(status, response if status == route.partial else None) for status in sorted(refusals)
    }
    return operation


def _answer(status: int, schema: dict[str, Any] | None) -> dict[str, Any]:
    kind, form = ("text/plain", {"type": "string"}) if schema is None else ("application/json", schema)
    return {"description": HTTPStatus(status).phrase, "content": {kind: {"schema": form}}}


def _refusal(status: int, partial: dict[str, Any] | None) -> dict[str, Any]:
    content: dict[str, Any] = {CONTENT_TYPE: {"schema": {"$ref": "#/components/schemas/Problem"}}}
    if partial is not None:
        content["application/json"] = {"schema": partial}
    return {"description": HTTPStatus(status).phrase, "content": content}


def rendered() -> str:
    """The document as it is kept."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode() + "\n"


def main(argv: list[str]) -> int:
    """Write the document, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.parent.mkdir(parents=True, exist_ok=True)
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the table of routes differ; run: python -m hack.generate.openapi")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
