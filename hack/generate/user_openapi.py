"""Writes docs/reference/user-api.openapi.json from the tables of routes of the user API and the query service.

Both serve exactly their tables, so the document cannot tell of another API. Tests hold every answer against it, and
make up requests from it.

Usage: python -m hack.generate.user_openapi [--check]
"""

from __future__ import annotations

import re
import sys
from http import HTTPStatus
from importlib.metadata import version
from pathlib import Path
from typing import Any

import msgspec
import orjson

from traceplane.query.api.responses import MEDIA_TYPES
from traceplane.query.api.routes import ROUTES as QUERY
from traceplane.query.api.routes import QueryRoute
from traceplane.query.broker.limits import MAX_WAIT_SECONDS
from traceplane.userapi.routes import ROUTES as USERS
from traceplane.userapi.routes import STATUSES, UserRoute
from traceplane_sdk.wire import Problem

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "user-api.openapi.json"
PROBLEM = "application/problem+json"

_DESCRIPTION = (
    "What users ask Trace, through the Ingress: the user API, and the query service (tag `query`). Errors are "
    "application/problem+json (RFC 9457) with a stable code. Deploying a DAG is `kubectl apply` and not here."
)
_PARAMETERS: dict[str, dict[str, Any]] = {
    "namespace": {
        "schema": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
        "description": "Kubernetes namespace.",
    },
    "status": {"schema": {"enum": list(STATUSES)}, "description": "Tasks of this status only."},
    "job": {"schema": {"type": "string", "maxLength": 253}, "description": "Tasks of this job only."},
    "limit": {
        "schema": {"type": "integer", "minimum": 1, "maximum": 500},
        "description": "Items of a page.",
    },
    "wait": {
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS},
        "description": "Seconds to wait for the end of a query that was left to be run.",
    },
    "cursor": {"schema": {"type": "string", "maxLength": 2048}, "description": "`next_cursor` of the page before."},
}
_LEFT = {"id": "$response.body#/id"}
_ANSWERED = {"id": "$response.body#/query_id"}
_FIRST_TASK = {"id": "$response.body#/items/0/id"}
_FIRST = {"name": "$response.body#/items/0/name", "query.namespace": "$response.body#/items/0/namespace"}
_LINKS: dict[tuple[str, str], tuple[tuple[str, dict[str, str]], ...]] = {
    ("query", "200"): (("result", _ANSWERED),),
    ("query", "202"): (("result", _LEFT), ("cancel_query", _LEFT)),
    ("result", "202"): (("cancel_query", _LEFT),),
    ("cancel_query", "200"): (("result", _LEFT),),
    ("dags", "200"): tuple((name, _FIRST) for name in ("dag", "dag_jobs", "dag_tasks", "dag_versions")),
    ("dag_tasks", "200"): (("retry_task", _FIRST_TASK), ("cancel_task", _FIRST_TASK)),
    ("cancel_task", "200"): (("retry_task", _LEFT),),
    ("retry_task", "200"): (("cancel_task", _LEFT),),
    ("assets", "200"): tuple(
        (name, _FIRST) for name in ("asset", "asset_partitions", "asset_versions", "asset_lineage")
    ),
}
"""What an answer leads to: (operation, status) to operations, with what their parameters take from the answer."""

_SCHEMES = {
    "user": {"type": "http", "scheme": "bearer", "bearerFormat": "JWT", "description": "An OIDC token."},
    "task": {
        "type": "apiKey",
        "in": "header",
        "name": "X-Trace-Task-Capability",
        "description": "The ES256 token that came with the claim, for exactly its attempts.",
    },
}


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    asked = [route for route in QUERY if route.principal != "network"]
    kinds = [kind for route in asked for kind in (route.request, route.response, route.left) if kind is not None]
    kinds += [route.response for route in USERS]
    schemas, components = msgspec.json.schema_components(
        [*kinds, Problem], ref_template="#/components/schemas/{name}"
    )
    found = iter(schemas)
    paths: dict[str, Any] = {}
    for query in asked:
        request, response, left = (
            None if kind is None else next(found) for kind in (query.request, query.response, query.left)
        )
        assert response is not None
        _put(paths, query, _query(query, request, response, left))
    for route in USERS:
        _put(paths, route, _user(route, next(found)))
    _linked(paths)
    return {
        "openapi": "3.1.0",
        "info": {"title": "Trace user API", "version": version("traceplane"), "description": _DESCRIPTION},
        "paths": dict(sorted(paths.items())),
        "components": {"schemas": dict(sorted(components.items())), "securitySchemes": _SCHEMES},
    }


