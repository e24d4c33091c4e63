"""Writes of one reconcile go side by side, a few at a time, and end in order after an error."""

from __future__ import annotations

import asyncio

import pytest

from traceplane.reconcile import apply


class Server:
    """Answers a write when it has as many as it waits for; counts how many it had at once."""

    def __init__(self, waits_for: int) -> None:
        self.begun = self.inside = self.most = 0
        self._waits_for = waits_for
        self._enough = asyncio.Event()

    async def write(self, number: int, *, fails: bool = False) -> int:
        self.begun, self.inside = self.begun + 1, self.inside + 1
        self.most = max(self.most, self.inside)
        if self.inside == self._waits_for:
            self._enough.set()
        await asyncio.wait_for(self._enough.wait(), 10)
        self.inside -= 1
        if fails:
            raise RuntimeError(f"write {number}")
        return number


async def test_writes_go_side_by_side_within_their_bound_and_answer_in_order() -> None:
    server = Server(apply._AT_ONCE)
    assert await apply._together([server.write(number) for number in range(50)]) == list(range(50))
    assert server.most == apply._AT_ONCE


async def test_after_an_error_no_write_is_begun_and_those_begun_end() -> None:
    server = Server(apply._AT_ONCE)
    with pytest.raises(RuntimeError, match="write 0"):
        await apply._together([server.write(number, fails=number == 0) for number in range(50)])
    assert (server.begun, server.inside) == (apply._AT_ONCE, 0)


async def test_fewer_writes_than_the_bound_and_none() -> None:
    assert await apply._together([Server(1).write(7)]) == [7]
    assert await apply._together([]) == []
