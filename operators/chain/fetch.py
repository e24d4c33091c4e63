"""Checked batches of blocks as rows, fetched some batches ahead of their consumer.

One batch is one HTTP request where the provider allows it. An answer that fails its checks is requested again, from
the next provider, a bounded number of times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime

from operators.chain import decode, state_sync
from operators.chain.block_data import BlockData, block_data
from operators.chain.calls import blocks_with_receipts
from operators.chain.checks import check
from operators.chain.decode import Row
from operators.chain.links import Header
from operators.chain.pool import ProviderPool
from operators.chain.profiles import Beside, Profile
from operators.chain.provider import Json, Provider
from operators.chain.schemas import BLOCKS


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked blocks of an inclusive range, and their rows. On a sparse chain some heights may have none."""

    start: int
    end: int
    headers: Sequence[Header]
    rows: dict[str, list[Row]]


class Fetcher:
    """Owns the threads that talk to providers. `profile`: the chain's; `outputs`: which tables have rows."""

    def __init__(
        self, pool: ProviderPool, profile: Profile, outputs: Sequence[str], *, batch_calls: int, threads: int
    ) -> None:
        self._pool = pool
        self._profile = profile
        self._outputs = outputs
        self._batch_calls = batch_calls
        self._threads = threads
        self._executor = ThreadPoolExecutor(threads, thread_name_prefix="fetch")

    def close(self) -> None:
        """Stop the threads, without waiting for requests in flight."""
        self._executor.shutdown(wait=False, cancel_futures=True)

    def stream(self, start: int, end: int, batch_blocks: int) -> Iterator[Batch]:
        """Batches of an inclusive range in order, up to `threads` fetched while one is consumed. ProviderFault."""
        # One at a time: a chain has hundreds of millions of blocks, and a head that is made up any number.
        spans = ((low, min(low + batch_blocks - 1, end)) for low in range(start, end + 1, batch_blocks))
        ahead: deque[Future[Batch]] = deque()
        try:
            self._fill(ahead, spans)
            while ahead:
                batch = ahead.popleft().result()
                self._fill(
                    ahead, spans
                )  # before the consumer's transaction, so that none of the threads waits for it
                yield batch
        finally:
            for future in ahead:  # the consumer stopped early: what has not begun need not
                future.cancel()

    def _fill(self, ahead: deque[Future[Batch]], spans: Iterator[tuple[int, int]]) -> None:
        while len(ahead) < self._threads and (span := next(spans, None)) is not None:
            ahead.append(self._executor.submit(self.batch, *span))

    def batch(self, start: int, end: int) -> Batch:
        """Checked blocks of an inclusive range. Raises ProviderFault."""
        return self._pool.with_failover(lambda provider: self._batch(provider, start, end))

    def _batch(self, provider: Provider, start: int, end: int) -> Batch:
        numbers = range(start, end + 1)
        blocks, receipts = blocks_with_receipts(provider, numbers, self._batch_calls)
        answers = [
            self._checked(provider, number, block, outcome)
            for number, block, outcome in zip(numbers, blocks, receipts, strict=True)
            # Whether there is none, or this node has it not yet, the next block's parent will say.
            if block is not None or outcome or not self._profile.sparse
        ]
        rows = decode.rows(answers, self._outputs)
        # Headers are read from the rows, so that the JSON objects, many times larger, can be freed here.
        return Batch(start, end, [_header(row) for row in rows["blocks"]], rows)

    def _checked(self, provider: Provider, number: int, block: Json, receipts: Json) -> BlockData:
        if self._profile.beside is Beside.STATE_SYNC:
            block, receipts = state_sync.complete(provider, block, receipts)
        whole = block_data(number, block, receipts, self._profile)
        check(whole, self._profile)
        return whole


_NUMBER, _HASH, _PARENT, _TIME = (
    [column.name for column in BLOCKS].index(name)
    for name in ("block_number", "block_hash", "parent_hash", "block_timestamp")
)


def _header(row: Row) -> Header:
    return Header(row[_NUMBER], row[_HASH], row[_PARENT], datetime.fromtimestamp(row[_TIME], UTC))
