"""The one way in which tests wait: look until a condition holds, and say what was waited for when it never does.

    until(lambda: admission.running == 1)
    until(pod.ended, "the pod ends", timeout=60, detail=pod.log)

A test sleeps nowhere else (`tests/unit/test_style.py` reads them all): a fixed pause is too long on a fast
machine and too short on a slow one.
"""

from __future__ import annotations

import asyncio
import linecache
import time
from collections.abc import Callable
from types import CodeType
from typing import TypeVar

T = TypeVar("T")
TIMEOUT_SECONDS = 60.0
EVERY_SECONDS = 0.02
LONGEST_PAUSE_SECONDS = 1.0
"""After a look that took longer, for a look may take long because nothing gets on."""


def until(
    condition: Callable[[], T],
    what: str = "",
    *,
    timeout: float = TIMEOUT_SECONDS,
    every: float = EVERY_SECONDS,
    detail: Callable[[], object] | None = None,
) -> T:
    """The first true value of `condition`, asked every `every` seconds, or as seldom as leaves half of the time to
    what is waited for: a look may start a process.

    AssertionError after `timeout` seconds. It names `what`, or the condition's own source where that is empty, the
    last value seen, and what `detail` says then: a log, or rows.
    """
    deadline = time.monotonic() + timeout
    while True:
        # Asked before the look, so that one look begins after the deadline: a test may itself have been held up.
        began = time.monotonic()
        over = began >= deadline
        if found := condition():
            return found
        if over:
            last = f" (last seen: {found!r})" if found is not False and found is not None else ""
            more = f"\n{detail()}" if detail is not None else ""
            raise AssertionError(f"not within {timeout:g} s: {what or source(condition)}{last}{more}")
        time.sleep(max(every, min(LONGEST_PAUSE_SECONDS, time.monotonic() - began)))


async def settle() -> None:
    """Return when every task of the event loop has gone on as far as it can without anything from outside."""
    for _ in range(20):
        await asyncio.sleep(0)


def source(condition: Callable[[], object]) -> str:
    """The text of a lambda's expression, or the name of a function."""
    code: CodeType | None = getattr(condition, "__code__", None)
    if code is None or code.co_name != "<lambda>":
        return str(getattr(condition, "__qualname__", condition))
    # Every instruction knows the place of its expression (PEP 657); the outermost ones span the whole of it.
    places = [place for place in code.co_positions() if (None not in place and place[0] != place[1]) or place[3]]
    first, last = min(place[0] for place in places), max(place[1] for place in places)
    start = min(place[2] for place in places if place[0] == first)
    end = max(place[3] for place in places if place[1] == last)
    lines = [linecache.getline(code.co_filename, number).rstrip("\n") for number in range(first, last + 1)]
    # Columns count bytes of UTF-8.
    if first == last:
        return lines[0].encode()[start:end].decode()
    lines[0], lines[-1] = lines[0].encode()[start:].decode(), lines[-1].encode()[:end].decode()
    return " ".join(line.strip() for line in lines)
