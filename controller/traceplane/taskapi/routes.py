"""The task API's table of routes: what may be called, by whom, with which bodies.

The application serves exactly this table and the OpenAPI document is generated from it.
"""

from __future__ import annotations

from traceplane.web.authentication import Scheme
from traceplane.web.routes import Route
from traceplane_sdk import wire

_BODY = (400, 413, 415, 429, 503)

ROUTES = (
    Route(
        "POST",
        "/internal/task-claim",
        "claim",
        Scheme.WORKER,
        "Lease tasks of a job generation, or one named task; waits up to wait_seconds for work.",
        request=wire.ClaimRequest,
        response=wire.ClaimResponse,
        statuses=(*_BODY, 404, 409),
    ),
    Route(
        "POST",
        "/v1/task/heartbeat",
        "heartbeat",
        Scheme.TASK,
        "Extend leases; says which are lost, canceled or paused.",
        request=wire.HeartbeatRequest,
        response=wire.HeartbeatResponse,
        statuses=_BODY,
    ),
    Route(
        "POST",
        "/v1/task/events",
        "events",
        Scheme.TASK,
        "Report events and invalidations while the task runs.",
        request=wire.EventsRequest,
        response=wire.EventsResponse,
        statuses=(*_BODY, 409),
    ),
    Route(
        "POST",
        "/v1/task/complete",
        "complete",
        Scheme.TASK,
        "End attempts. Answers 409 with the same body if any of them is stale; the others are accepted.",
        request=wire.CompleteRequest,
        response=wire.CompleteResponse,
        statuses=(*_BODY, 409),
        # Item by item: which completions were stale, and which were accepted.
        also={409: wire.CompleteResponse},
    ),
    Route(
        "POST",
        "/v1/task/credentials",
        "credentials",
        Scheme.TASK,
        "Object-store credentials for the token's prefixes.",
        request=wire.CredentialsRequest,
        response=wire.CredentialsResponse,
        statuses=(*_BODY, 409),
    ),
    Route(
        "GET",
        "/internal/jwks/task",
        "jwks",
        Scheme.NONE,
        "Public keys that verify capability tokens (RFC 7517).",
        response=dict[str, list[dict[str, str]]],
    ),
    Route("GET", "/healthz", "healthz", Scheme.NONE, "The process answers."),
    Route("GET", "/readyz", "readyz", Scheme.NONE, "State answers, and STS is there.", statuses=(503,)),
    Route("GET", "/metrics", "metrics", Scheme.NONE, "Prometheus metrics."),
)
