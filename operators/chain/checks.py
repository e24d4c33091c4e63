"""What must agree within one block before an answer is believed. Pure.

Blocks, their transactions and their receipts come from separate calls, between which the chain may be reorganised
or a lagging node may answer short. Each rule below is a function of its own that returns what is wrong, or None.
An answer that breaks one is never stored; another provider is used instead.

Not every chain keeps every rule, so a chain's profile (`profiles`) may switch off those of `profiles.Rule`. The
others decide which row is written where, and hold on every chain.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from types import MappingProxyType

from operators.chain.block_data import BlockData
from operators.chain.faults import ProviderFault
from operators.chain.profiles import Profile
from operators.chain.provider import Json
from operators.chain.values import bloom_bits, quantity

Check = Callable[[BlockData], str | None]
"""An answer -> what is wrong with it. Malformed input: KeyError, TypeError, ValueError."""

EMPTY_BLOOM = "0x" + "00" * 256
_MAX_TYPE = 0xFF
"""EIP-2718 has one byte and ends at 0x7f; the ZK stack goes up to 0xff."""


def height(answer: BlockData) -> str | None:
    """The block is of the requested height."""
    number = _number(answer.block, "number")
    return None if number == answer.number else f"the answer is block {number}"


def receipt_count(answer: BlockData) -> str | None:
    """There is one receipt per transaction."""
    if len(answer.receipts) != len(answer.transactions):
        return f"{len(answer.transactions)} transactions, but {len(answer.receipts)} receipts"
    return None


def same_block(answer: BlockData) -> str | None:
    """Transactions, receipts and logs all name the block, its height and their transaction, each in its place."""
    own, number = answer.block["hash"], answer.block["number"]
    for index, (transaction, receipt) in enumerate(zip(answer.transactions, answer.receipts, strict=True)):
        at = hex(index)
        for source in (transaction, receipt):
            if source["blockHash"] != own or _differs(source, "blockNumber", number):
                return f"transaction or receipt {index} belongs to another block"
            if _differs(source, "transactionIndex", at):
                return f"receipt {index} belongs to another transaction"
        if transaction["hash"] != receipt["transactionHash"]:
            return f"receipt {index} belongs to another transaction"
        if _elsewhere(receipt["logs"], own, number, at, transaction["hash"]):
            return f"a log of receipt {index} belongs elsewhere"
    if answer.block_receipt is not None:
        at = hex(len(answer.transactions))
        if _elsewhere(answer.block_receipt["logs"], own, number, at, own):
            return "a log of the block receipt belongs elsewhere"
    return None


def fields(answer: BlockData) -> str | None:
    """Header and transactions have every field that a table of Ethereum's would have in each row."""
    return missing_field(answer, frozenset())


def transaction_types(answer: BlockData) -> str | None:
    """A transaction's type is that of its receipt, and one byte."""
    sent = [transaction.get("type") for transaction in answer.transactions]
    if sent != (
        outcome := [receipt.get("type") for receipt in answer.receipts]
    ):  # or spelled otherwise, or lacking
        for index, (own, other) in enumerate(zip(sent, outcome, strict=True)):
            if own is not None and other is not None and _type(own) != _type(other):
                return f"transaction {index} and its receipt have different types"
    for kind in dict.fromkeys(sent):
        if kind is not None and _type(kind) > _MAX_TYPE:
            return f"transaction {sent.index(kind)} has a type of more than one byte"
    return None


def log_indexes(answer: BlockData) -> str | None:
    """Log indexes run from 0 through the block without a hole."""
    position = 0
    for receipt in answer.with_block_receipt:
        for log in receipt["logs"]:
            if _differs(log, "logIndex", hex(position)):
                return f"log {position} is missing"
            position += 1
    return None


def receipt_blooms(answer: BlockData) -> str | None:
    """A receipt's bloom is empty exactly where it has no logs."""
    for index, receipt in enumerate(answer.with_block_receipt):
        # An answer cut short may lack the logs and keep the bloom; no log at all leaves no bit set.
        if (receipt["logsBloom"] == EMPTY_BLOOM) == bool(receipt["logs"]):
            return f"receipt {index} has a bloom that its logs do not match"
    return None


