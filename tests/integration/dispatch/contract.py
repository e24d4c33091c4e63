"""The task API's contract, as a hook of the tests' client."""

from __future__ import annotations

import httpx

from hack.generate import openapi
from tests.contract import Contract

_CONTRACT = Contract(openapi.document())


async def check(answer: httpx.Response) -> None:
    """Assert that an answer is one that the document tells of."""
    await answer.aread()
    _CONTRACT.check(answer)
