"""`tracectl run query`: the query service."""

from __future__ import annotations

import typer

STARTUP_FAILURE = 3
"""Exit code where the service did not start: uvicorn's own."""

GRACE_SECONDS = 20
"""How long running queries may go on after SIGTERM."""


def register(app: typer.Typer) -> None:
    """Add the command to `tracectl run`."""
    app.command("query")(query)


def query() -> None:
    """Answer SQL over published assets on TRACE_QUERY_PORT.

    Needs a state and a data DSN of the role trace_query, read access to the bucket, and an issuer of user tokens.
    """
    import contextlib
    import signal
    import sys

    import uvicorn

    from traceplane.errors import GiveUp, Unavailable
    from traceplane.kit.listen import listener
    from traceplane.observe import logs, otlp
    from traceplane.query.api.app import create_app
    from traceplane.query.sandbox import confine
    from traceplane.settings import QuerySettings, load
    from traceplane.store import engine, migrate

    settings = load(QuerySettings)
    logs.configure(settings.log_level)
    with contextlib.suppress(Unavailable):  # the service starts without state, and is not ready until it is there
        migrate.check(settings.read_state_dsn())
    with contextlib.suppress(Unavailable):
        engine.check(settings.read_data_dsn())
    confine.undumpable()
    fatal: list[GiveUp] = []

    def on_give_up(error: GiveUp) -> None:
        fatal.append(error)
        server.should_exit = True

    server = uvicorn.Server(
        uvicorn.Config(
            create_app(settings, on_give_up),
            loop="uvloop",
            http="httptools",
            ws="none",
            access_log=False,
            server_header=False,
            log_config=None,
            timeout_graceful_shutdown=GRACE_SECONDS,
        )
    )

    def on_sigterm(*_: object) -> None:
        server.should_exit = True

    # For a signal before uvicorn has its own handler: it looks at this when it has started. It also raises the
    # signal once more when it has stopped; by default that would end the process before its spans are out.
    signal.signal(signal.SIGTERM, on_sigterm)
    with otlp.exporting("query", settings), contextlib.suppress(KeyboardInterrupt):
        server.run([listener(settings.listen_host, settings.query_port)])
    if fatal:
        raise fatal[0]  # the command line says why, and ends with exit code 1
    if not server.started:
        sys.exit(STARTUP_FAILURE)
