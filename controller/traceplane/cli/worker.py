"""`tracectl run worker`: serve the tasks of one job generation."""

from __future__ import annotations

import os
import signal

import typer


def register(app: typer.Typer) -> None:
    """Add the command."""
    app.command("worker", help="Claim and run tasks of one job generation (TRACE_JOB_ID).")(run)


def run() -> None:
    """Exit codes: 0 idle, drained or lease lost; 1 claims refused, or wrong settings."""
    from traceplane.kit import crash
    from traceplane.observe import otlp
    from traceplane.settings import WorkerSettings, load
    from traceplane.worker import health as health_module
    from traceplane.worker import journal
    from traceplane.worker.host import worker_token
    from traceplane.worker.process import ExitReason, Worker
    from traceplane_sdk.client import TaskApi

    settings = load(WorkerSettings)
    journal.configure(settings.log_level)
    job = str(settings.job_id)
    worker_token(settings)  # a missing token is named at start, not at the first claim
    if settings.crash_at is not None:
        crash.arm(settings.crash_at)
    health = health_module.Health()
    server = health_module.serve(health, settings.listen_host, settings.metrics_port)
    api = TaskApi(settings.dispatcher_url, lambda: worker_token(settings))
    worker = Worker(settings, job, api, health)
    for number in (signal.SIGTERM, signal.SIGINT):
        signal.signal(number, lambda *_: worker.drain())
    with otlp.exporting("worker", settings, settings.worker_id):
        reason = worker.run()
    if reason in (ExitReason.STUCK, ExitReason.LEASE_LOST):
        # A thread may still be running operator code; only the end of the process ends it for sure.
        os._exit(0)
    server.shutdown()
    api.close()
    raise typer.Exit(1 if reason is ExitReason.REFUSED else 0)
