"""Sets of whole numbers as sorted, disjoint, inclusive ranges, and what a plan's filters say about one column.

Partition pruning rests on it: a filter that is not recognised restricts nothing, so that a file too many may be
read and none too few. Pure.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Sequence

Range = tuple[int, int]

LOWEST, HIGHEST = -(2**63), 2**63 - 1
EVERYTHING: tuple[Range, ...] = ((LOWEST, HIGHEST),)

_COMPARISON = re.compile(
    r"(?:optional: )?(?P<column>[a-z_][a-z0-9_]*)(?P<operator>>=|<=|=|>|<)(?P<value>-?\d{1,19})"
)
_MEMBERSHIP = re.compile(r"(?:optional: )?(?P<column>[a-z_][a-z0-9_]*) IN \((?P<values>-?\d+(?:, -?\d+)*)\)")


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


def of_filters(filters: Sequence[str], column: str) -> tuple[Range, ...]:
    """The values of `column` that can pass `filters` (joined by AND), as DuckDB's EXPLAIN prints them.

    A filter that is not recognised letter by letter leaves its column unrestricted.
    """
    allowed = EVERYTHING
    for text in filters:
        allowed = both(allowed, _of_filter(text, column))
    return allowed


def _of_filter(text: str, column: str) -> tuple[Range, ...]:
    if "'" in text or '"' in text:
        return EVERYTHING  # a literal could hold anything, also what looks like a filter
    choices = text.split(" OR ")
    if len(choices) > 1:
        # One choice that is not recognised may let any row through, and so does the whole. So does a choice that is
        # itself an AND: it is no single term.
        ranges = [_of_term(choice, column) for choice in choices]
        return EVERYTHING if None in ranges else normal(part for ranges_ in ranges if ranges_ for part in ranges_)
    allowed = EVERYTHING
    for term in _terms(text):
        found = _of_term(term, column)
        if found is not None:
            allowed = both(allowed, found)
    return allowed


def _terms(text: str) -> list[str]:
    """`text` split at each AND that stands outside brackets."""
    terms, depth, start = [], 0, 0
    for match in re.finditer(r"[()]| AND ", text):
        if match.group() == "(":
            depth += 1
        elif match.group() == ")":
            depth -= 1
        elif depth == 0:
            terms.append(text[start : match.start()])
            start = match.end()
    return [*terms, text[start:]]


def _of_term(term: str, column: str) -> tuple[Range, ...] | None:
    if (found := _COMPARISON.fullmatch(term)) and found["column"] == column:
        value = int(found["value"])
        return {
            "=": normal([(value, value)]),
            ">": normal([(value + 1, HIGHEST)]),
            ">=": normal([(value, HIGHEST)]),
            "<": normal([(LOWEST, value - 1)]),
            "<=": normal([(LOWEST, value)]),
        }[found["operator"]]
    if (found := _MEMBERSHIP.fullmatch(term)) and found["column"] == column:
        return normal((int(value), int(value)) for value in found["values"].split(", "))
    return None
