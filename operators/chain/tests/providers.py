"""Providers made of functions, on a clock that tests move."""

from __future__ import annotations

import json
from collections.abc import Callable
from typing import Any

import httpx

from operators.chain.pool import ProviderPool
from operators.chain.provider import Provider

Answer = Callable[[list[dict[str, Any]]], Any]
"""The calls of one request -> the decoded body of the answer, or a whole response."""


class Clock:
    """Seconds; waiting moves it."""

    def __init__(self) -> None:
        self.now = 1000.0
        self.waited: list[float] = []

    def __call__(self) -> float:
        return self.now

    def wait(self, seconds: float) -> None:
        self.waited.append(seconds)
        self.now += seconds


def client(*answers: Answer) -> httpx.Client:
    """One provider per function, at http://0, http://1 and so on."""

    def respond(request: httpx.Request) -> httpx.Response:
        sent = json.loads(request.content)
        calls = sent if isinstance(sent, list) else [sent]
        answered = answers[int(request.url.host)](calls)
        if isinstance(answered, httpx.Response):
            return answered
        if isinstance(sent, dict) and isinstance(answered, list) and len(answered) == 1:
            answered = answered[0]
        return httpx.Response(200, json=answered)

    return httpx.Client(transport=httpx.MockTransport(respond))


def provider_of(answer: Answer, max_bytes: int = 10_000, clock: Clock | None = None) -> Provider:
    clock = clock or Clock()
    return Provider("provider 0", "http://0", client(answer), max_bytes, clock=clock, wait=clock.wait)


def pool_of(*answers: Answer, clock: Clock | None = None) -> ProviderPool:
    """A pool of chain 1 with one provider per function."""
    clock = clock or Clock()
    pool = ProviderPool([], 1, timeout=1, max_bytes=10_000, connections=1, clock=clock, wait=clock.wait)
    pool._http.close()
    pool._http = client(*answers)
    pool.use([f"http://{n}" for n in range(len(answers))])
    return pool


def results(calls: list[dict[str, Any]], value: Callable[[dict[str, Any]], Any]) -> list[dict[str, Any]]:
    return [{"id": call["id"], "result": value(call)} for call in calls]


def echo(calls: list[dict[str, Any]]) -> Any:
    return results(calls, lambda call: call["params"][0])


class Chain:
    """A provider whose chain has blocks 0 to `height`, hashed `<height><branch>`; what is set may be changed."""

    def __init__(self, chain_id: int = 1, height: int = 7, branch: str = "") -> None:
        self.chain_id, self.height, self.branch = chain_id, height, branch
        self.refusal: httpx.Response | None = None
        self.claimed: int | None = None
        """A height that `latest` claims to be."""
        self.side: set[str] = set()
        """Hashes of blocks that it has, and shows at no height."""
        self.calls: list[str] = []

    def __call__(self, calls: list[dict[str, Any]]) -> Any:
        self.calls += [call["method"] for call in calls]
        return self.refusal if self.refusal is not None else results(calls, self._value)

    def _value(self, call: dict[str, Any]) -> Any:
        if call["method"] == "eth_chainId":
            return hex(self.chain_id)
        if call["method"] == "eth_getBlockByHash":
            asked = call["params"][0]
            at = {f"{number}{self.branch}": number for number in range(self.height + 1)}
            known = asked in at or asked in self.side
            return {"number": hex(at.get(asked, 0)), "hash": asked} if known else None
        latest = call["params"][0] == "latest"
        number = (self.claimed or self.height) if latest else int(call["params"][0], 16)
        shown = {"number": hex(number), "hash": f"{number}{self.branch}"}
        return shown if latest or number <= self.height else None
