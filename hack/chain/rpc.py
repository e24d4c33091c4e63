"""JSON-RPC with the standard library alone: the chain image holds Python and nothing else."""

from __future__ import annotations

import itertools
import json
import urllib.request
from collections.abc import Sequence
from typing import Any

_TIMEOUT_SECONDS = 20
_ids = itertools.count(1)


class RpcError(Exception):
    """The node refused a call."""


class Node:
    """One node's HTTP endpoint."""

    def __init__(self, url: str) -> None:
        self._url = url

    def call(self, method: str, *params: Any) -> Any:
        """One call's result. RpcError where the node refuses, OSError where it does not answer."""
        return self.batch([(method, params)])[0]

    def batch(self, calls: Sequence[tuple[str, Sequence[Any]]]) -> list[Any]:
        """Results in the order of `calls`, in one request."""
        if not calls:
            return []
        ids = [next(_ids) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": list(params)}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        request = urllib.request.Request(self._url, json.dumps(body).encode(), {"Content-Type": "application/json"})
        with urllib.request.urlopen(request, timeout=_TIMEOUT_SECONDS) as response:
            answers = {answer.get("id"): answer for answer in json.load(response)}
        return [_result(answers[number]) for number in ids]


def _result(answer: dict[str, Any]) -> Any:
    if "error" in answer:
        raise RpcError(str(answer["error"].get("message")))
    return answer["result"]
