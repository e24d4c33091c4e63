"""The half of a state-sync transaction that a Polygon node left out, asked for by its hash.

At the end of a sprint a block has one transaction more, which was in no root until the Madhugiri fork. Nodes kept
it beside the block, and answer in three shapes: transaction and receipt; the transaction alone, with one receipt
fewer from eth_getBlockReceipts; or the receipt alone (0xPolygon/bor#1654, erigontech/erigon#6276 and #6730,
0xPolygon/erigon#40). A node that has neither half answers a block that looks whole: no rule can find that.
"""

from __future__ import annotations

from operators.chain.block_data import is_state_sync
from operators.chain.faults import ProviderFault
from operators.chain.provider import Json, Provider


def complete(provider: Provider, block: Json, receipts: Json) -> tuple[Json, Json]:
    """Block and receipts, with the missing half of a state-sync transaction. Raises ProviderFault."""
    if not isinstance(block, dict) or not isinstance(receipts, list):
        return block, receipts
    transactions = block.get("transactions")
    if not isinstance(transactions, list):
        return block, receipts
    surplus = len(transactions) - len(receipts)
    if surplus == 1 and is_state_sync(transactions[-1]):
        return block, [*receipts, _half(provider, "eth_getTransactionReceipt", transactions[-1].get("hash"))]
    if surplus == -1 and is_state_sync(receipts[-1]):
        sent = _half(provider, "eth_getTransactionByHash", receipts[-1].get("transactionHash"))
        return block | {"transactions": [*transactions, sent]}, receipts
    return block, receipts


def _half(provider: Provider, method: str, transaction_hash: Json) -> Json:
    if not isinstance(transaction_hash, str):
        raise ProviderFault("a state-sync transaction without a hash")
    found = provider.call(method, transaction_hash)
    if found is None:
        raise ProviderFault(f"{provider.name}: {method} does not have a state-sync transaction")
    return found
