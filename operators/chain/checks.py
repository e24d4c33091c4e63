"""What must agree within one block before an answer is believed. Pure.

Blocks, their transactions and their receipts come from separate calls, between which the chain may be reorganised
or a lagging node may answer short. Each rule below is a function of its own that returns what is wrong, or None.
An answer that breaks one is never stored; another provider is used instead.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from operators.chain.faults import ProviderFault
from operators.chain.provider import Json
from operators.chain.values import quantity

Check = Callable[[int, Json, Sequence[Json]], str | None]
"""(requested height, block, its receipts) -> what is wrong. Malformed input: KeyError, TypeError, ValueError."""


def height(number: int, block: Json, _receipts: Sequence[Json]) -> str | None:
    """The block is of the requested height."""
    return None if quantity(block["number"]) == number else f"the answer is block {block['number']}"


def receipt_count(_number: int, block: Json, receipts: Sequence[Json]) -> str | None:
    """There is one receipt per transaction."""
    if len(receipts) != len(block["transactions"]):
        return f"{len(block['transactions'])} transactions, but {len(receipts)} receipts"
    missing = next((index for index, receipt in enumerate(receipts) if receipt is None), None)
    return None if missing is None else f"receipt {missing} is null"


def same_block(_number: int, block: Json, receipts: Sequence[Json]) -> str | None:
    """Transactions, receipts and logs all name the block's hash, and receipts are in the transactions' order."""
    own = block["hash"]
    for index, (transaction, receipt) in enumerate(zip(block["transactions"], receipts, strict=True)):
        if not transaction["blockHash"] == receipt["blockHash"] == own:
            return f"transaction or receipt {index} belongs to another block"
        if transaction["hash"] != receipt["transactionHash"] or quantity(receipt["transactionIndex"]) != index:
            return f"receipt {index} belongs to another transaction"
        for log in receipt["logs"]:
            if log["blockHash"] != own or quantity(log["transactionIndex"]) != index:
                return f"a log of receipt {index} belongs elsewhere"
    return None


def log_indexes(_number: int, _block: Json, receipts: Sequence[Json]) -> str | None:
    """Log indexes run from 0 through the block without a hole."""
    logs = [log for receipt in receipts for log in receipt["logs"]]
    missing = next((index for index, log in enumerate(logs) if quantity(log["logIndex"]) != index), None)
    return None if missing is None else f"log {missing} is missing"


def blooms(_number: int, block: Json, receipts: Sequence[Json]) -> str | None:
    """The header's bloom is the union of the receipts' (Yellow Paper, 4.4.1); a receipt's is empty without logs."""
    union = 0
    for index, receipt in enumerate(receipts):
        bloom = quantity(receipt["logsBloom"])
        # An answer cut short may lack the logs and keep the bloom; no log at all leaves no bit set.
        if bool(bloom) != bool(receipt["logs"]):
            return f"receipt {index} has a bloom that its logs do not match"
        union |= bloom
    return None if union == quantity(block["logsBloom"]) else "the header's bloom is not that of the receipts"


def gas(_number: int, block: Json, receipts: Sequence[Json]) -> str | None:
    """The last receipt's cumulative gas is the header's."""
    used = quantity(receipts[-1]["cumulativeGasUsed"]) if receipts else 0
    return None if used == quantity(block["gasUsed"]) else "gas of the receipts does not add up to the header's"


CHECKS: tuple[Check, ...] = (height, receipt_count, same_block, log_indexes, blooms, gas)
"""In this order: a later one relies on what those before it found in order."""


def check_block(number: int, block: Json, receipts: Json) -> None:
    """Raise ProviderFault unless `block` has height `number` and `receipts` are its receipts, all of them."""
    if not isinstance(block, dict) or not isinstance(receipts, list):
        raise ProviderFault(f"block {number} or its receipts are not there")
    for check in CHECKS:
        try:
            wrong = check(number, block, receipts)
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            raise ProviderFault(f"block {number}: malformed: {type(error).__name__}: {error}") from error
        if wrong is not None:
            raise ProviderFault(f"block {number}: {wrong}")
