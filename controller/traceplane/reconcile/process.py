"""The life of a controller process: wait for the kinds and the Lease, work, stop in order.

It ends with exit code 0 when asked to stop, and with 1 when it lost its Lease or a part of it failed: the
supervisor (a Deployment) starts it again, and nothing that it was doing is lost by that.
"""

from __future__ import annotations

import asyncio
import contextlib
import signal
from collections.abc import Mapping

import structlog
from aiohttp import web

from traceplane import operator_registry
from traceplane.drivers import kubeaccess
from traceplane.drivers.kube import Kube, KubeError
from traceplane.errors import TraceError, Unavailable
from traceplane.graph import Checker
from traceplane.kit import crash, loops
from traceplane.observe import credentials
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile import handlers, health, webhook
from traceplane.reconcile.controller import Controller, report_loop
from traceplane.reconcile.leader import Leadership
from traceplane.reconcile.namespaces import Namespaces
from traceplane.settings import ControllerSettings
from traceplane.store.engine import Database
from traceplane.store.listener import Listener
from traceplane.store.statements import notify

_KINDS = frozenset({"DAG", "Job", "Asset", "Bundle"})
_GROUP_VERSION = "trace.dev/v1alpha1"

INSTALLATION_LEASE = "trace-installation"
"""In each namespace that is served: held in the name of the installation, which is its own namespace's."""

_STOP_SECONDS = 8.0
"""Longest wait for reconciles in progress, and again for kopf, when asked to stop."""

_STATE_SECONDS = 3.0
"""Longest wait of a reconcile for a connection to state. Less than `_STOP_SECONDS`, and short, since a DAG's
status says only after it that state is away. By default there are more connections than reconciles at once."""

log = structlog.get_logger()


async def run(settings: ControllerSettings, environment: Mapping[str, str], identity: str, checker: Checker) -> int:
    """Run until a signal; returns the exit code. `checker` is asked about statements in DAGs."""
    if settings.crash_at:
        crash.arm(settings.crash_at)
    stop = asyncio.Event()
    _stop_on_signals(stop)
    database = Database(
        settings.read_state_dsn(),
        application="trace-controller",
        pool_size=settings.pool_size,
        wait_seconds=_STATE_SECONDS,
    )
    account = None if environment.get("KUBECONFIG") else kubeaccess.SERVICE_ACCOUNT
    ends = {**credentials.of_service_account(account), **credentials.of_admission(settings)}
    credentials.Credentials(metrics.registry, ends)
    try:
        async with Kube(kubeaccess.discover(environment), settings.namespace, _count) as kube:
            served = Namespaces(settings, operator_registry.load(), kube, database, identity, checker)
            server = await health.serve(settings.listen_host, settings.metrics_port, served)
            admission = await _serve_admission(settings, served, checker) if settings.admission_port else None
            try:
                return await _lead(settings, kube, served, identity, stop)
            finally:
                await server.cleanup()
                if admission is not None:
                    await admission.cleanup()
    finally:
        await database.close()


async def _serve_admission(settings: ControllerSettings, served: Namespaces, checker: Checker) -> web.AppRunner:
    desks = {
        one.kube.namespace: webhook.Desk(one.kube, one.scope.manifests, one.pulse) for one in served.controllers
    }
    asked = webhook.Webhook(desks, operator_registry.load(), checker)
    return await webhook.serve(settings.listen_host, settings.admission_port, settings.admission_certificate, asked)


async def _lead(
    settings: ControllerSettings, kube: Kube, served: Namespaces, identity: str, stop: asyncio.Event
) -> int:
    leadership = Leadership(
        kube,
        settings.lease_name,
        identity,
        duration=settings.leader_lease_seconds,
        renew=settings.leader_renew_seconds,
    )
    if not await _kinds_served(kube, stop) or not await leadership.acquire(stop):
        return 0
    code = await _work(settings, kube, served, leadership, stop)
    if code == 0:
        await leadership.release()
    return code


