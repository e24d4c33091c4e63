"""Sends OpenLineage run events, at least once and in order, apart from the work that they are about.

What ended is read from the history of attempts past a durable position, so a receiver that is away makes nothing
grow, and events are there for as long as the attempts are. One dispatcher at a time sends; a second one takes over
where the first one stopped. START and the end of an attempt go together, once it has ended; of sources, which run
for weeks, it is announced once a minute that they run.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from datetime import timedelta
from uuid import uuid4

import structlog

from traceplane.dispatch.openlineage import events, receiver
from traceplane.dispatch.openlineage.events import Stores
from traceplane.dispatch.openlineage.receiver import Away, Receiver
from traceplane.errors import InvalidSettings
from traceplane.kit.loops import backoff
from traceplane.observe import dispatch_metrics as metrics
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Database, session
from traceplane.store.statements import run_events
from traceplane.store.statements.run_events import Position, Run

BATCH = 100
MAX_SOURCES = 1_000
HOLD_SECONDS = 60.0
PASS_SECONDS = 20.0
"""A pass ends in time to keep what it holds: a call may still take its own time."""
MAX_SHOWN = 16 * 1024
ANNOUNCE = timedelta(minutes=1)
"""How often running sources are announced; and the log says no more often that the receiver is away."""

log = structlog.get_logger()


class RunEvents:
    """Sends to the receiver of the settings. One object is one holder of the position."""

    def __init__(
        self,
        settings: DispatcherSettings,
        state: Database,
        *,
        settled_seconds: float = run_events.SETTLED_SECONDS,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._settings = settings
        self._state = state
        self._settled = settled_seconds
        self._clock = clock
        self._me = {"org_id": settings.org_id, "holder": uuid4()}
        self._stores = stores(settings)
        self._failures = 0
        self._not_before = self._silent_until = 0.0

    async def run_once(self) -> int:
        """Send a batch; how many attempts were sent with their end. 0 where another dispatcher sends."""
        if self._clock() < self._not_before:
            return 0
        async with self._state.autocommit() as conn:
            position = await run_events.hold(conn, **self._me, seconds=HOLD_SECONDS)
        if position is None:
            metrics.LINEAGE_OLDEST.set(0)
            return 0
        ended, running = await self._read(position)
        if not ended and not running:
            return 0
        try:
            async with receiver.opened(self._settings) as to:
                sent = await self._send_ended(to, ended)
                if running:
                    await self._send_running(to, running, position)
        except (Away, InvalidSettings) as error:
            self._failed(error.message)
            return 0
        self._failures = 0
        return sent

    async def _read(self, position: Position) -> tuple[list[Run], list[Run]]:
        """What ended after the position, and, where it is time to announce them, the sources that run."""
        org, due = self._settings.org_id, position.now - position.announced_at >= ANNOUNCE
        async with self._state.autocommit() as conn:
            ended = await run_events.ended(
                conn, org_id=org, after=position, settled_seconds=self._settled, limit=BATCH
            )
            running = await run_events.running(conn, org_id=org, limit=MAX_SOURCES) if due else []
        oldest = ended[0].finished_at if ended else None
        metrics.LINEAGE_OLDEST.set((position.now - oldest).total_seconds() if oldest else 0)
        return ended, running

    async def _send_ended(self, to: Receiver, found: Sequence[Run]) -> int:
        """How many were sent. Whatever happens, the position is behind the last of them."""
        over, sent = self._clock() + PASS_SECONDS, 0
        try:
            for run in found:
                if self._clock() >= over:
                    break
                await self._send(to, events.of_ended(run, self._stores))
                sent += 1
        finally:
            if sent:
                async with self._state.autocommit() as conn:
                    await run_events.advance(conn, **self._me, run=found[sent - 1])
        return sent

    async def _send_running(self, to: Receiver, found: Sequence[Run], position: Position) -> None:
        """Announce all of them; again where it was interrupted."""
        # A claim may be committed a little after its time, and so after it was looked for.
        announced = position.announced_at - ANNOUNCE
        for run in found:
            await self._send(to, events.of_running(run, self._stores, now=position.now, announced=announced))
        async with self._state.autocommit() as conn:
            await run_events.announced(conn, **self._me, at=position.now)

    async def _send(self, to: Receiver, made: Iterable[bytes]) -> None:
        for event in made:
            taken = await to.take(event)
            metrics.LINEAGE_EVENTS.labels("sent" if taken else "refused").inc()
            if not taken and self._may_speak():
                log.warning(
                    "the OpenLineage receiver refused an event; it is left out", refused=event[:MAX_SHOWN].decode()
                )

    def _failed(self, reason: str) -> None:
        self._failures += 1
        metrics.LINEAGE_EVENTS.labels("failed").inc()
        self._not_before = self._clock() + backoff(self._failures, base=1, limit=ANNOUNCE.total_seconds())
        if self._may_speak():
            log.warning(
                "run events were not sent to the OpenLineage receiver; they are tried again",
                url=self._settings.openlineage_url,
                error=reason,
            )

    def _may_speak(self) -> bool:
        if self._clock() < self._silent_until:
            return False
        self._silent_until = self._clock() + ANNOUNCE.total_seconds()
        return True


def stores(settings: DispatcherSettings) -> Stores:
    """The stores of the settings, without a user, a password, or a second host."""
    parameters = session(settings.read_data_dsn(), "trace-dispatcher")
    host, port = (str(parameters.get(name) or usual).split(",")[0] for name, usual in _USUAL.items())
    return Stores(f"postgres://{host}:{port}", f"s3://{settings.s3_bucket}")


_USUAL = {"host": "localhost", "port": "5432"}
