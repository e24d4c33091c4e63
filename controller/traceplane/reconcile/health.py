"""Whether the controller still sees and acts: liveness by what it does, not by whether it answers.

A watch can go silent while its socket stays open, and kopf's watching task can end while the rest of the process
lives on. So every watch is reopened at intervals shorter than the limit, each opening is noted here, and one
that was not reopened in time makes `/healthz` fail, as does a full list that has not succeeded for as long. The
kubelet then restarts the controller, which costs nothing: no worker pod notices.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence, Sized
from typing import Protocol

import aiohttp
from aiohttp import web
from prometheus_client import generate_latest

from traceplane.kit.listen import listener
from traceplane.observe import reconcile_metrics as metrics


class Pulse:
    """Signs of life by name, each with the time of its last one."""

    def __init__(self, limit: float, clock: Callable[[], float] = time.monotonic) -> None:
        self._limit = limit
        self._clock = clock
        self._last: dict[str, float] = {}
        self.synced = False
        """Whether a full list has been taken in."""

    def expect(self, names: tuple[str, ...]) -> None:
        """From now on these must show life."""
        self._last |= dict.fromkeys(names, self._clock())

    def beat(self, name: str) -> None:
        """A sign of life."""
        self._last[name] = self._clock()

    def silent(self) -> tuple[str, ...]:
        """Names without a sign of life for longer than the limit, with its length."""
        now = self._clock()
        return tuple(
            f"{name} for {now - last:.0f} s"
            for name, last in sorted(self._last.items())
            if now - last > self._limit
        )

    def ages(self) -> dict[str, float]:
        """Seconds since the last sign of life, by name."""
        return {name: self._clock() - last for name, last in self._last.items()}


def watch_trace(beat: Callable[[str, str], None], answered: Callable[[], None]) -> aiohttp.TraceConfig:
    """Notes every watch that the API server answers (`beat`: namespace, name), and calls `answered` then."""
    trace = aiohttp.TraceConfig()

    async def ended(_session: object, _context: object, done: aiohttp.TraceRequestEndParams) -> None:
        if done.url.query.get("watch") != "true":
            return
        *_, namespace, resource = done.url.path.split("/")
        metrics.watch_restarts.labels(resource).inc()
        if done.response.status == 200:
            beat(namespace, f"watch {resource}")
            answered()
        else:
            metrics.api_errors.labels("watch", resource, str(done.response.status)).inc()

    trace.on_request_end.append(ended)
    return trace


class Shown(Protocol):
    """What is served: of every namespace, and of the process."""

    lag: metrics.Lag
    pods: metrics.PodCounts

    @property
    def queue(self) -> Sized:
        """What waits to be reconciled."""

    def silent(self) -> Sequence[str]:
        """What should have shown life."""

    def waiting(self) -> Sequence[str]:
        """Namespaces whose objects were not listed yet."""

    def watch_ages(self) -> Mapping[str, float]:
        """Seconds since a watch of a resource was answered."""


async def serve(host: str, port: int, shown: Shown) -> web.AppRunner:
    """Serve /healthz, /readyz and /metrics; the caller cleans up the runner."""

    async def healthz(_request: web.Request) -> web.Response:
        silent = shown.silent()
        return web.Response(status=503 if silent else 200, text="; ".join(silent) or "ok")

    async def readyz(_request: web.Request) -> web.Response:
        waiting = shown.waiting()
        return web.Response(text=f"standing by: {', '.join(waiting)}" if waiting else "synced")

    async def scrape(_request: web.Request) -> web.Response:
        shown.lag.publish()
        shown.pods.publish()
        metrics.queue_depth.set(len(shown.queue))
        for resource, age in shown.watch_ages().items():
            metrics.watch_age.labels(resource).set(age)
        # In this thread: what another one read while gauges are replaced would lack some of them.
        body = generate_latest(metrics.registry)
        return web.Response(body=body, headers={"Content-Type": "text/plain; version=0.0.4; charset=utf-8"})

    app = web.Application()
    app.add_routes([web.get("/healthz", healthz), web.get("/readyz", readyz), web.get("/metrics", scrape)])
    runner = web.AppRunner(app, access_log=None)
    await runner.setup()
    await web.SockSite(runner, listener(host, port)).start()
    return runner
