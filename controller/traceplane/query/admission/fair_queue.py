"""Which caller gets the next free slot: the decisions of `slots`, without an event loop and without a clock.

Slots are shared among callers, not among their statements. Of the callers that wait, the one with the fewest
queries running is next, and among equals the one whose last query ended longest ago, or that came first. So thirty
statements of one caller delay another's first by one statement for each slot, and a caller that holds every slot
gets no further one while others wait.
"""

from __future__ import annotations

from collections import Counter, deque
from collections.abc import Hashable
from typing import Generic, TypeVar

from traceplane.errors import Overloaded

_Ticket = TypeVar("_Ticket")


class NoSlot(Overloaded):
    """There is no room for another query now. The query did not begin."""


class FairQueue(Generic[_Ticket]):
    """`slots` slots and a queue of at most `places`. While a slot is free, nobody waits."""

    def __init__(self, slots: int, places: int) -> None:
        self._slots = slots
        self._places = places
        # At most half for one caller: else one that fills the queue keeps every other out of it.
        self._places_per_caller = max(1, places // 2)
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[_Ticket]] = {}  # callers in the order in which they are served

    @property
    def waiting(self) -> int:
        """Tickets in the queue."""
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """Slots that are held."""
        return self._running.total()

    def enter(self, caller: Hashable, ticket: _Ticket) -> bool:
        """Take a slot at once (True), or queue the ticket (False). Raises NoSlot where there is no place for it."""
        if self.running < self._slots:
            self._running[caller] += 1
            return True
        if self.waiting >= self._places:
            raise NoSlot(f"the queue is full ({self.waiting} queries are waiting); try again later")
        own = self._waiting.get(caller, deque())
        if len(own) >= self._places_per_caller:
            raise NoSlot(_full(len(own)))
        own.append(ticket)
        self._waiting[caller] = own
        return False

    def withdraw(self, caller: Hashable, ticket: _Ticket) -> None:
        """Take a ticket out of the queue."""
        own = self._waiting[caller]
        own.remove(ticket)
        if not own:
            del self._waiting[caller]

    def release(self, caller: Hashable) -> _Ticket | None:
        """End a query of `caller`; the ticket that has its slot now, or None where nobody waits."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        if caller in self._waiting:  # served just now, so behind every caller that waits
            self._waiting[caller] = self._waiting.pop(caller)
        if not self._waiting:
            return None
        following = min(self._waiting, key=self._running.__getitem__)  # `min` keeps the first of equals
        own = self._waiting[following]
        ticket = own.popleft()
        if not own:
            del self._waiting[following]
        self._running[following] += 1
        return ticket


def _full(own: int) -> str:
    if own == 1:
        return "another query of yours is already waiting; wait for it to end"
    return f"you already have {own} queries waiting; wait for one of them to end"
