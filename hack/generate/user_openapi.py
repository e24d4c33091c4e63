"""Writes docs/reference/user-api.openapi.json from the tables of routes of the user API and the query service.

Tests hold every answer against it, and make up requests from it.

Usage: python -m hack.generate.user_openapi [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hack.generate import api_document
from traceplane.query.api.requests import MAX_WAIT_SECONDS
from traceplane.query.api.routes import ROUTES as QUERY
from traceplane.userapi import lineage, reads
from traceplane.userapi.routes import ROUTES as USERS
from traceplane.web.authentication import Scheme

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "user-api.openapi.json"

_INT8 = {"type": "integer", "minimum": -(2**63), "maximum": 2**63 - 1}
_PARAMETERS: dict[str, dict[str, Any]] = {
    "namespace": {
        "schema": {"type": "string", "pattern": "^[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?$"},
        "description": "Kubernetes namespace.",
    },
    "status": {"schema": {"enum": list(reads.STATUSES)}, "description": "Tasks of this status only."},
    "keep": {
        "schema": {"type": "integer", "minimum": 0, "maximum": 9999},
        "description": "Former versions that stay, the last that were active.",
    },
    "dry_run": {"schema": {"type": "boolean"}, "description": "Look, and change nothing."},
    "version": {
        "schema": {"type": "string", "maxLength": 80},
        "description": "A version of the DAG: `v3`, its whole name or its id.",
    },
    "job": {"schema": {"type": "string", "maxLength": 253}, "description": "Tasks of this job only."},
    "limit": {
        "schema": {"type": "integer", "minimum": 1, "maximum": 500},
        "description": "Items of a page.",
    },
    "wait": {
        "schema": {"type": "number", "minimum": 0, "maximum": MAX_WAIT_SECONDS},
        "description": "Seconds to wait for the end of a batch query.",
    },
    "partition": {"schema": {"type": "string", "maxLength": 1024}, "description": "Key of a partition."},
    "start": {"schema": _INT8, "description": "First value of the scope column; goes with `end`."},
    "end": {"schema": _INT8, "description": "Last value of the scope column, inclusive."},
    "depth": {
        "schema": {"type": "integer", "minimum": 0, "maximum": lineage.DEPTH},
        "description": "Jobs back.",
    },
    "task": {"schema": {"type": "string", "format": "uuid"}, "description": "Id of a refresh's task."},
    "at": {"schema": _INT8, "description": "A value of the scope column, such as a block number."},
    "cursor": {"schema": {"type": "string", "maxLength": 2048}, "description": "`next_cursor` of the page before."},
}
_ID = {"id": "$response.body#/id"}
_ANSWERED = {"id": "$response.body#/query_id"}
_FIRST_TASK = {"id": "$response.body#/items/0/id"}
_FIRST = {"name": "$response.body#/items/0/name", "query.namespace": "$response.body#/items/0/namespace"}
_LINKS: api_document.Links = {
    ("query", 200): (("result", _ANSWERED),),
    ("query", 202): (("result", _ID), ("cancel_query", _ID)),
    ("result", 202): (("cancel_query", _ID),),
    ("cancel_query", 200): (("result", _ID),),
    ("dags", 200): tuple((name, _FIRST) for name in ("dag", "dag_jobs", "dag_tasks", "dag_versions")),
    ("dag_tasks", 200): (("retry_task", _FIRST_TASK), ("cancel_task", _FIRST_TASK)),
    ("cancel_task", 200): (("retry_task", _ID),),
    ("retry_task", 200): (("cancel_task", _ID),),
    ("assets", 200): tuple(
        (name, _FIRST)
        for name in (
            "asset",
            "asset_refresh",
            "asset_partitions",
            "asset_versions",
            "asset_lineage",
            "asset_runs",
            "explain_asset",
        )
    ),
}

API = api_document.Api(
    title="Trace user API",
    description=(
        "What users ask Trace, through the Ingress: the user API, and the query service (tag `query`). Errors are "
        "application/problem+json (RFC 9457) with a stable code. Deploying a DAG is `kubectl apply` and not here."
    ),
    tables={
        tag: [route for route in table if route.scheme is not Scheme.NONE]
        for tag, table in (("query", QUERY), ("users", USERS))
    },
    parameters=_PARAMETERS,
    links=_LINKS,
)


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    return API.document()


def rendered() -> str:
    """The document as it is kept."""
    return api_document.rendered(API)


def main(argv: list[str]) -> int:
    """Write the document, or with --check say whether it is right (exit code 1 when not)."""
    return api_document.write_or_check(PAGE, rendered(), "hack.generate.user_openapi", argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
