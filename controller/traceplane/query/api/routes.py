"""The query service's table of routes. The Ingress of the chart routes the rows of users and nothing else."""

from __future__ import annotations

from traceplane.query.api import shapes
from traceplane.query.api.requests import QueryRequest, TaskQueryRequest
from traceplane.query.api.responses import MEDIA_TYPES
from traceplane.web.authentication import Scheme
from traceplane.web.routes import Route

_QUERY = (400, 404, 408, 409, 410, 413, 415, 422, 499)
_MEDIA_TYPES = tuple(MEDIA_TYPES.values())

ROUTES = (
    Route(
        "POST",
        "/v1/query",
        "query",
        Scheme.USER,
        "Run one SELECT over published assets, or submit it as a batch query.",
        request=QueryRequest,
        response=shapes.Answer,
        also={202: shapes.BatchQuery, 303: shapes.Answer},
        statuses=_QUERY,
        media_types=_MEDIA_TYPES,
    ),
    Route(
        "GET",
        "/v1/queries/{id:uuid}",
        "result",
        Scheme.USER,
        "What is known of a query of the caller's: its answer, how far it is, or why it has none.",
        response=shapes.KnownAnswer,
        also={202: shapes.BatchQuery},
        statuses=(400, 404, 408, 409, 410, 413, 422, 500),
        query=("wait",),
    ),
    Route(
        "DELETE",
        "/v1/queries/{id:uuid}",
        "cancel_query",
        Scheme.USER,
        "Cancel a batch query of the caller's.",
        response=shapes.BatchQuery,
        statuses=(404, 409),
    ),
    Route(
        "POST",
        "/v1/task/query",
        "task_query",
        Scheme.TASK,
        "Run one SELECT over the dataset versions that the task's token lists.",
        request=TaskQueryRequest,
        response=shapes.Answer,
        also={303: shapes.Answer},
        statuses=(*_QUERY, 429, 503),
        media_types=_MEDIA_TYPES,
    ),
    Route("GET", "/healthz", "healthy", Scheme.NONE, "The process answers."),
    Route("GET", "/readyz", "ready", Scheme.NONE, "State answers and queries can be started.", statuses=(503,)),
    Route("GET", "/metrics", "metrics", Scheme.NONE, "Prometheus metrics."),
)
