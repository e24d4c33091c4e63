"""A context without a platform, for tests of a follower's parts."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from operators.chain.tests.providers import Clock
from traceplane_sdk.context import Report
from traceplane_sdk.errors import Stopped, StopReason


class Ctx:
    """A context whose waiting takes no time, and which is stopped after `waits` of it."""

    def __init__(self, waits: int = 10**9) -> None:
        self.config = SimpleNamespace(poll_seconds=1.0, rpc_pool="local")
        self.io = SimpleNamespace(rpc_urls=lambda _pool: ["http://0"])
        self.control = SimpleNamespace(check=lambda: None, wait=self._wait, wake=self._wake)
        self.logged: list[tuple[str, dict[str, Any]]] = []
        self.measures: dict[str, float] = {}
        self.reports: list[Report] = []
        self.clock = Clock()
        self._waits = waits

    def _wake(self) -> None:
        raise AssertionError("nothing announces heads here")

    def _wait(self, seconds: float) -> None:
        self.clock.wait(seconds)
        if len(self.clock.waited) >= self._waits:
            raise Stopped(StopReason.DRAINING)

    def log(self, event: str, **fields: Any) -> None:
        self.logged.append((event, fields))

    def measure(self, name: str, value: float | None, **labels: str) -> None:
        name += "".join(f"{{{label}={text}}}" for label, text in labels.items())
        self.measures.pop(name, None)
        if value is not None:
            self.measures[name] = value

    def report(
        self, healthy: bool, message: str, position: int | None, head: int | None, holds: float | None = None
    ) -> None:
        self.reports.append(Report(healthy, message, position, head, holds))
