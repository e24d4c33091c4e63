"""The one table of the query service's routes: what may be asked, by whom, and who answers.

The application serves exactly this table; whatever is not in it is 404. The Ingress of the chart routes the rows of
users and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Literal

from traceplane.query import shapes
from traceplane.query.requests import QueryRequest, TaskQueryRequest


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """A route. `principal` is who may call it: a user with the role `reader`, a task, or whoever reaches the port;
    `call` names the method of the service that answers. `statuses` are its own refusals."""

    method: str
    path: str
    principal: Literal["user", "task", "network"]
    call: str
    summary: str
    request: Any = None
    response: Any = None
    statuses: tuple[int, ...] = ()


_QUERY = (400, 404, 408, 409, 410, 413, 422, 499)

ROUTES = (
    QueryRoute(
        "POST",
        "/v1/query",
        "user",
        "query",
        "Run one SELECT over published assets.",
        QueryRequest,
        shapes.Answer,
        _QUERY,
    ),
    QueryRoute(
        "GET",
        "/v1/queries/{id:uuid}",
        "user",
        "result",
        "What is known of an answer of one's own.",
        None,
        shapes.KnownAnswer,
        (404,),
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
