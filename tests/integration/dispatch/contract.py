"""Holds answers of the task API against its OpenAPI document, whatever a test asks for."""

from __future__ import annotations

from typing import Any

import httpx
from jsonschema import Draft202012Validator

from hack.generate import openapi

DOCUMENT = openapi.document()


async def check(answer: httpx.Response) -> None:
    """Assert that an answer of a documented operation is one that the document tells of."""
    operation = DOCUMENT["paths"].get(answer.request.url.path, {}).get(answer.request.method.lower())
    if operation is None:
        assert answer.status_code in (404, 405), "only what is documented answers otherwise"
        return
    told = operation["responses"].get(str(answer.status_code))
    assert told is not None, f"{answer.request.url.path} answers {answer.status_code}, which the document lacks"
    kind = answer.headers["content-type"].partition(";")[0]
    assert kind in told["content"], f"{answer.request.url.path} {answer.status_code} is {kind}"
    await answer.aread()
    if kind.endswith("json"):
        schema: dict[str, Any] = told["content"][kind]["schema"]
        Draft202012Validator({**schema, "components": DOCUMENT["components"]}).validate(answer.json())
