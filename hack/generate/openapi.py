"""Writes operators/contract/task-api.openapi.json from the task API's table of routes and the wire types.

The integration tests hold every answer they get against it.

Usage: python -m hack.generate.openapi [--check]
"""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any

from hack.generate import api_document
from traceplane.taskapi.routes import ROUTES

PAGE = Path(__file__).resolve().parents[2] / "operators" / "contract" / "task-api.openapi.json"

API = api_document.Api(
    title="Trace task API",
    description=(
        "What workers and tasks call, inside the cluster only. Block ranges are inclusive, times RFC 3339, errors "
        "application/problem+json (RFC 9457) with a stable code."
    ),
    tables={"": ROUTES},
    always=(500,),
)


def document() -> dict[str, Any]:
    """The whole document, OpenAPI 3.1."""
    return API.document()


def rendered() -> str:
    """The document as it is kept."""
    return api_document.rendered(API)


def main(argv: list[str]) -> int:
    """Write the document, or with --check say whether it is right (exit code 1 when not)."""
    return api_document.write_or_check(PAGE, rendered(), "hack.generate.openapi", argv)


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
