"""From JSON-RPC objects to rows, in the column order of `schemas`; a batch at a time, column by column. Pure.

A field that is missing where a column may not be null, or that is not of its form, raises `ProviderFault`: a wrong
row must not be stored. A field that no column has is kept in `extra`, as given.

Where a row is (height, hash, time, index) comes from its block and its position, once per block: `checks` proved
that every transaction, receipt and log says the same of itself.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping, Sequence
from itertools import chain, repeat
from typing import Any

from operators.chain import values
from operators.chain.block_data import BlockData
from operators.chain.bulk import many
from operators.chain.faults import ProviderFault
from operators.chain.fields import Field, Malformed, Values, checked_extra, column_of, decoded_by, extras_of
from operators.chain.provider import Json
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column

Row = tuple[Any, ...]
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


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _fields(columns: Sequence[Column], renamed: Mapping[str, str], without: Collection[str] = ()) -> list[Field]:
    fields = []
    for column in columns:
        if column.name in _EXTRA or column.name in without:
            continue
        decode = _DECODERS[column.type]
        if column.type is ColumnType.HEX:
            decode = _OTHER_HEX.get(column.name, decode)
        name = renamed.get(column.name, _camel(column.name))
        fields.append(Field(name, decode, many(decode), column.nullable))
    return fields


_BLOCK = _fields(BLOCKS, _BLOCK_FIELDS, {"transaction_count"})
_BLOCK_COUNT_AT = [c.name for c in BLOCKS].index("transaction_count")
_TX = _fields(TRANSACTIONS, _TX_FIELDS, {*_IN_BLOCK, *_RECEIPT_COLUMNS, "log_count"})
_RECEIPT = _fields([c for c in TRANSACTIONS if c.name in _RECEIPT_COLUMNS], {})
_LOG = _fields(LOGS, {}, {*_IN_TRANSACTION, *(f"topic{n}" for n in range(MAX_TOPICS))})
"""`address` and `data`: what is left of a log."""
_TOPICS = [Field("topics", values.topic, many(values.topic), True)] * MAX_TOPICS
_LOG_COUNT_AT = [c.name for c in TRANSACTIONS if c.name in _RECEIPT_COLUMNS | {"log_count"}].index("log_count")

# Names that a column, a list of rows, or the row's place answers for.
_PLACED = frozenset({"blockHash", "blockNumber", "blockTimestamp", "transactionIndex"})
_KNOWN_BLOCK = frozenset({field.name for field in _BLOCK} | {"transactions"})
_KNOWN_TX = frozenset({field.name for field in _TX} | _PLACED)
_KNOWN_RECEIPT = frozenset(
    {field.name for field in _RECEIPT} | _PLACED | {"transactionHash", "from", "to", "type", "logs"}
)
_KNOWN_LOG = frozenset(
    {field.name for field in _LOG} | _PLACED | {"transactionHash", "logIndex", "topics", "removed"}
)


def rows(answers: Sequence[BlockData], outputs: Collection[str]) -> dict[str, list[Row]]:
    """The rows of checked answers for `blocks` and what else of it `outputs` names. Raises ProviderFault."""
    block_columns = _of_blocks(answers)
    found = {"blocks": _as_rows(block_columns)}
    place = block_columns[:3]
    if "transactions" in outputs:
        found["transactions"] = _as_rows(_of_transactions(place, answers))
    if "logs" in outputs:
        found["logs"] = _as_rows(_of_logs(place, answers))
    return found


def _of_blocks(answers: Sequence[BlockData]) -> list[Values]:
    """The columns of `blocks`."""
    blocks = [answer.block for answer in answers]
    try:
        columns = [column_of(blocks, field) for field in _BLOCK]
        columns.insert(_BLOCK_COUNT_AT, [len(answer.transactions) for answer in answers])
        extras = list(extras_of(blocks, _KNOWN_BLOCK))
        for at, answer in enumerate(answers):
            if answer.block_receipt is not None:
                # Its logs are rows of `logs`; the rest of it has no other place: it has no transaction.
                receipt = {name: value for name, value in answer.block_receipt.items() if name != "logs"}
                extras[at] = {**(extras[at] or {}), "blockReceipt": checked_extra(receipt, at)}
    except Malformed as malformed:
        raise ProviderFault(f"block {answers[malformed.at].number}: {malformed}") from malformed
    return [*columns, extras]


def _of_transactions(place: Sequence[Values], answers: Sequence[BlockData]) -> list[Values]:
    """The columns of `transactions`: each transaction with its receipt."""
    counts = [len(answer.transactions) for answer in answers]
    sent = list(chain.from_iterable(answer.transactions for answer in answers))
    receipts = list(chain.from_iterable(answer.receipts for answer in answers))
    indexes = list(chain.from_iterable(map(range, counts)))
    try:
        columns = [column_of(sent, field) for field in _TX]
        outcome = [column_of(receipts, field) for field in _RECEIPT]
        outcome.insert(_LOG_COUNT_AT, [len(receipt["logs"]) for receipt in receipts])
        extras = [extras_of(sent, _KNOWN_TX), extras_of(receipts, _KNOWN_RECEIPT)]
    except Malformed as malformed:
        raise _fault(answers, counts, "transaction", malformed) from malformed
    return [*(_spread(column, counts) for column in place), indexes, *columns, *outcome, *extras]


def _of_logs(place: Sequence[Values], answers: Sequence[BlockData]) -> list[Values]:
    """The columns of `logs`, numbered by their position in the block.

    Where the rule `log_indexes` holds, that is the index they have; where it does not, `extra` keeps another index
    that a node gave.
    """
    receipts = [receipt for answer in answers for receipt in answer.with_block_receipt]
    counts = [len(receipt["logs"]) for receipt in receipts]
    in_block = [sum(len(receipt["logs"]) for receipt in answer.with_block_receipt) for answer in answers]
    indexes = list(chain.from_iterable(range(len(answer.with_block_receipt)) for answer in answers))
    logs = list(chain.from_iterable(receipt["logs"] for receipt in receipts))
    positions = list(chain.from_iterable(map(range, in_block)))
    try:
        hashes = _spread([receipt["transactionHash"] for receipt in receipts], counts)
        hashes = decoded_by(hashes, Field("transactionHash", values.topic, many(values.topic), False))
        address, payload = (column_of(logs, field) for field in _LOG)
        topics = _topics(logs)
        extras = _with_index(logs, positions, extras_of(logs, _KNOWN_LOG))
    except Malformed as malformed:
        raise _fault(answers, in_block, "log", malformed) from malformed
    where = [*(_spread(column, in_block) for column in place), _spread(indexes, counts), hashes, positions]
    return [*where, address, *topics, payload, extras]


def _topics(logs: Sequence[dict[str, Json]]) -> list[Values]:
    given: list[Any] = [log.get("topics") for log in logs]
    for at, topics in enumerate(given):
        if type(topics) is not list or len(topics) > MAX_TOPICS or None in topics:
            raise Malformed(at, f"field topics is no list of at most {MAX_TOPICS}")
    return [
        decoded_by([topics[n] if n < len(topics) else None for topics in given], field)
        for n, field in enumerate(_TOPICS)
    ]


def _with_index(logs: Sequence[dict[str, Json]], positions: Sequence[int], extras: Values) -> Values:
    """The extras of logs, with the index of each that is not its position."""
    given = [log.get("logIndex") for log in logs]
    if given == list(map(hex, positions)):
        return extras
    kept = list(extras)
    for at, (index, position) in enumerate(zip(given, positions, strict=True)):
        try:
            if index is not None and values.quantity(index) != position:
                kept[at] = {**(kept[at] or {}), "logIndex": index}
        except ValueError as error:
            raise Malformed(at, f"field logIndex {error}") from error
    return kept


def _spread(column: Values, counts: Sequence[int]) -> Values:
    """Each value as often as it counts."""
    return list(chain.from_iterable(map(repeat, column, counts)))


def _as_rows(columns: Sequence[Values]) -> list[Row]:
    return list(zip(*columns, strict=True))


def _fault(answers: Sequence[BlockData], counts: Sequence[int], what: str, malformed: Malformed) -> ProviderFault:
    """Names the block, and the place in it, of an object among those of all."""
    at = malformed.at
    for answer, count in zip(answers, counts, strict=True):
        if at < count:
            return ProviderFault(f"block {answer.number}: {what} {at}: {malformed}")
        at -= count
    raise AssertionError(f"there is no {what} {malformed.at}")
