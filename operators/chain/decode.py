"""From JSON-RPC objects to rows, in the column order of `schemas`; one function per object. Pure.

A field that is missing where a column may not be null, or that is not of its form, raises `ProviderFault`: a wrong
row must not be stored. A field that no column has is kept in `extra`, as given.

Where a row is (height, hash, time, index) comes from its block and its position, once per block: `checks` proved
that every transaction, receipt and log says the same of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from operators.chain import values
from operators.chain.block_data import BlockData
from operators.chain.faults import ProviderFault
from operators.chain.provider import Json
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column

Row = tuple[Any, ...]
Place = tuple[int, str, int]
"""Height, hash and time of a block: the first columns of every table."""
MAX_TOPICS = 4
"""Of a log: LOG0 to LOG4 are all the opcodes there are."""

# Column name -> JSON-RPC field, where it is not the camelCase of the column.
_BLOCK_FIELDS = {"block_number": "number", "block_hash": "hash", "block_timestamp": "timestamp"}
_TX_FIELDS = {"transaction_hash": "hash", "from_address": "from", "to_address": "to", "gas_limit": "gas"}
_RECEIPT_COLUMNS = frozenset(
    {
        "status",
        "root",
        "gas_used",
        "cumulative_gas_used",
        "effective_gas_price",
        "contract_address",
        "logs_bloom",
        "blob_gas_used",
        "blob_gas_price",
    }
)
_EXTRA = frozenset({"extra", "receipt_extra"})
_PLACE = ("block_number", "block_hash", "block_timestamp")
_IN_BLOCK = (*_PLACE, "transaction_index")
_IN_TRANSACTION = (*_IN_BLOCK, "transaction_hash", "log_index")

_DECODERS: Mapping[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INT32: values.int32,
    ColumnType.INT64: values.int64,
    ColumnType.UINT256: values.quantity,
    ColumnType.HEX: values.hash32,
    ColumnType.TIMESTAMP: values.seconds,
    ColumnType.JSON: values.json_value,
}
_OTHER_HEX: Mapping[str, Callable[[Any], Any]] = {
    "miner": values.address,
    "from_address": values.address,
    "to_address": values.address_or_none,
    "contract_address": values.address_or_none,
    "address": values.address,
    "logs_bloom": values.bloom,
    "nonce": values.block_nonce,
    "extra_data": values.data,
    "input": values.data,
    "data": values.data,
    "r": values.word,
    "s": values.word,
}
"""Hex columns that are no hashes."""

_Field = tuple[str, Callable[[Any], Any], bool]
"""JSON-RPC name, decoder, whether null is allowed."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _fields(columns: Sequence[Column], renamed: Mapping[str, str], without: Collection[str] = ()) -> list[_Field]:
    fields = []
    for column in columns:
        if column.name in _EXTRA or column.name in without:
            continue
        decode = _DECODERS[column.type]
        if column.type is ColumnType.HEX:
            decode = _OTHER_HEX.get(column.name, decode)
        fields.append((renamed.get(column.name, _camel(column.name)), decode, column.nullable))
    return fields


_BLOCK = _fields(BLOCKS, _BLOCK_FIELDS, {"transaction_count"})
_BLOCK_COUNT_AT = [c.name for c in BLOCKS].index("transaction_count")
_TX = _fields(TRANSACTIONS, _TX_FIELDS, {*_IN_BLOCK, *_RECEIPT_COLUMNS, "log_count"})
_RECEIPT = _fields([c for c in TRANSACTIONS if c.name in _RECEIPT_COLUMNS], {})
_LOG = _fields(LOGS, {}, {*_IN_TRANSACTION, *(f"topic{n}" for n in range(MAX_TOPICS))})
"""`address` and `data`: what is left of a log."""
_NO_TOPICS = (None,) * MAX_TOPICS
_LOG_COUNT_AT = [c.name for c in TRANSACTIONS if c.name in _RECEIPT_COLUMNS | {"log_count"}].index("log_count")

# Names that a column, a list of rows, or the row's place answers for.
_PLACED = frozenset({"blockHash", "blockNumber", "blockTimestamp", "transactionIndex"})
_KNOWN_BLOCK = frozenset({name for name, _, _ in _BLOCK} | {"transactions"})
_KNOWN_TX = frozenset({name for name, _, _ in _TX} | _PLACED)
_KNOWN_RECEIPT = frozenset(
    {name for name, _, _ in _RECEIPT} | _PLACED | {"transactionHash", "from", "to", "type", "logs"}
)
_KNOWN_LOG = frozenset(
    {name for name, _, _ in _LOG} | _PLACED | {"transactionHash", "logIndex", "topics", "removed"}
)


