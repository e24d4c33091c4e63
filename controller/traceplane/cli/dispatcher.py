"""`tracectl run dispatcher`: the task API, the user API and the loops, in one process.

Order of start: settings, schema check, parts, servers, loops. On SIGTERM it stops accepting, answers the requests
in progress, hands back the tasks that it runs itself, and exits with 0.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from typing import TYPE_CHECKING, Any

import typer

if TYPE_CHECKING:
    from traceplane.errors import GiveUp
    from traceplane.settings import DispatcherSettings

GRACE_SECONDS = 20
"""How long requests in progress may take after SIGTERM; long polls are answered at once."""

BACKLOG = 512
HEADER_BYTES = 64 * 1024


def register(app: typer.Typer) -> None:
    """Add the command to `tracectl run`."""

    @app.command("dispatcher")
    def dispatcher() -> None:
        """Serve the task API and run the dispatcher's loops."""
        import uvloop

        from traceplane.observe import logs, otlp
        from traceplane.settings import DispatcherSettings, load
        from traceplane.store import migrate

        chosen = load(DispatcherSettings)
        logs.configure(chosen.log_level)
        migrate.check(chosen.read_state_dsn(), chosen.read_data_dsn())
        with (
            otlp.exporting("dispatcher", chosen),
            asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner,
        ):
            runner.run(serve(chosen))


async def serve(settings: DispatcherSettings) -> None:
    """Run until SIGTERM or SIGINT. Raises GiveUp where a request met an error after which it must not go on."""
    from traceplane import external
    from traceplane.dispatch import dispatcher
    from traceplane.kit import crash
    from traceplane.kit.listen import listener
    from traceplane.observe import credentials, dispatch_metrics
    from traceplane.taskapi.app import app as task_app
    from traceplane.userapi.app import app as user_app

    parts = dispatcher.build(settings, external.parts)
    credentials.Credentials(dispatch_metrics.REGISTRY, credentials.of_issuer(settings))
    if settings.crash_at:
        crash.arm(settings.crash_at)
    stop = asyncio.Event()
    for name in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(name, stop.set)
    fatal: list[GiveUp] = []

    def on_give_up(error: GiveUp) -> None:
        fatal.append(error)
        stop.set()

    users = user_app(settings, on_give_up, parts.health.parts())
    servers = [_server(task_app(parts, on_give_up)), _server(users)]
    try:
        sockets = [listener(settings.listen_host, port) for port in (settings.task_port, settings.user_port)]
        running = [asyncio.create_task(server.serve([sock])) for server, sock in zip(servers, sockets, strict=True)]
        working = asyncio.create_task(parts.run(stop))
        stopped = asyncio.create_task(stop.wait())
        await asyncio.wait({*running, working, stopped}, return_when=asyncio.FIRST_COMPLETED)
        by_itself = not stop.is_set()
        stop.set()
        parts.wakeups.close_waits()  # else a long poll would hold its server for the whole grace
        for server in servers:
            server.should_exit = True
        # What ended first may have failed; the rest ends in order before its error ends the process.
        await asyncio.wait({*running, working})
        for task in (working, *running):
            task.result()
        if fatal:
            raise fatal[0]  # the command line says why, and ends with exit code 1
        if by_itself:
            raise GiveUp("a server of the dispatcher did not start, or ended by itself; the log says why")
    finally:
        await parts.close()


def _server(application: Any) -> Any:
    """A uvicorn server that leaves the signals alone: two servers and the loops stop together, in `serve`."""
    import uvicorn

    class Server(uvicorn.Server):
        def capture_signals(self) -> Any:
            return contextlib.nullcontext()

    return Server(
        uvicorn.Config(
            application,
            loop="uvloop",
            http="httptools",
            ws="none",
            lifespan="auto",
            access_log=False,
            server_header=False,
            date_header=False,
            log_config=None,
            backlog=BACKLOG,
            timeout_graceful_shutdown=GRACE_SECONDS,
            h11_max_incomplete_event_size=HEADER_BYTES,
        )
    )
