"""The one table of the query service's routes: what may be asked, by whom, and who answers.

The application serves exactly this table; whatever is not in it is 404. The Ingress of the chart routes the rows of
users and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from traceplane.query.api import shapes
from traceplane.query.api.requests import QueryRequest, TaskQueryRequest


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """A route. `principal` is who may call it: a user with the role `reader`, a task, or whoever reaches the port;
    `call` names the method of the service that answers. `left` is what 202 says, `query` the names after `?`,
    `statuses` its own refusals."""

    method: str
    path: str
    principal: Literal["user", "task", "network"]
    call: str
    summary: str
    request: Any = None
    response: Any = None
    statuses: tuple[int, ...] = ()
    left: Any = None
    query: tuple[str, ...] = ()


_QUERY = (400, 404, 408, 409, 410, 413, 422, 499)

ROUTES = (
    QueryRoute(
        "POST",
        "/v1/query",
        "user",
        "query",
        "Run one SELECT over published assets, or leave it to be run.",
        QueryRequest,
        shapes.Answer,
        _QUERY,
        shapes.BatchQuery,
    ),
    QueryRoute(
        "GET",
        "/v1/queries/{id:uuid}",
        "user",
        "result",
        "What is known of a query of one's own: its answer, how far it is, or why it has none.",
        None,
        shapes.KnownAnswer,
        (400, 404, 408, 409, 410, 413, 422, 500),
        shapes.BatchQuery,
        ("wait",),
    ),
    QueryRoute(
        "DELETE",
        "/v1/queries/{id:uuid}",
        "user",
        "cancel_query",
        "Cancel a query of one's own that was left to be run.",
        None,
        shapes.BatchQuery,
        (404, 409),
    ),
    QueryRoute(
        "POST",
        "/v1/task/query",
        "task",
        "task_query",
        "Run one SELECT over the dataset versions that the task's token lists.",
        TaskQueryRequest,
        shapes.Answer,
        _QUERY,
    ),
    QueryRoute("GET", "/healthz", "network", "healthy", "The process answers."),
    QueryRoute("GET", "/readyz", "network", "ready", "State answers and queries can be started.", statuses=(503,)),
    QueryRoute("GET", "/metrics", "network", "metrics", "Prometheus metrics."),
)