async def _work(
    settings: ControllerSettings, kube: Kube, served: Namespaces, leadership: Leadership, stop: asyncio.Event
) -> int:
    """Everything the leader does, until `stop` or until a part ends by itself. A crash of one part ends all."""
    unwatch = asyncio.Event()
    listener = Listener(settings.read_state_dsn(), (notify.WAKE_CHANNEL, notify.DEPLOY_CHANNEL), served.notify)
    registry = handlers.registry(kube, served.beat, served.observe, lambda: _stop_on_signals(stop))
    configured = handlers.settings(settings.watch_stale_seconds)
    parts = [
        asyncio.create_task(leadership.hold(stop)),
        *(asyncio.create_task(_serve(settings, controller, stop)) for controller in served.controllers),
        asyncio.create_task(served.queue.run(stop)),
        asyncio.create_task(listener.run(stop)),
        asyncio.create_task(handlers.run(registry, configured, settings.served, unwatch)),
    ]
    ended, _ = await asyncio.wait(
        [*parts, waiting := asyncio.create_task(stop.wait())], return_when="FIRST_COMPLETED"
    )
    waiting.cancel()
    asked = stop.is_set()
    for part in ended - {waiting}:
        if not part.cancelled() and part.exception():
            log.error("part failed", error=str(part.exception()), exc_info=part.exception())
    stop.set()
    # kopf cancels, when it ends, every task that began after it, the pool's too: so it ends last.
    # Without the Lease another may begin any moment: then nothing in progress is waited for.
    grace = _STOP_SECONDS if asked else 0.5
    await asyncio.wait(parts[:-1], timeout=grace)
    await served.close()
    unwatch.set()
    await asyncio.wait(parts, timeout=grace)
    return 0 if asked else 1


async def _serve(settings: ControllerSettings, controller: Controller, stop: asyncio.Event) -> None:
    """Serve one namespace until `stop`, or until another installation has taken it."""
    structlog.contextvars.bind_contextvars(namespace=controller.kube.namespace)
    claim = Leadership(
        controller.kube,
        INSTALLATION_LEASE,
        settings.namespace,
        duration=settings.leader_lease_seconds,
        renew=settings.leader_renew_seconds,
        show=lambda _held: None,
    )
    if not await claim.acquire(stop):
        return
    holding = asyncio.create_task(claim.hold(stop))
    if not await _first_sync(controller, stop, holding):
        return
    controller.pulse.expect(("resync", *(f"watch {resource.plural}" for resource in handlers.WATCHED)))
    resync = asyncio.create_task(loops.run(controller.resync_loop(), stop, report_loop))
    ended, _ = await asyncio.wait((holding, resync), return_when="FIRST_COMPLETED")
    for part in ended:
        part.result()


async def _first_sync(controller: Controller, stop: asyncio.Event, holding: asyncio.Task[bool]) -> bool:
    """Decisions need the whole picture: list everything once before the first. The database may be away."""
    failures = 0
    while not stop.is_set() and not holding.done():
        try:
            await controller.resync()
        except (Unavailable, KubeError) as error:
            log.warning("first list failed", error=error.message)
            if controller.pulse.synced:
                return True  # the cluster was listed; state is away, which must not keep a drain from ending
            failures += 1
            delay = loops.backoff(failures, base=0.5, limit=10)
            with contextlib.suppress(TimeoutError):
                await asyncio.wait_for(stop.wait(), delay)
            continue
        return True
    return False


async def _kinds_served(kube: Kube, stop: asyncio.Event) -> bool:
    """Wait until the API server serves the kinds of Trace. kopf would not notice CRDs that are installed later."""
    warned = False
    while not stop.is_set():
        missing = _KINDS
        try:
            missing = _KINDS - await kube.served_kinds(_GROUP_VERSION)
        except TraceError as error:
            log.warning("API server not reached", error=error.message)
        if not missing:
            return True
        if not warned:
            log.warning("waiting for CRDs", group=_GROUP_VERSION, missing=sorted(missing))
            warned = True
        with contextlib.suppress(TimeoutError):
            await asyncio.wait_for(stop.wait(), 1.0)
    return False


def _stop_on_signals(stop: asyncio.Event) -> None:
    """SIGTERM and SIGINT set `stop`.

    kopf installs handlers of its own when it starts, so this runs again whenever it opens a watch: the first time
    is soon after, the others change nothing.
    """
    loop = asyncio.get_running_loop()
    for name in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(name, stop.set)


def _count(verb: str, resource: str, status: int) -> None:
    """Count calls that did not succeed. A 404 and a 409 are expected answers."""
    if (status >= 400 and status not in (404, 409)) or status == 0:
        metrics.api_errors.labels(verb, resource, str(status)).inc()
