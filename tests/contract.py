"""Holds answers of an API against its OpenAPI document, whatever a test asks for."""

from __future__ import annotations

import re
from typing import Any

import httpx
from jsonschema import Draft202012Validator


class Contract:
    """One OpenAPI document."""

    def __init__(self, document: dict[str, Any]) -> None:
        self._components = document["components"]
        self._operations = [
            (re.compile(re.sub(r"{\w+}", "[^/]+", path)), method, operation)
            for path, operations in document["paths"].items()
            for method, operation in operations.items()
        ]

    def check(self, answer: httpx.Response) -> None:
        """Assert that an answer of a documented operation is one that the document tells of. Its body was read."""
        asked = f"{answer.request.method} {answer.request.url.path}"
        operation = self._operation(answer.request)
        if operation is None:
            assert answer.status_code in (404, 405), f"{asked} is not documented, and answers {answer.status_code}"
            return
        told = operation["responses"].get(str(answer.status_code))
        assert told is not None, f"{asked} answers {answer.status_code}, which the document lacks"
        if "content" not in told:
            assert not answer.content, f"{asked} {answer.status_code} has a body"
            return
        kind = answer.headers["content-type"].partition(";")[0]
        assert kind in told["content"], f"{asked} {answer.status_code} is {kind}"
        if kind.endswith("json"):
            schema: dict[str, Any] = told["content"][kind]["schema"]
            Draft202012Validator({**schema, "components": self._components}).validate(answer.json())

    def _operation(self, request: httpx.Request) -> dict[str, Any] | None:
        for path, method, operation in self._operations:
            if method == request.method.lower() and path.fullmatch(request.url.path):
                found: dict[str, Any] = operation
                return found
        return None
