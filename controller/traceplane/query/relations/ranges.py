"""Sets of whole numbers as sorted, disjoint, inclusive ranges, and what a filter says about one column.

Partition pruning rests on it: a filter that is not recognised restricts nothing, so that a file too many may be
read and none too few. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence
from typing import Any

Range = tuple[int, int]

LOWEST, HIGHEST = -(2**63), 2**63 - 1
EVERYTHING: tuple[Range, ...] = ((LOWEST, HIGHEST),)

MAX_DEPTH = 100
"""Of a filter's tree; a cell makes it as flat as can be."""


def normal(ranges: Iterable[Range]) -> tuple[Range, ...]:
    """`ranges` sorted, with overlapping and touching ones joined and empty ones dropped."""
    joined: list[Range] = []
    for start, end in sorted(part for part in ranges if part[0] <= part[1]):
        if joined and start <= joined[-1][1] + 1:
            joined[-1] = (joined[-1][0], max(joined[-1][1], end))
        else:
            joined.append((start, end))
    return tuple(joined)


def both(left: Sequence[Range], right: Sequence[Range]) -> tuple[Range, ...]:
    """What lies in `left` and in `right`."""
    found: list[Range] = []
    i = j = 0
    while i < len(left) and j < len(right):
        start, end = max(left[i][0], right[j][0]), min(left[i][1], right[j][1])
        if start <= end:
            found.append((start, end))
        if left[i][1] < right[j][1]:
            i += 1
        else:
            j += 1
    return tuple(found)


def outside(ranges: Sequence[Range]) -> tuple[Range, ...]:
    """Every 64-bit number that is not in `ranges` (normal form)."""
    gaps, low = [], LOWEST
    for start, end in ranges:
        gaps.append((low, start - 1))
        low = end + 1
    return normal([*gaps, (low, HIGHEST)])


def touches(part: Range, ranges: Sequence[Range]) -> bool:
    """Whether `part` and `ranges` have a number in common."""
    return bool(both([part], ranges))


def inside(part: Range, ranges: Sequence[Range]) -> bool:
    """Whether all of `part` lies in `ranges` (normal form)."""
    return any(start <= part[0] and part[1] <= end for start, end in ranges)


def parse_multirange(text: str) -> tuple[Range, ...]:
    """Postgres's text of an `int8multirange`, `{[0,1000),[5000,)}`, as inclusive ranges."""
    found = []
    for opening, low, high, closing in re.findall(r"([\[(])(-?\d*),(-?\d*)([\])])", text):
        start = LOWEST if not low else int(low) + (opening == "(")
        end = HIGHEST if not high else int(high) - (closing == ")")
        found.append((start, end))
    return normal(found)


def of_tree(tree: Any, column: str, depth: int = MAX_DEPTH) -> tuple[Range, ...]:
    """The values of `column` in rows that can pass a filter's tree (see `hot_sql`, which reads them too).

    A cell sends the tree. What is not recognised in it leaves the column unrestricted.
    """
    match tree:
        case ["and" | "or" as word, left, right] if depth > 0:
            sides = of_tree(left, column, depth - 1), of_tree(right, column, depth - 1)
            return both(*sides) if word == "and" else normal([*sides[0], *sides[1]])
        case [operator, ["field", name], ["scalar", value]] if name == column and type(value) is int:
            return _compared(operator, value)
        case ["in", ["field", name], [*constants]] if name == column:
            # One that is no number may be any.
            return normal(
                part for constant in constants for part in of_tree(["=", ["field", name], constant], column)
            )
    return EVERYTHING


def _compared(operator: Any, value: int) -> tuple[Range, ...]:
    match operator:
        case "=":
            return normal([(value, value)])
        case ">":
            return normal([(value + 1, HIGHEST)])
        case ">=":
            return normal([(value, HIGHEST)])
        case "<":
            return normal([(LOWEST, value - 1)])
        case "<=":
            return normal([(LOWEST, value)])
    return EVERYTHING
