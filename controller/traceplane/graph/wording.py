"""How problems are put into words that tell what would be right."""

from __future__ import annotations

from collections.abc import Collection, Iterable
from difflib import get_close_matches

_SHOWN = 8


_COMPARED = 300
"""Names that are compared letter by letter: enough for people, bounded for a graph of thousands of jobs."""


def suggestion(wrong: str, known: Collection[str]) -> str:
    """`did you mean 'blocks'?` where something is close, else what there is."""
    names = known if len(known) <= _COMPARED else [n for n in known if n[:1] == wrong[:1]][:_COMPARED]
    if close := get_close_matches(wrong, names, n=1, cutoff=0.6):
        return f"did you mean {close[0]!r}?"
    return f"there is {listing(known)}"


def listing(names: Iterable[str]) -> str:
    """`a, b, c` in order, shortened where it is long; `none` where it is empty."""
    shown = sorted(names)
    if not shown:
        return "none"
    more = f" and {len(shown) - _SHOWN} more" if len(shown) > _SHOWN else ""
    return ", ".join(shown[:_SHOWN]) + more
