"""The query service as an ASGI application, with what starts before its first request and ends after its last."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette

from traceplane.errors import GiveUp, InvalidSettings
from traceplane.query.api.handlers import Handlers
from traceplane.query.api.requests import MAX_BODY_BYTES
from traceplane.query.api.routes import ROUTES
from traceplane.query.api.service import Service
from traceplane.query.batch.runner import Runner
from traceplane.query.sandbox import confine
from traceplane.settings import QuerySettings
from traceplane.web import authentication
from traceplane.web.authentication import Scheme
from traceplane.web.bodies import Bodies
from traceplane.web.rates import RateLimit
from traceplane.web.routes import OnGiveUp, Serving, application

STOP_SECONDS = 10.0
"""How long releasing batch queries may take; after that they are claimed again when their lease runs out."""

log = structlog.get_logger()


def create_app(settings: QuerySettings, on_give_up: OnGiveUp) -> Starlette:
    """The application that serves `routes.ROUTES`. Raises InvalidSettings for what it lacks."""
    lacks = confine.missing()
    if lacks and not settings.query_accept_weaker_sandbox:
        raise InvalidSettings(
            f"this kernel offers no {' and no '.join(lacks)}, which keep untrusted SQL in its process: use another "
            "node, or accept it with TRACE_QUERY_ACCEPT_WEAKER_SANDBOX=true"
        )
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(_app: Starlette) -> AsyncIterator[None]:
        await service.start()
        running = asyncio.create_task(_run_batches(service.runner, on_give_up))
        try:
            yield
        finally:
            service.runner.stop()
            await asyncio.wait([running], timeout=STOP_SECONDS)
            await service.close()

    handlers = Handlers(service)
    app = application(ROUTES, lambda route: getattr(handlers, route.call), _serving(service, on_give_up), lifespan)
    app.state.service = service
    return app


def _serving(service: Service, on_give_up: OnGiveUp) -> Serving:
    settings = service.settings
    users, tasks = RateLimit(settings.query_rate_per_minute), RateLimit(settings.query_task_rate_per_minute)
    return Serving(
        authenticate={
            Scheme.USER: authentication.users(service.verifier, users, service.lookup),
            Scheme.TASK: authentication.tasks(service.capabilities.verify, tasks),
        },
        on_give_up=on_give_up,
        bodies=Bodies(MAX_BODY_BYTES, invalid="InvalidRequest", too_large="TooLarge"),
    )


async def _run_batches(runner: Runner, on_give_up: OnGiveUp) -> None:
    """Run batch queries until the runner is stopped, or has to give up."""
    try:
        await runner.run()
    except* GiveUp as group:
        for error in group.exceptions:
            assert isinstance(error, GiveUp)
            on_give_up(error)
    except* Exception:  # its loops outlive their errors, so this is a defect: a service without them must not go on
        log.exception("the runner of batch queries failed")
        on_give_up(GiveUp("batch queries can no longer be run; the log says why"))
