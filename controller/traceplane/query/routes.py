"""The one table of the query service's routes: what may be asked, by whom, and who answers.

The application serves exactly this table; whatever is not in it is 404. The Ingress of the chart routes the rows of
users and nothing else.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True, slots=True)
class QueryRoute:
    """A route. `principal` is who may call it: a user with the role `reader`, a task, or whoever reaches the port;
    `call` names the method of the service that answers."""

    method: str
    path: str
    principal: Literal["user", "task", "network"]
    call: str
    summary: str


ROUTES = (
    QueryRoute("POST", "/v1/query", "user", "query", "Run one SELECT over published assets."),
    QueryRoute("GET", "/v1/queries/{id:uuid}", "user", "result", "What is known of an answer of one's own."),
    QueryRoute("POST", "/v1/task/query", "task", "task_query", "Run one SELECT over the task's own versions."),
    QueryRoute("GET", "/healthz", "network", "healthy", "The process answers."),
    QueryRoute("GET", "/readyz", "network", "ready", "State answers and queries can be started."),
    QueryRoute("GET", "/metrics", "network", "metrics", "Prometheus metrics."),
)