def rows(answer: BlockData, outputs: Collection[str]) -> dict[str, list[Row]]:
    """The rows of a checked answer for `blocks` and what else of it `outputs` names. Raises ProviderFault."""
    try:
        block = block_row(answer)
        found = {"blocks": [block]}
        place: Place = block[:3]
        if "transactions" in outputs:
            pairs = zip(answer.transactions, answer.receipts, strict=True)
            found["transactions"] = [
                transaction_row(place, index, transaction, receipt)
                for index, (transaction, receipt) in enumerate(pairs)
            ]
        if "logs" in outputs:
            found["logs"] = log_rows(place, answer)
    except ValueError as error:
        raise ProviderFault(f"block {answer.number}: {error}") from error
    return found


def block_row(answer: BlockData) -> Row:
    """The row of `blocks`. Raises ValueError."""
    decoded = _decode(answer.block, _BLOCK)
    decoded.insert(_BLOCK_COUNT_AT, len(answer.transactions))
    extra = _extra(answer.block, _KNOWN_BLOCK)
    if answer.block_receipt is not None:
        # Its logs are rows of `logs`; the rest of it has no other place, since it has no transaction.
        receipt = {name: value for name, value in answer.block_receipt.items() if name != "logs"}
        extra = {**(extra or {}), "blockReceipt": values.json_value(receipt)}
    return (*decoded, extra)


def transaction_row(place: Place, index: int, transaction: Json, receipt: Json) -> Row:
    """The row of `transactions` for the transaction at `index` of a block, and its receipt. Raises ValueError."""
    try:
        sent = _decode(transaction, _TX)
        outcome = _decode(receipt, _RECEIPT)
        outcome.insert(_LOG_COUNT_AT, len(receipt["logs"]))
        extra, receipt_extra = _extra(transaction, _KNOWN_TX), _extra(receipt, _KNOWN_RECEIPT)
    except ValueError as error:
        raise ValueError(f"transaction {index}: {error}") from error
    return (*place, index, *sent, *outcome, extra, receipt_extra)


def log_rows(place: Place, answer: BlockData) -> list[Row]:
    """The rows of `logs` for a whole block, in order. Raises ValueError.

    Logs are numbered by their position in the block. Where the rule `log_indexes` holds, that is the index they
    have; where it does not, `extra` keeps another index that a node gave.
    """
    found: list[Row] = []
    for index, receipt in enumerate(answer.with_block_receipt):
        logs = receipt["logs"]
        if not logs:
            continue
        try:
            transaction = values.hash32(receipt["transactionHash"])
            for log in logs:
                found.append(_log_row((*place, index, transaction, len(found)), log))
        except ValueError as error:
            raise ValueError(f"log {len(found)}: {error}") from error
    return found


def _log_row(at: tuple[Any, ...], log: Json) -> Row:
    topics = log.get("topics")
    if type(topics) is not list or len(topics) > MAX_TOPICS:
        raise ValueError(f"field topics is no list of at most {MAX_TOPICS}")
    try:
        decoded = [values.topic(one) for one in topics]
    except (ValueError, TypeError) as error:
        raise ValueError(f"field topics {error}") from error
    extra = _extra(log, _KNOWN_LOG)
    given = log.get("logIndex")
    if given is not None and given != hex(at[-1]) and values.quantity(given) != at[-1]:
        extra = {**(extra or {}), "logIndex": given}
    address, payload = _decode(log, _LOG)
    return (*at, address, *decoded, *_NO_TOPICS[len(decoded) :], payload, extra)


def _decode(source: Json, fields: Sequence[_Field]) -> list[Any]:
    decoded: list[Any] = []
    for name, decode, nullable in fields:
        value = source.get(name)
        if value is None:
            if not nullable:
                raise ValueError(f"a required field is missing: {name}")
            decoded.append(None)
            continue
        try:
            decoded.append(decode(value))
        except (ValueError, TypeError) as error:
            raise ValueError(f"field {name} {error}") from error
    return decoded


def _extra(source: Json, known: frozenset[str]) -> Json:
    """The fields that no column has, or None."""
    if source.keys() <= known:
        return None
    extra = {name: value for name, value in source.items() if name not in known}
    try:
        values.json_value(extra)
    except ValueError as error:
        raise ValueError(f"an unknown field {error}") from error
    return extra
