"""Turns for what is fetched: whoever has lined up a hundred files does not make another wait behind all of them.

Each caller has a queue of its own; the next thing is the first of the caller whose turn it is, and then it is the
next caller's turn. Not safe to call from several threads.
"""

from __future__ import annotations

from collections import OrderedDict, deque
from collections.abc import Iterable
from typing import Generic, TypeVar

_Thing = TypeVar("_Thing")


class Turns(Generic[_Thing]):
    """The lines of all who wait."""

    def __init__(self) -> None:
        self._lines: OrderedDict[object, deque[_Thing]] = OrderedDict()

    def add(self, caller: object, things: Iterable[_Thing]) -> None:
        """FairQueue up what `caller` wants, as the last to have a turn."""
        line = deque(things)
        if line:
            self._lines[caller] = line

    def leave(self, caller: object) -> None:
        """Forget what `caller` wants still."""
        self._lines.pop(caller, None)

    def next(self) -> _Thing | None:
        """What is next; None where nobody wants anything."""
        if not self._lines:
            return None
        caller, line = self._lines.popitem(last=False)
        thing = line.popleft()
        if line:
            self._lines[caller] = line
        return thing
