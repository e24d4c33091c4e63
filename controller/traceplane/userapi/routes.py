"""The user API's table of routes: method, path, the role it needs, what it answers, and the handler that does.

What is not in the table does not exist (404). A handler's name is the operation's, its docstring the summary.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Any

from traceplane.userapi import external, installation, lineage, plan_shapes, plans, reads, rollouts, shapes, tasks
from traceplane.userapi.call import Call
from traceplane.userapi.rollout_shapes import Collected, Rollout
from traceplane.web.authentication import Scheme
from traceplane.web.routes import Route

Handler = Callable[[Call], Awaitable[Any]]

_PAGE = ("limit", "cursor")
_ONE = ("namespace",)


def _get(
    path: str,
    handler: Handler,
    response: Any,
    query: tuple[str, ...] = (),
    statuses: tuple[int, ...] = (400, 404),
    **rest: Any,
) -> tuple[Route, Handler]:
    """A list or an object that a reader sees; 304 where it has it already."""
    return _row("GET", path, handler, response=response, also={304: None}, statuses=statuses, query=query, **rest)


def _post(path: str, handler: Handler) -> tuple[Route, Handler]:
    """Something that a writer does to a task."""
    return _row("POST", path, handler, response=shapes.OneTask, statuses=(404, 409), role="writer")


def _roll(path: str, handler: Handler, query: tuple[str, ...] = ()) -> tuple[Route, Handler]:
    """Something that a writer does to the versions of a DAG."""
    statuses, also = (400, 404, 409), (*_ONE, *query)
    return _row("POST", path, handler, response=Rollout, statuses=statuses, role="writer", query=also)


def _row(method: str, path: str, handler: Handler, **rest: Any) -> tuple[Route, Handler]:
    summary = (handler.__doc__ or "").strip()
    return Route(method, path, handler.__name__, Scheme.USER, summary, **rest), handler


_ROWS = (
    _get("/v1/version", installation.version, shapes.Version, statuses=()),
    _get("/v1/health", installation.health, shapes.Page[shapes.Finding], statuses=(), role="admin"),
    _get("/v1/dags", reads.dags, shapes.Page[shapes.Dag], ("namespace", *_PAGE), (400,)),
    _get("/v1/dags/{name}", reads.dag, shapes.Dag, _ONE),
    _get("/v1/dags/{name}/jobs", reads.dag_jobs, shapes.Page[shapes.DagJob], _ONE),
    _get(
        "/v1/dags/{name}/tasks", reads.dag_tasks, shapes.Page[shapes.Task], ("namespace", "status", "job", *_PAGE)
    ),
    _get("/v1/dags/{name}/versions", reads.dag_versions, shapes.Page[shapes.DagVersion], (*_ONE, *_PAGE)),
    _get("/v1/dags/{name}/rollout", rollouts.dag_rollout, Rollout, _ONE),
    _row(
        "POST",
        "/v1/dags/{name}/plan",
        plans.plan_dag,
        request=plan_shapes.PlanRequest,
        response=plan_shapes.PlanFacts,
        statuses=(400, 404, 413, 415),
        query=_ONE,
    ),
    _row(
        "POST",
        "/v1/dags/{name}/inputs",
        plans.dag_inputs,
        request=plan_shapes.InputsRequest,
        response=plan_shapes.Inputs,
        statuses=(400, 404, 413, 415),
        query=_ONE,
    ),
    _roll("/v1/dags/{name}/rollout/approve", rollouts.approve_rollout, ("version",)),
    _roll("/v1/dags/{name}/rollout/resume", rollouts.resume_rollout),
    _row(
        "POST",
        "/v1/dags/{name}/gc",
        rollouts.collect_garbage,
        response=Collected,
        statuses=(400, 404),
        role="admin",
        query=(*_ONE, "keep", "dry_run"),
    ),
    _roll("/v1/dags/{name}/rollback", rollouts.roll_back_dag, ("version",)),
    _post("/v1/tasks/{id:uuid}/retry", tasks.retry_task),
    _post("/v1/tasks/{id:uuid}/cancel", tasks.cancel_task),
    _get("/v1/assets", reads.assets, shapes.Page[shapes.Asset], (*_ONE, *_PAGE), (400,)),
    _get("/v1/assets/{name}", reads.asset, shapes.OneAsset, _ONE),
    _row(
        "POST",
        "/v1/assets/{name}/refresh",
        external.refresh_asset,
        response=shapes.Refresh,
        statuses=(400, 404, 409),
        role="writer",
        query=_ONE,
    ),
    _get("/v1/assets/{name}/refresh", external.asset_refresh, shapes.Refresh, (*_ONE, "task")),
    _get("/v1/assets/{name}/partitions", reads.asset_partitions, shapes.Page[shapes.Partition], (*_ONE, *_PAGE)),
    _get("/v1/assets/{name}/lineage", lineage.asset_lineage, shapes.Lineage, _ONE),
    _get("/v1/assets/{name}/runs", lineage.asset_runs, shapes.Runs, (*_ONE, "partition", "start", "end", "depth")),
    _get("/v1/assets/{name}/explanation", lineage.explain_asset, shapes.Explanation, (*_ONE, "at")),
    _get("/v1/assets/{name}/versions", reads.asset_versions, shapes.Page[shapes.AssetVersion], (*_ONE, *_PAGE)),
)

HANDLERS = {row.call: handler for row, handler in _ROWS}

ROUTES = (
    *(row for row, _ in _ROWS),
    Route("GET", "/healthz", "healthz", Scheme.NONE, "The process answers."),
)
"""Everything that is served on the users' port."""
