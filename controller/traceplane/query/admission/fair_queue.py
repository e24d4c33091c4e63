"""Whose turn is next: the decisions of `admission`, without an event loop and without a clock.

Turns go around those who ask, not around their statements. Of those who wait, whoever has the fewest queries
running is next, and among equals whoever's last turn ended longest ago, or who came first. So thirty statements of
one caller delay another's first by one statement for each turn, and who holds every turn gets no further one while
others wait. One caller has at most half of the places: else who fills the line keeps everybody else out of it.
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
    """`turns` turns and a line of at most `places`. While a turn is free, nobody waits."""

    def __init__(self, turns: int, places: int) -> None:
        self._turns = turns
        self._places = places
        self._of_one = max(1, places // 2)
        self._running: Counter[Hashable] = Counter()
        self._waiting: dict[Hashable, deque[_Ticket]] = {}  # callers in the order in which their turns come

    @property
    def waiting(self) -> int:
        """Tickets in line."""
        return sum(map(len, self._waiting.values()))

    @property
    def running(self) -> int:
        """Turns that are held."""
        return self._running.total()

    def enter(self, caller: Hashable, ticket: _Ticket) -> bool:
        """Whether there is a turn at once; else the ticket stands in line. Raises NoSlot where it has no place."""
        if self.running < self._turns:
            self._running[caller] += 1
            return True
        if self.waiting >= self._places:
            raise NoSlot(f"{self.waiting} queries wait already; try again later")
        own = self._waiting.get(caller, deque())
        if len(own) >= self._of_one:
            raise NoSlot(f"{len(own)} queries of yours wait already; wait for one of them")
        own.append(ticket)
        self._waiting[caller] = own
        return False

    def leave(self, caller: Hashable, ticket: _Ticket) -> None:
        """Give up a place in line."""
        own = self._waiting[caller]
        own.remove(ticket)
        if not own:
            del self._waiting[caller]

    def end(self, caller: Hashable) -> _Ticket | None:
        """End a turn; the ticket that has it now."""
        self._running[caller] -= 1
        if not self._running[caller]:
            del self._running[caller]
        if caller in self._waiting:  # after all who wait now
            self._waiting[caller] = self._waiting.pop(caller)
        if not self._waiting:
            return None
        following = min(self._waiting, key=self._running.__getitem__)  # the first of those with the fewest
        own = self._waiting[following]
        ticket = own.popleft()
        if not own:
            del self._waiting[following]
        self._running[following] += 1
        return ticket