def _linked(paths: dict[str, Any]) -> None:
    """Tell of each answer what it leads to."""
    operations: dict[str, Any] = {}
    for operation in (operation for methods in paths.values() for operation in methods.values()):
        assert operations.setdefault(operation["operationId"], operation) is operation, "two operations of one name"
    for (name, status), leads in _LINKS.items():
        operations[name]["responses"][status]["links"] = {
            operations[to]["operationId"]: {"operationId": to, "parameters": parameters} for to, parameters in leads
        }


def _put(paths: dict[str, Any], route: UserRoute | QueryRoute, operation: dict[str, Any]) -> None:
    """Place an operation, with the parameters of its path."""
    path = re.sub(r":uuid}", "}", route.path)
    named = [
        {"name": name, "in": "path", "required": True, "schema": _part(kind)}
        for name, kind in re.findall(r"{(\w+)(:uuid)?}", route.path)
    ]
    if parameters := [*named, *operation.pop("parameters", [])]:
        operation["parameters"] = parameters
    paths.setdefault(path, {})[route.method.lower()] = operation


def _part(kind: str) -> dict[str, Any]:
    return {"type": "string", "format": "uuid"} if kind else {"type": "string", "maxLength": 253}


def _user(route: UserRoute, response: dict[str, Any]) -> dict[str, Any]:
    known = {"304": {"description": "Nothing changed since the `ETag` of `If-None-Match`."}}
    return {
        "operationId": route.handler.__name__,
        "tags": ["users"],
        "summary": (route.handler.__doc__ or "").strip(),
        "description": f"Needs the role `{route.role}`.",
        "security": [{"user": []}],
        "parameters": [{"name": name, "in": "query", **_PARAMETERS[name]} for name in route.query],
        "responses": {
            "200": _content("application/json", response),
            **(known if route.method == "GET" else {}),
            **_refusals(route.statuses),
        },
    }


def _query(
    route: QueryRoute,
    request: dict[str, Any] | None,
    response: dict[str, Any],
    left: dict[str, Any] | None,
) -> dict[str, Any]:
    operation: dict[str, Any] = {
        "operationId": route.call,
        "tags": ["query"],
        "summary": route.summary,
        "security": [{route.principal: []}],
    }
    answer = _content("application/json", response)
    responses: dict[str, Any] = {"200": answer}
    if route.query:
        operation["parameters"] = [{"name": name, "in": "query", **_PARAMETERS[name]} for name in route.query]
    if left is not None:
        responses["202"] = {
            **_content("application/json", left),
            "description": "The query waits for its turn, or runs; ask again at `Location`.",
        }
    if request is not None:
        operation["requestBody"] = {"required": True, "content": {"application/json": {"schema": request}}}
        answer["content"] |= {
            kind: {"schema": {"type": "string", "format": "binary"}} for kind in MEDIA_TYPES.values()
        }
        responses["303"] = {
            **_content("application/json", response),
            "description": "Parquet was asked for, and is at `Location`.",
        }
    operation["responses"] = responses | _refusals(route.statuses)
    return operation


def _refusals(own: tuple[int, ...]) -> dict[str, Any]:
    problem = {"$ref": "#/components/schemas/Problem"}
    every = sorted({*own, 401, 403, 429, 503})
    return {str(status): {**_content(PROBLEM, problem), "description": _phrase(status)} for status in every}


def _content(kind: str, schema: dict[str, Any]) -> dict[str, Any]:
    return {"description": "OK", "content": {kind: {"schema": schema}}}


def _phrase(status: int) -> str:
    return "Client closed the connection" if status == 499 else HTTPStatus(status).phrase


def rendered() -> str:
    """The document as it is kept."""
    return orjson.dumps(document(), option=orjson.OPT_INDENT_2).decode() + "\n"


def main(argv: list[str]) -> int:
    """Write the document, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the tables of routes differ; run: python -m hack.generate.user_openapi")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
