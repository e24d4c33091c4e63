"""The query service as an ASGI application: its table of routes, and what starts before and ends after it."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import structlog
from starlette.applications import Starlette
from starlette.routing import Route

from traceplane.errors import InvalidSettings
from traceplane.query.api.routes import ROUTES
from traceplane.query.api.service import Service
from traceplane.query.batch.runner import Runner
from traceplane.query.sandbox import confine
from traceplane.settings import QuerySettings
from traceplane.web import problems

STOP_SECONDS = 10.0
"""How long handing batch queries back may take; after that they are claimed again when their lease runs out."""

RESTART_SECONDS = 5.0
"""Before lanes of batch queries that an error ended begin again."""

_log = structlog.get_logger("trace.batch")


def create_app(settings: QuerySettings) -> Starlette:
    """The query service as an ASGI application. Raises InvalidSettings for what it lacks."""
    lacks = confine.missing()
    if lacks and not settings.query_accept_weaker_sandbox:
        raise InvalidSettings(
            f"this kernel offers no {' and no '.join(lacks)}, which keep untrusted SQL in its process: use another "
            "node, or accept it with TRACE_QUERY_ACCEPT_WEAKER_SANDBOX=true"
        )
    service = Service(settings)

    @asynccontextmanager
    async def lifespan(app: Starlette) -> AsyncIterator[None]:
        await asyncio.to_thread(service.supervisor.start)
        await asyncio.to_thread(service.cells.fill)
        running = asyncio.create_task(_kept(service.runner))
        try:
            yield
        finally:
            service.runner.stop()
            await asyncio.wait([running], timeout=STOP_SECONDS)
            await service.close()

    app = Starlette(
        routes=[Route(row.path, getattr(service, row.call), methods=[row.method]) for row in ROUTES],
        exception_handlers=dict(problems.HANDLERS),
        lifespan=lifespan,
    )
    app.router.redirect_slashes = False  # a path is in the table or it is not
    app.state.service = service
    return app


async def _kept(runner: Runner) -> None:
    """Run the lanes of batch queries until they are stopped. An error that ends them is a defect of ours; for good
    it must not, since everything else would go on answering and nobody notice."""
    while not runner.stopping.is_set():
        try:
            await runner.run()
        except Exception as error:
            _log.error("the lanes of batch queries ended, and begin again", exc_info=error)
            with contextlib.suppress(TimeoutError):
                async with asyncio.timeout(RESTART_SECONDS):
                    await runner.stopping.wait()
