"""`tracectl run controller`: the one active controller of an installation, or one on standby."""

from __future__ import annotations

import typer


def register(app: typer.Typer) -> None:
    """Add the command to `app`."""
    app.command("controller")(controller)


def controller() -> None:
    """Reconcile DAGs, Jobs, Assets and Bundles of its namespaces. Needs the state DSN and TRACE_WORKER_IMAGE."""
    import asyncio
    import os
    import socket

    from traceplane.observe import logs, otlp
    from traceplane.query.validation import StatementChecker
    from traceplane.reconcile import process
    from traceplane.settings import ControllerSettings, load

    settings = load(ControllerSettings)
    logs.configure(settings.log_level)
    # KUBECONFIG and KUBERNETES_SERVICE_* are Kubernetes' own names, so they are not among the settings.
    identity = f"{socket.gethostname()}.{os.getpid()}"
    with otlp.exporting("controller", settings), StatementChecker() as checker:
        code = asyncio.run(process.run(settings, os.environ, identity, checker))
    raise SystemExit(code)
