"""Fetches blocks with receipts in batches, some batches ahead of who consumes them.

One batch is one HTTP request where the provider allows it: block and receipts of every height together, so that
they come from one node at nearly one moment. An answer that fails its checks is asked again, from the next
provider, a bounded number of times.
"""

from __future__ import annotations

from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import TypeVar

from operators.block_follower.checks import check_block
from operators.block_follower.decode import Row, block_row, log_row, transaction_row
from operators.block_follower.rpc import Call, Json, MethodMissing, Provider, ProviderFault, Providers
from operators.block_follower.schemas import BLOCKS

T = TypeVar("T")

TRIES = 4
"""Asks for one batch before the follower backs off."""


@dataclass(frozen=True, slots=True)
class Header:
    """What linking and reporting need of a block; the rest is let go once it is in rows."""

    number: int
    block_hash: str
    parent_hash: str
    time: datetime


@dataclass(frozen=True, slots=True)
class Batch:
    """Checked blocks of an inclusive range, and their rows."""

    start: int
    end: int
    headers: Sequence[Header]
    rows: dict[str, list[Row]]

    @property
    def last_hash(self) -> str:
        """Hash of the highest block."""
        return self.headers[-1].block_hash


class Fetcher:
    """Owns the threads that talk to providers. `outputs`: which tables to build rows for."""

    def __init__(self, providers: Providers, outputs: Sequence[str], *, batch_calls: int, threads: int) -> None:
        self._providers = providers
        self._outputs = outputs
        self._batch_calls = batch_calls
        self._threads = threads
        self._pool = ThreadPoolExecutor(threads, thread_name_prefix="fetch")

    def close(self) -> None:
        """Stop the threads; requests in flight are waited for by nobody."""
        self._pool.shutdown(wait=False, cancel_futures=True)

    def stream(self, start: int, end: int, batch_blocks: int) -> Iterator[Batch]:
        """Batches of an inclusive range in order, fetched up to `threads` ahead. ProviderFault, WrongChain."""
        spans = iter([(low, min(low + batch_blocks - 1, end)) for low in range(start, end + 1, batch_blocks)])
        ahead: deque[Future[Batch]] = deque()
        try:
            while True:
                while len(ahead) < self._threads and (span := next(spans, None)) is not None:
                    ahead.append(self._pool.submit(self.batch, *span))
                if not ahead:
                    return
                yield ahead.popleft().result()
        finally:
            for future in ahead:
                future.cancel()

    def batch(self, start: int, end: int) -> Batch:
        """Checked blocks of an inclusive range."""
        return self.ask(lambda provider: self._batch(provider, start, end))

    def ask(self, question: Callable[[Provider], T]) -> T:
        """`question` to the provider in use, then to the others in turn; the last fault is raised."""
        fault = ProviderFault("no provider was asked")
        for _ in range(TRIES):
            provider = self._providers.current()
            try:
                return question(provider)
            except ProviderFault as error:
                fault = error
                self._providers.rotate(provider)
        raise fault

    def _batch(self, provider: Provider, start: int, end: int) -> Batch:
        blocks, receipts = self._read(provider, range(start, end + 1))
        for number, block, block_receipts in zip(range(start, end + 1), blocks, receipts, strict=True):
            check_block(number, block, block_receipts)
        rows = self._rows(blocks, receipts)
        return Batch(start, end, [_header(row) for row in rows["blocks"]], rows)

    def _read(self, provider: Provider, numbers: range) -> tuple[list[Json], list[Json]]:
        if provider.block_receipts:
            try:
                return self._read_together(provider, numbers)
            except MethodMissing:
                provider.block_receipts = False
        blocks = self._calls(provider, [block_call(number) for number in numbers])
        hashes = [[tx["hash"] for tx in block["transactions"]] if block else [] for block in blocks]
        wanted: list[Call] = [("eth_getTransactionReceipt", [tx]) for block in hashes for tx in block]
        answers = iter(self._calls(provider, wanted))
        return blocks, [[next(answers) for _ in block] for block in hashes]

    def _read_together(self, provider: Provider, numbers: range) -> tuple[list[Json], list[Json]]:
        calls: list[Call] = []
        for number in numbers:
            calls += [block_call(number), ("eth_getBlockReceipts", [hex(number)])]
        answers = self._calls(provider, calls)
        return answers[0::2], answers[1::2]

    def _calls(self, provider: Provider, calls: Sequence[Call]) -> list[Json]:
        size = self._batch_calls
        return [answer for low in range(0, len(calls), size) for answer in provider.batch(calls[low : low + size])]

    def _rows(self, blocks: Sequence[Json], receipts: Sequence[Sequence[Json]]) -> dict[str, list[Row]]:
        rows: dict[str, list[Row]] = {name: [] for name in self._outputs}
        pairs = list(zip(blocks, receipts, strict=True))
        rows["blocks"] = [block_row(block) for block in blocks]
        if "transactions" in rows:
            rows["transactions"] = [
                transaction_row(block, transaction, receipt)
                for block, outcome in pairs
                for transaction, receipt in zip(block["transactions"], outcome, strict=True)
            ]
        if "logs" in rows:
            rows["logs"] = [
                log_row(block, log) for block, outcome in pairs for receipt in outcome for log in receipt["logs"]
            ]
        return rows


_NUMBER, _HASH, _PARENT, _TIME = (
    [column.name for column in BLOCKS].index(name)
    for name in ("block_number", "block_hash", "parent_hash", "block_timestamp")
)


def _header(row: Row) -> Header:
    return Header(row[_NUMBER], row[_HASH], row[_PARENT], datetime.fromtimestamp(row[_TIME], UTC))


def block_call(number: int | str, full: bool = True) -> Call:
    """eth_getBlockByNumber for a height or a tag such as `latest`."""
    return ("eth_getBlockByNumber", [number if isinstance(number, str) else hex(number), full])
