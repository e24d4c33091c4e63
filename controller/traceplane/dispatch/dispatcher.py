"""The dispatcher put together: its parts, its loops, its listeners, from one settings object.

The HTTP side gets the parts it calls; `run` keeps the loops going until it is asked to stop, then lets runs in
progress hand their tasks back. Every loop is safe in any number of replicas.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from uuid import UUID

import structlog

from traceplane.dispatch import effects
from traceplane.dispatch.accept import Acceptance
from traceplane.dispatch.claim import Claims
from traceplane.dispatch.complete import Completions
from traceplane.dispatch.generations import Generations
from traceplane.dispatch.health import Health
from traceplane.dispatch.in_process_port import InProcessPort
from traceplane.dispatch.leases import Leases
from traceplane.dispatch.local_runtime import LocalRuntime
from traceplane.dispatch.loops.credentials import ProvenCredentials
from traceplane.dispatch.loops.epochs import Epochs
from traceplane.dispatch.loops.gauges import Gauges
from traceplane.dispatch.loops.gauges_by_name import AssetGauges, JobGauges, StoreGauges
from traceplane.dispatch.loops.janitor import Janitor
from traceplane.dispatch.loops.outbox import Outbox
from traceplane.dispatch.loops.query_results import QueryResults
from traceplane.dispatch.loops.reaper import Reaper
from traceplane.dispatch.loops.relay import Relay
from traceplane.dispatch.loops.retry import Retry
from traceplane.dispatch.views import Views
from traceplane.dispatch.wake import Wakeups
from traceplane.drivers.objects import Objects, S3Objects
from traceplane.drivers.task_credentials import Credentials, TaskCredentials
from traceplane.drivers.task_keys import TaskKeys
from traceplane.identity.capability import Capabilities
from traceplane.identity.worker_token import WorkerTokens
from traceplane.kit import loops
from traceplane.kit.loops import Loop
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database
from traceplane.store.listener import Listener
from traceplane.store.statements.notify import DEPLOY_CHANNEL, OUTBOX_CHANNEL, SOURCE_CHANNEL, WAKE_CHANNEL
from traceplane.tasks.retries import RetryPolicy
from traceplane_sdk.context import Context, Result

GAUGES_SECONDS = 5.0
JOB_GAUGES_SECONDS = 15.0
"""As often as metrics are commonly scraped."""
ASSET_GAUGES_SECONDS = 60.0
"""Its statement reads every partition that is published."""
CREDENTIALS_SECONDS = 15.0
EPOCHS_SECONDS = 300.0
"""At the start, and for a state that is restored under a running dispatcher; it reads all fences."""
RELAY_SECONDS = 2.0
"""How old at most what a relay without work notes is: no staged version takes over where it is too old."""
JANITOR_SECONDS = 60.0
VIEWS_SECONDS = 60.0
"""A net under the outbox: also for views that were dropped by hand."""
DUE_SECONDS = 1.0
"""How late a retry or an expired lease may be noticed; no notification can announce the passing of time."""

Own = Callable[[DispatcherSettings, Database], tuple[Mapping[str, Callable[[Context], Result]], Sequence[Loop]]]

log = structlog.get_logger()


@dataclass(frozen=True)
class Dispatcher:
    """All parts of one dispatcher process."""

    settings: DispatcherSettings
    state: Database
    data: Database
    wakeups: Wakeups
    jobs: Generations
    capabilities: Capabilities
    worker_tokens: WorkerTokens
    claims: Claims
    objects: Objects
    credentials: Credentials
    completions: Completions
    acceptance: Acceptance
    leases: Leases
    local: LocalRuntime
    views: Views
    health: Health
    further: Sequence[Loop] = ()
    """Loops of rooms above this one."""

    def loops(self) -> Sequence[Loop]:
        """The background loops, not started."""
        settings, state, data = self.settings, self.state, self.data
        policy = RetryPolicy(settings.retry_base_seconds, settings.retry_max_seconds)
        outbox = Outbox(
            settings,
            state,
            effects.registry(state, data, self.wakeups, self.views, self.objects, settings.s3_bucket),
        )
        due = min(DUE_SECONDS, settings.poll_seconds)
        janitor = Janitor(state, data, settings.outbox_retention_seconds, settings.event_retention_seconds)
        results = QueryResults(data, self.objects, settings)
        return (
            Loop("outbox", outbox.run_once, settings.poll_seconds),
            Loop("retry", Retry(state, self.wakeups).run_once, due),
            Loop("reaper", Reaper(state, self.wakeups, policy).run_once, due),
            Loop("epochs", Epochs(state, data).run_once, EPOCHS_SECONDS),
            Loop("relay", Relay(state, data, self.acceptance).run_once, min(settings.poll_seconds, RELAY_SECONDS)),
            Loop("janitor", janitor.run_once, JANITOR_SECONDS),
            Loop("results", results.run_once, JANITOR_SECONDS),
            Loop("views", self.views.look, VIEWS_SECONDS),
            Loop("gauges", Gauges(state, data).run_once, GAUGES_SECONDS),
            Loop("job gauges", JobGauges(state, settings).run_once, JOB_GAUGES_SECONDS),
            Loop("asset gauges", AssetGauges(state, data, settings).run_once, ASSET_GAUGES_SECONDS),
            Loop("credentials", ProvenCredentials(self.credentials, settings).run_once, CREDENTIALS_SECONDS),
            Loop("stores", StoreGauges(state, data, self.objects).run_once, JOB_GAUGES_SECONDS),
            Loop("local", self.local.run_once, settings.poll_seconds, wake=self.wakeups.any_work),
            *self._run_events(),
            *self.further,
        )

    def _run_events(self) -> Sequence[Loop]:
        if self.settings.openlineage_url is None:
            return ()
        # Imported where it is used alone: the library of the events costs memory.
        from traceplane.dispatch.loops.run_events import RunEvents

        run_events = RunEvents(self.settings, self.state)
        return (Loop("run events", run_events.run_once, self.settings.poll_seconds),)

    async def run(self, stop: asyncio.Event) -> None:
        """Run loops and listeners until `stop`; then drain runs in progress and send the last wake-ups.

        Raises GiveUp where a loop did, after the rest has ended in order.
        """
        running = self.loops()
        by_name = {loop.name: loop for loop in running}

        def on_state(channel: str, job: str) -> None:
            if channel == OUTBOX_CHANNEL:
                by_name["outbox"].wake.set()
            elif channel == DEPLOY_CHANNEL:
                self.jobs.forget()
            elif (job_id := _uuid(job)) is not None:
                self.wakeups.wake([job_id])
            else:
                self.wakeups.wake_all()

        def on_data(_channel: str, _payload: str) -> None:
            by_name["relay"].wake.set()

        parts = [
            asyncio.create_task(part)
            for part in (
                *(loops.run(loop, stop, _report) for loop in running),
                Listener(self.state.dsn, [WAKE_CHANNEL, OUTBOX_CHANNEL, DEPLOY_CHANNEL], on_state).run(stop),
                Listener(self.data.dsn, [SOURCE_CHANNEL], on_data).run(stop),
            )
        ]
        await asyncio.wait(parts, return_when=asyncio.FIRST_EXCEPTION)
        stop.set()  # a part that gave up ends the others
        await asyncio.wait(parts)
        await self.local.drain()
        await self.wakeups.close()
        failed = [error for part in parts if (error := part.exception()) is not None]
        if failed:  # all of them say the same, or the first is why the others ended
            raise failed[0]

    async def close(self) -> None:
        """End all connections."""
        await self.state.close()
        await self.data.close()


def build(settings: DispatcherSettings, own: Own | None = None) -> Dispatcher:
    """A dispatcher from its settings, inside a running event loop. InvalidSettings names what is missing.

    `own` makes what a room above this one runs here: tasks of its own operators, and loops.
    """
    key, tokens = settings.capability_key_file, settings.worker_token_file
    state = Database(settings.read_state_dsn(), application="trace-dispatcher", pool_size=settings.pool_size)
    data = Database(settings.read_data_dsn(), application="trace-dispatcher", pool_size=settings.pool_size)
    metrics.NAMED.most = settings.metrics_names
    wakeups = Wakeups(state)
    jobs = Generations(state, settings.org_id)
    capabilities = Capabilities(key, settings.capability_previous_key_file, issuer=settings.capability_issuer)
    objects: Objects = S3Objects(settings)
    claims = Claims(settings, state, jobs, capabilities, wakeups)
    completions = Completions(settings, state, jobs, claims, wakeups, objects)
    credentials: Credentials = (
        TaskKeys(settings) if settings.s3_credentials == "Static" else TaskCredentials(settings)
    )
    leases = Leases(settings, state, jobs, claims, capabilities, credentials, wakeups)
    acceptance = Acceptance(settings, state, jobs, wakeups)
    runs, further = own(settings, state) if own else ({}, ())
    port = InProcessPort(asyncio.get_running_loop(), capabilities, leases, completions, acceptance)
    return Dispatcher(
        settings=settings,
        state=state,
        data=data,
        wakeups=wakeups,
        jobs=jobs,
        capabilities=capabilities,
        worker_tokens=WorkerTokens(tokens),
        claims=claims,
        objects=objects,
        credentials=credentials,
        completions=completions,
        acceptance=acceptance,
        leases=leases,
        local=LocalRuntime(settings, state, claims, port, wakeups, runs),
        views=Views(state, data, settings.org_id, settings.views_role),
        health=Health(state, data, objects, credentials, settings, settings.org_id),
        further=further,
    )


def _report(name: str, *, done: int, seconds: float, error: BaseException | None) -> None:
    result = "error" if error is not None else "work" if done else "idle"
    metrics.LOOP_PASSES.labels(name, result).inc()
    metrics.LOOP_SECONDS.labels(name).observe(seconds)
    if error is not None:
        log.error(
            "loop failed; it backs off and runs again", loop=name, error=type(error).__name__, detail=str(error)
        )


def _uuid(text: str) -> UUID | None:
    """The id in a notification; None for the empty payload that follows a reconnect."""
    try:
        return UUID(text)
    except ValueError:
        return None
