"""What a follower says of itself: whether it goes on, where it is, and how its providers do.

A follower is healthy while it writes blocks or has the head. After a minute of neither it is not, and says why with
the newest fault. Nor is it where the head of a chain that never rests stands still. It reports whenever it gets on,
with the time that is left of that minute, and looks at its providers at most once a second.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass

from operators.block_follower.measures import MEASURES, labels_of
from operators.chain.pool import ProviderPool
from traceplane_sdk.context import STALL_SECONDS, Context, Report

STILL_SECONDS = 300.0
"""So long without a new block, the providers of a chain that never rests have stopped, or it has itself."""
_EVERY = 1.0
_OF_PROVIDER = "source_provider_"
_MEASURES = [name for name in MEASURES if labels_of(name) == ("provider",)]
_QUOTED = 500
"""Characters of a message; the pool's holds what several providers said."""


@dataclass(slots=True)
class Health:
    """When things last went well, and what went wrong since. Times in seconds of one clock."""

    well_at: float
    rules: str = ""
    position: int | None = None
    head: int | None = None
    fault: str = ""
    patience: float = STALL_SECONDS
    """Longer than this without a block written and without the head it is not healthy; its sleep comes on top."""
    never_rests: bool = False
    waits_since: float | None = None
    """Since when there is nothing to write."""

    def went_well(self, now: float, has_all: bool) -> None:
        """A batch was written, or (`has_all`) there is nothing to write."""
        self.well_at, self.fault = now, ""
        self.waits_since = (now if self.waits_since is None else self.waits_since) if has_all else None

    def report(self, now: float) -> Report:
        """What to say at `now`. While all is well that does not change with each block: conditions show it."""
        at = "nothing is stored yet" if self.position is None else f"block {self.position} is stored"
        where = f"{at}, the head is {'not known' if self.head is None else f'block {self.head}'}"
        waited = 0.0 if self.waits_since is None else now - self.waits_since
        if self.never_rests and waited > max(STILL_SECONDS, 2 * self.patience):
            message = f"no provider has had a new block for more than {STILL_SECONDS:.0f} s ({where})"
            return Report(False, message, self.position, self.head)
        if (left := self.well_at + self.patience - now) > 0:
            return Report(True, f"follows {self.rules}", self.position, self.head, left)
        reason = self.fault or "no provider has a newer block"
        message = f"no progress for more than {self.patience:.0f} s: {reason} ({where})"
        return Report(False, message[:_QUOTED], self.position, self.head)


class Reporter:
    """Of one run, in its main thread. `sleeps`: seconds between two looks at the head; `rules`: the chain's;
    `never_rests`: the chain always has new blocks.
    """

    def __init__(
        self,
        ctx: Context,
        pool: ProviderPool,
        sleeps: float,
        rules: str,
        never_rests: bool = False,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.health = Health(clock(), rules, patience=STALL_SECONDS + sleeps, never_rests=never_rests)
        self._ctx, self._pool, self._clock = ctx, pool, clock
        self._shown_at = float("-inf")
        self._healthy = True
        self._providers: object = None
        self._kinds: dict[str, set[str]] = {}
        """Kinds of faults that each provider had."""

    def at(self, position: int | None, head: int | None) -> None:
        """The position, and the head where one was seen."""
        self.health.position = position
        self.health.head = head if head is not None else self.health.head

    def went_well(self, has_all: bool = False) -> None:
        """A batch was written, or (`has_all`) there is nothing to write."""
        self.health.went_well(self._clock(), has_all)
        self.show()

    def failed(self, words: str) -> None:
        """Something keeps the follower from going on."""
        self.health.fault = words
        self.show()

    def show(self) -> None:
        """Report how it is now. Who does not say before a long sleep that it has the head is taken to hang."""
        now = self._clock()
        if now - self._shown_at >= _EVERY:
            self._shown_at = now
            self._show_providers()
        self._report(self.health.report(now))

    def _report(self, report: Report) -> None:
        self._ctx.report(report.healthy, report.message, report.position, report.head, report.holds)
        self._ctx.measure("source_healthy", float(report.healthy))
        if report.healthy is not self._healthy:
            self._healthy = report.healthy
            event, level = ("source goes on", "info") if report.healthy else ("source is stuck", "warning")
            self._ctx.log(event, level=level, reason=report.message, position=report.position, head=report.head)

    def _show_providers(self) -> None:
        shown = []
        now = self._pool.now
        removed = set(self._kinds)
        for provider, standing, in_use in self._pool.standings():
            out = max(0.0, standing.out_until - now)
            number = provider.name.removeprefix("provider ")
            kind = standing.fault.kind.value if standing.fault is not None else "none"
            self._measure(
                number,
                ("head_block", standing.head),
                ("in_use", float(in_use)),
                ("left_alone_seconds", out),
                ("faults", float(standing.faults)),
                ("batch_calls", provider.size.limit),
                ("latency_seconds", provider.latency),
                ("requests_per_second", provider.pace.rate),
            )
            self._measure_kind(number, kind)
            removed.discard(number)
            state = {"name": provider.name, "in_use": in_use, "left_alone": out > 0, "fault": kind}
            shown.append(state | {"batch_calls": provider.size.limit, "paced": provider.pace.rate is not None})
        for number in removed:  # from the Secret
            self._measure(number, *((name.removeprefix(_OF_PROVIDER), None) for name in _MEASURES))
            self._measure_kind(number, None)
        if shown != self._providers:
            self._providers = shown
            self._ctx.log("providers", providers=shown)

    def _measure(self, provider: str, *measured: tuple[str, float | None]) -> None:
        for name, value in measured:
            self._ctx.measure(_OF_PROVIDER + name, value, provider=provider)

    def _measure_kind(self, provider: str, held: str | None) -> None:
        """1 for the kind that it has now, 0 for those that it had; None: none of them, as it was removed."""
        kinds = self._kinds.setdefault(provider, set()) | ({held} if held is not None else set())
        for kind in kinds:
            value = None if held is None else float(kind == held)
            self._ctx.measure("source_provider_fault", value, provider=provider, kind=kind)
        if held is None:
            del self._kinds[provider]
        else:
            self._kinds[provider] = kinds
