"""Batches are fetched as they are taken, however far the head is said to be."""

from __future__ import annotations

import tracemalloc
from types import SimpleNamespace
from typing import Any

from operators.chain.fetch import Batch, Fetcher
from operators.chain.profiles import ETHEREUM
from tests.support.waiting import until

A_MILLION = 1_000_000


def test_a_far_head_costs_no_memory() -> None:
    asked: list[Any] = []

    def answer(_request: object) -> Batch:
        asked.append(None)
        return Batch(0, 0, (), {})

    pool: Any = SimpleNamespace(with_failover=answer)
    fetcher = Fetcher(pool, ETHEREUM, ("blocks",), batch_calls=64, threads=2)
    tracemalloc.start()
    try:
        stream = fetcher.stream(0, A_MILLION, 1)
        next(stream)
        until(lambda: len(asked) == 3, "as many are fetched as there are threads, while one is consumed")
        _, peak = tracemalloc.get_traced_memory()
        stream.close()  # type: ignore[attr-defined]
    finally:
        tracemalloc.stop()
        fetcher.close()
    assert len(asked) == 3, "no further ahead than there are threads"
    assert peak < 1 << 20
