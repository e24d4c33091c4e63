"""Turns for what is fetched: whoever has lined up a hundred files does not make another wait behind all of them.

Each asker has a line of its own; the next thing is the first of the asker whose turn it is, and then it is the next
asker's turn. Not safe to call from several threads.
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

    def add(self, asker: object, things: Iterable[_Thing]) -> None:
        """Line up what `asker` wants, as the last to have a turn."""
        line = deque(things)
        if line:
            self._lines[asker] = line

    def leave(self, asker: object) -> None:
        """Forget what `asker` wants still."""
        self._lines.pop(asker, None)

    def next(self) -> _Thing | None:
        """What is next; None where nobody wants anything."""
        if not self._lines:
            return None
        asker, line = self._lines.popitem(last=False)
        thing = line.popleft()
        if line:
            self._lines[asker] = line
        return thing
