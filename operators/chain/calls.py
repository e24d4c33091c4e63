"""Requests for blocks to one provider. What they return is as the provider said it: see `checks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from operators.chain.faults import MethodMissing
from operators.chain.provider import Call, Json, Provider


def block_call(number: int | str, full: bool = True) -> Call:
    """eth_getBlockByNumber for a height or a tag such as `latest`; `full`: with whole transactions."""
    return ("eth_getBlockByNumber", [number if isinstance(number, str) else hex(number), full])


def blocks_with_receipts(
    provider: Provider, numbers: Sequence[int], batch_calls: int
) -> tuple[list[Json], list[Json]]:
    """The block of each height (None where there is none) and the list of its receipts. Raises ProviderFault.

    An HTTP request holds at most `batch_calls` calls.
    """
    if provider.block_receipts:
        try:
            return _together(provider, numbers, batch_calls)
        except MethodMissing:
            provider.block_receipts = False
    blocks = in_batches(provider, [block_call(number) for number in numbers], batch_calls)
    hashes = [[tx["hash"] for tx in block["transactions"]] if block else [] for block in blocks]
    wanted: list[Call] = [("eth_getTransactionReceipt", [tx]) for block in hashes for tx in block]
    answers = iter(in_batches(provider, wanted, batch_calls))
    return blocks, [_take(answers, len(block)) for block in hashes]


def in_batches(provider: Provider, calls: Sequence[Call], size: int) -> list[Json]:
    """Results of `calls` in their order, at most `size` calls an HTTP request. Raises ProviderFault."""
    return [answer for low in range(0, len(calls), size) for answer in provider.batch(calls[low : low + size])]


def _together(provider: Provider, numbers: Sequence[int], batch_calls: int) -> tuple[list[Json], list[Json]]:
    """Block and receipts of a height side by side, so that one node answers both at nearly one moment."""
    calls: list[Call] = []
    for number in numbers:
        calls += [block_call(number), ("eth_getBlockReceipts", [hex(number)])]
    answers = in_batches(provider, calls, batch_calls)
    return answers[0::2], answers[1::2]


def _take(answers: Iterator[Json], count: int) -> list[Json]:
    return [next(answers) for _ in range(count)]
