"""The one table of routes: what may be called, by whom, with which bodies.

The application serves exactly this table and the OpenAPI document is generated from it, so the two cannot part.
Whatever is not in it is 404.
"""

from __future__ import annotations

from dataclasses import dataclass
from enum import Enum
from typing import Any

from traceplane_sdk import wire


class Principal(Enum):
    """Who may call a route, and the header that proves it."""

    WORKER = "X-Trace-Worker-Token"
    TASK = "X-Trace-Task-Capability"
    NETWORK = ""


@dataclass(frozen=True, slots=True)
class Route:
    """A route. `statuses` are the problem statuses its call may answer besides those of its principal; with
    `partial` it may answer its own response instead, which says item by item what was refused."""

    method: str
    path: str
    call: str
    principal: Principal
    summary: str
    request: type | None
    response: Any
    statuses: tuple[int, ...] = ()
    partial: int | None = None


_BODY = (400, 413, 415, 429, 503)

ROUTES = (
    Route(
        "POST",
        "/internal/task-claim",
        "claim",
        Principal.WORKER,
        "Lease tasks of a job generation, or one named task; waits up to wait_seconds for work.",
        wire.ClaimRequest,
        wire.ClaimResponse,
        (*_BODY, 404, 409),
    ),
    Route(
        "POST",
        "/v1/task/heartbeat",
        "heartbeat",
        Principal.TASK,
        "Extend leases; says which are lost, canceled or paused.",
        wire.HeartbeatRequest,
        wire.HeartbeatResponse,
        _BODY,
    ),
    Route(
        "POST",
        "/v1/task/events",
        "events",
        Principal.TASK,
        "Report events and invalidations while the task runs.",
        wire.EventsRequest,
        wire.EventsResponse,
        (*_BODY, 409),
    ),
    Route(
        "POST",
        "/v1/task/complete",
        "complete",
        Principal.TASK,
        "End attempts. Answers 409 with the same body if any of them is stale; the others are accepted.",
        wire.CompleteRequest,
        wire.CompleteResponse,
        (*_BODY, 409),
        partial=409,
    ),
    Route(
        "POST",
        "/v1/task/credentials",
        "credentials",
        Principal.TASK,
        "Temporary object-store credentials for the token's prefixes.",
        wire.CredentialsRequest,
        wire.CredentialsResponse,
        (*_BODY, 409),
    ),
    Route(
        "GET",
        "/internal/jwks/task",
        "jwks",
        Principal.NETWORK,
        "Public keys that verify capability tokens (RFC 7517).",
        None,
        dict[str, list[dict[str, str]]],
    ),
    Route("GET", "/healthz", "healthz", Principal.NETWORK, "The process answers.", None, None),
    Route("GET", "/readyz", "readyz", Principal.NETWORK, "The state database answers.", None, None, (503,)),
    Route("GET", "/metrics", "metrics", Principal.NETWORK, "Prometheus metrics.", None, None),
)