def header_bloom(answer: BlockData) -> str | None:
    """The header's bloom is the union of the receipts' (Yellow Paper, 4.4.1)."""
    own = _bits(answer.block)
    if own == _union(answer.with_block_receipt) or (answer.state_sync and own == _union(answer.receipts[:-1])):
        return None
    return "the header's bloom is not that of the receipts"


def gas(answer: BlockData) -> str | None:
    """The last receipt's cumulative gas is the header's."""
    own = _number(answer.block, "gasUsed")
    if own == _used(answer.receipts) or (answer.state_sync and own == _used(answer.receipts[:-1])):
        return None
    return "gas of the receipts does not add up to the header's"


CHECKS: Mapping[str, Check] = MappingProxyType(
    {
        check.__name__: check
        for check in (
            height,
            receipt_count,
            same_block,
            fields,
            transaction_types,
            log_indexes,
            receipt_blooms,
            header_bloom,
            gas,
        )
    }
)
"""By name, in this order: a later one relies on what those before it found in order."""
OPTIONAL_HEADER_FIELDS = ("sha3Uncles", "logsBloom", "difficulty", "gasLimit", "extraData", "uncles")
OPTIONAL_TRANSACTION_FIELDS = ("type", "nonce", "gas")
OPTIONAL_RECEIPT_FIELDS = ("cumulativeGasUsed", "logsBloom")
"""What the rule `fields` demands and some chain lacks. What else is not nullable is demanded anywhere."""


def missing_field(answer: BlockData, allowed: frozenset[str]) -> str | None:
    """The rule `fields`, but for the fields that a profile says its chain may lack."""
    sources: tuple[tuple[str, tuple[str, ...], Sequence[dict[str, Json]]], ...] = (
        ("the header", OPTIONAL_HEADER_FIELDS, (answer.block,)),
        ("a transaction", OPTIONAL_TRANSACTION_FIELDS, answer.transactions),
        ("a receipt", OPTIONAL_RECEIPT_FIELDS, answer.receipts),
    )
    for what, names, objects in sources:
        for name in names:
            # A list and a search in it: one pass in C, where a generator is resumed for each object.
            if name not in allowed and None in [one.get(name) for one in objects]:
                return f"{what} lacks {name}"
    return None


def check(answer: BlockData, profile: Profile) -> None:
    """Raise ProviderFault where `answer` breaks a rule that holds on chains of `profile`."""
    for name, rule in CHECKS.items():
        if name in profile.off:
            continue
        try:
            wrong = missing_field(answer, profile.may_lack) if rule is fields else rule(answer)
        except KeyError as error:
            raise ProviderFault(f"block {answer.number}: a required field is missing: {error.args[0]}") from error
        except (TypeError, ValueError) as error:
            raise ProviderFault(f"block {answer.number}: {error}") from error
        if wrong is not None:
            raise ProviderFault(f"block {answer.number}: {wrong}")


def _number(source: dict[str, Json], name: str) -> int:
    try:
        return quantity(source[name])
    except ValueError as error:
        raise ValueError(f"{name} {error}") from error


def _type(value: Json) -> int:
    return _number({"type": value}, "type")


def _differs(source: dict[str, Json], name: str, other: str) -> bool:
    """Whether two quantities differ; most are spelled alike, and a comparison of texts is ten times faster."""
    return source[name] != other and _number(source, name) != quantity(other)


def _elsewhere(logs: Sequence[dict[str, Json]], block_hash: str, number: str, index: str, transaction: str) -> bool:
    """Whether one of the logs is of another block or transaction, or of none."""
    for log in logs:
        if (
            log["blockHash"] != block_hash
            or log["transactionHash"] != transaction
            or _differs(log, "blockNumber", number)
            or _differs(log, "transactionIndex", index)
            or log.get("removed")
        ):
            return True
    return False


def _used(receipts: Sequence[dict[str, Json]]) -> int:
    return _number(receipts[-1], "cumulativeGasUsed") if receipts else 0


def _union(receipts: Sequence[dict[str, Json]]) -> int:
    union = 0
    for receipt in receipts:
        if receipt["logsBloom"] != EMPTY_BLOOM:
            union |= _bits(receipt)
    return union


def _bits(source: dict[str, Json]) -> int:
    try:
        return bloom_bits(source["logsBloom"])
    except (ValueError, TypeError) as error:
        raise ValueError(f"logsBloom {error}") from error
