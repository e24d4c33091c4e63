"""Requests for blocks to one provider. What they return is as the provider said it: see `checks`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

from operators.chain.faults import Kind, ProviderFault
from operators.chain.provider import Call, Json, Provider


def block_call(number: int | str, full: bool = True) -> Call:
    """eth_getBlockByNumber for a height or a tag such as `latest`; `full`: with whole transactions."""
    return ("eth_getBlockByNumber", [number if isinstance(number, str) else hex(number), full])


def hash_call(block_hash: str) -> Call:
    """eth_getBlockByHash without its transactions: also of a block that is on the provider's chain no more."""
    return ("eth_getBlockByHash", [block_hash, False])


def blocks_with_receipts(
    provider: Provider, numbers: Sequence[int], batch_calls: int
) -> tuple[list[Json], list[Json]]:
    """The block of each height (None where there is none) and the list of its receipts. Raises ProviderFault.

    An HTTP request holds at most `batch_calls` calls. Receipts come by block, or one by one from a provider that
    has no eth_getBlockReceipts, or that cannot put those of one block into one answer.
    """
    if provider.block_receipts:
        try:
            return _together(provider, numbers, batch_calls)
        except ProviderFault as fault:
            if fault.kind is Kind.METHOD_MISSING:
                provider.lacks_block_receipts()
            elif fault.kind is not Kind.RESPONSE_TOO_LARGE:
                raise
    blocks = in_batches(provider, [block_call(number) for number in numbers], batch_calls)
    return blocks, _one_by_one(provider, blocks, batch_calls)


def in_batches(provider: Provider, calls: Sequence[Call], size: int) -> list[Json]:
    """Results of `calls` in their order, at most `size` calls an HTTP request. Raises ProviderFault."""
    return [answer for low in range(0, len(calls), size) for answer in provider.batch(calls[low : low + size])]


def _together(provider: Provider, numbers: Sequence[int], batch_calls: int) -> tuple[list[Json], list[Json]]:
    """Block and receipts of a height side by side, so that one node answers both at nearly one moment."""
    calls: list[Call] = []
    for number in numbers:
        calls += [block_call(number), ("eth_getBlockReceipts", [hex(number)])]
    answers = in_batches(provider, calls, batch_calls)
    blocks, receipts = answers[0::2], answers[1::2]
    # Null for the receipts of a block that is there: the method is known, and does nothing for this block.
    lacking = [at for at, block in enumerate(blocks) if block is not None and receipts[at] is None]
    for at, found in zip(lacking, _one_by_one(provider, [blocks[at] for at in lacking], batch_calls), strict=True):
        receipts[at] = found
    return blocks, receipts


def _one_by_one(provider: Provider, blocks: Sequence[Json], batch_calls: int) -> list[Json]:
    hashes = [_transactions(provider, block) if block is not None else [] for block in blocks]
    wanted: list[Call] = [("eth_getTransactionReceipt", [tx]) for block in hashes for tx in block]
    answers = iter(in_batches(provider, wanted, batch_calls))
    return [_take(answers, len(block)) for block in hashes]


def _transactions(provider: Provider, block: Json) -> list[Json]:
    """The hashes of a block's transactions, which nothing has checked yet."""
    try:
        return [transaction["hash"] for transaction in block["transactions"]]
    except (KeyError, TypeError) as error:
        raise ProviderFault("a block without whole transactions", provider=provider.name) from error


def _take(answers: Iterator[Json], count: int) -> list[Json]:
    return [next(answers) for _ in range(count)]
