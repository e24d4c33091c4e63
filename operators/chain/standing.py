"""What a pool knows of one provider: how far it has come, what it did wrong, and until when it is left alone.

The rules by which one is preferred to another. Pure: times are passed in, in seconds of one clock.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass

from operators.chain.faults import Kind, ProviderFault

LAG_BLOCKS = 8
"""A provider further behind the best head than this is left for a better one."""
STALL_SECONDS = 30.0
"""So is one that has stood still for so long while another went on."""
FORGIVEN_SECONDS = 60.0
"""After so long without a fault, a provider's next one counts as its first."""

BLAMELESS = frozenset({Kind.NOT_THERE_YET, Kind.PRUNED})
"""Kinds that say something of the block, not of the provider: another one is asked, for this request."""
LACKING = frozenset({Kind.PRUNED, Kind.METHOD_MISSING})
"""Kinds of a provider that does not have what is requested, now or later."""
_LISTED = 4
"""Providers whose faults one message has; a pool may hold 32."""
_BRIEF, _LIMITED, _CONDEMNED = (0.5, 30.0), (1.0, 60.0), (5.0, 300.0)
_LEFT_ALONE = {
    Kind.RATE_LIMITED: _LIMITED,
    # A person has to mend these; until then one small question every five minutes is enough.
    Kind.WRONG_CHAIN: _CONDEMNED,
    Kind.NOT_AUTHORISED: _CONDEMNED,
    Kind.MOVED: _CONDEMNED,
    Kind.METHOD_MISSING: _CONDEMNED,
}
"""Seconds that a provider is left alone after its first fault, which double with each further one, and their limit.
"""
_MAX_DOUBLINGS = 20


@dataclass(slots=True)
class Standing:
    """One provider's. `head`: the highest block it has answered for; None: unknown."""

    head: int | None = None
    rose_at: float = 0.0
    seen_at: float = float("-inf")
    out_until: float = float("-inf")
    checked_until: float = float("-inf")
    """Until when its chain id, which was right, is not requested again."""
    fault: ProviderFault | None = None
    """The newest, until it is forgiven."""
    faults: int = 0
    faulted_at: float = float("-inf")

    def usable(self, now: float) -> bool:
        """Whether it may be asked."""
        return now >= self.out_until

    def came_to(self, head: int, now: float) -> None:
        """It answered for block `head`, its newest."""
        if self.head is None or head > self.head:
            self.rose_at = now
        self.head, self.seen_at = head, now

    def answered(self, now: float) -> None:
        """A request went well."""
        # Out for longer than that, it may still answer what was on its way.
        if self.fault is not None and now > max(self.faulted_at, self.out_until) + FORGIVEN_SECONDS:
            self.fault, self.faults = None, 0

    def failed(self, fault: ProviderFault, now: float) -> None:
        """A request did not go well: leave it alone for as long as it asks for, or as its faults in a row say."""
        if fault.kind in BLAMELESS:
            return
        if self.usable(now):  # else one of several requests that failed together, which count once
            recent = now <= max(self.faulted_at, self.out_until) + FORGIVEN_SECONDS
            self.faults = self.faults + 1 if recent else 1
        base, limit = _LEFT_ALONE.get(fault.kind, _BRIEF)
        own = min(limit, base * 2 ** min(self.faults - 1, _MAX_DOUBLINGS))
        said = own if fault.retry_after is None else fault.retry_after
        # Only a limit ends when it is said to: an outage that asks to be asked again at once may last.
        self.out_until = max(self.out_until, now + (said if fault.kind is Kind.RATE_LIMITED else max(own, said)))
        self.fault, self.faulted_at = fault, now
        if fault.kind is not Kind.RATE_LIMITED:
            # What it said of its head and chain may be as wrong; a limit says nothing of either.
            self.head, self.checked_until = None, float("-inf")


def best_head(standings: Collection[Standing], now: float) -> int | None:
    """The highest head of those that may be asked; None where none is known."""
    return max((one.head for one in standings if one.head is not None and one.usable(now)), default=None)


def behind(one: Standing, best: int | None, now: float) -> bool:
    """Whether a provider lags by too much, or stands still while another goes on."""
    if one.head is None or best is None or one.head >= best:
        return False
    return best - one.head > LAG_BLOCKS or now - one.rose_at > STALL_SECONDS


def choose(standings: Sequence[Standing], current: int, now: float, exclude: Collection[int] = ()) -> int | None:
    """The position of the provider to ask: `current` while nothing speaks against it, else the next good one.

    None where none may be asked.
    """
    around = [(current + step) % len(standings) for step in range(len(standings))]
    usable = [at for at in around if standings[at].usable(now) and at not in exclude]
    best = best_head(standings, now)
    good = (at for at in usable if not behind(standings[at], best, now))
    return next(good, usable[0] if usable else None)


def none_usable(standings: Sequence[Standing], now: float) -> ProviderFault:
    """What each provider said last, with the kind and the time of the one that may be asked the soonest."""
    out = [(one.out_until, str(one.fault), one.fault) for one in standings if one.fault is not None]
    if not out:
        return ProviderFault("the rpcPool holds no http(s) URL to request blocks from", Kind.REFUSED)
    words = "; ".join(said for _, said, _ in out[:_LISTED])
    if len(out) > _LISTED:
        words += f"; and {len(out) - _LISTED} more"
    until, _, soonest = min(out, key=lambda one: one[0])
    return ProviderFault(words, soonest.kind, retry_after=max(0.0, until - now))
