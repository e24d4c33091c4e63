"""Statements as trees that can be made smaller, so that of one that fails the part that fails is reported."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass, replace


@dataclass(frozen=True, slots=True)
class Form:
    """Text with places, `{0}`, `{1}` and so on, for parts. `instead` are texts that may stand for all of it."""

    template: str
    parts: tuple[Node, ...] = ()
    instead: tuple[str, ...] = ()

    def __str__(self) -> str:
        return self.template.format(*self.parts)

    def smaller(self) -> Iterator[Node]:
        """Less of it, the least first."""
        yield from (Form(text) for text in self.instead if text != str(self))
        for place, part in enumerate(self.parts):
            for less in part.smaller():
                yield replace(self, parts=(*self.parts[:place], less, *self.parts[place + 1 :]))


@dataclass(frozen=True, slots=True)
class Many:
    """Parts with a separator between and a text before, or nothing where there are no parts."""

    before: str
    separator: str
    parts: tuple[Node, ...]
    least: int = 0

    def __str__(self) -> str:
        return self.before + self.separator.join(map(str, self.parts)) if self.parts else ""

    def smaller(self) -> Iterator[Node]:
        """One part less, or a smaller part."""
        for place in range(len(self.parts)):
            if len(self.parts) > self.least:
                yield replace(self, parts=self.parts[:place] + self.parts[place + 1 :])
        for place, part in enumerate(self.parts):
            for less in part.smaller():
                yield replace(self, parts=(*self.parts[:place], less, *self.parts[place + 1 :]))


Node = Form | Many


def shrunk(statement: Node, fails: Callable[[str], bool], tries: int = 300) -> str:
    """A statement that fails still and of which no part can be left out, as far as so many `tries` find one."""
    left = tries
    while True:
        for candidate in statement.smaller():
            left -= 1
            if left < 0:
                return str(statement)
            if fails(str(candidate)):
                statement = candidate
                break
        else:
            return str(statement)
