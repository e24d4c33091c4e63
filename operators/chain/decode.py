"""From JSON-RPC objects to rows, in the column order of `schemas`; one function per object. Pure.

A field that is missing where a column may not be null, or is no hex, is the provider's fault and raises
`ProviderFault`: a wrong row must not be stored.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

from operators.chain.faults import ProviderFault
from operators.chain.provider import Json
from operators.chain.schemas import BLOCKS, LOGS, TRANSACTIONS
from operators.chain.values import data, int64, quantity, word
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
_DERIVED = frozenset({"transaction_count", "log_count", *(f"topic{n}" for n in range(MAX_TOPICS))})
"""Columns that no field holds: counts of lists, members of one."""


_DECODERS: dict[ColumnType, Callable[[Any], Any]] = {
    ColumnType.INT32: quantity,
    ColumnType.INT64: int64,
    ColumnType.UINT256: quantity,
    ColumnType.HEX: data,
    ColumnType.TIMESTAMP: quantity,  # whole seconds since 1970
    ColumnType.JSON: lambda value: value,
}
_WORDS = frozenset({"r", "s"})
"""Hex columns that JSON-RPC gives as quantities."""

_Field = tuple[str, Callable[[Any], Any], bool]
"""JSON-RPC name, decoder, whether null is allowed."""


def _camel(name: str) -> str:
    head, *rest = name.split("_")
    return head + "".join(part.capitalize() for part in rest)


def _fields(columns: Sequence[Column], renamed: dict[str, str]) -> list[_Field]:
    fields = []
    for column in columns:
        decode = word if column.name in _WORDS else _DECODERS[column.type]
        fields.append((renamed.get(column.name, _camel(column.name)), decode, column.nullable))
    return fields


_BLOCK = _fields([c for c in BLOCKS if c.name not in _DERIVED], _BLOCK_FIELDS)
_BLOCK_COUNT_AT = [c.name for c in BLOCKS].index("transaction_count")
_TX = _fields([c for c in TRANSACTIONS if c.name not in _RECEIPT_COLUMNS | _DERIVED], _TX_FIELDS)
_RECEIPT = _fields([c for c in TRANSACTIONS if c.name in _RECEIPT_COLUMNS], {})
_LOG = _fields([c for c in LOGS if c.name not in _DERIVED], {})
_LOG_COUNT_FROM_END = len(TRANSACTIONS) - [c.name for c in TRANSACTIONS].index("log_count") - 1


def block_row(block: Json) -> Row:
    """The row of `blocks` for an eth_getBlockByNumber object."""
    values = _decode(block, _BLOCK)
    values.insert(_BLOCK_COUNT_AT, len(block["transactions"]))
    return tuple(values)


def transaction_row(block: Json, transaction: Json, receipt: Json) -> Row:
    """The row of `transactions` for a transaction object of `block` and its receipt."""
    values = _decode(transaction | {"blockTimestamp": block["timestamp"]}, _TX)
    outcome = _decode(receipt, _RECEIPT)
    outcome.insert(len(outcome) - _LOG_COUNT_FROM_END, len(receipt["logs"]))
    return (*values, *outcome)


def log_row(block: Json, log: Json) -> Row:
    """The row of `logs` for one log of a receipt."""
    values = _decode(log | {"blockTimestamp": block["timestamp"]}, _LOG)
    topics = [data(topic) for topic in log["topics"]]
    if len(topics) > MAX_TOPICS:
        raise ProviderFault(f"a log of block {block['number']} has {len(topics)} topics")
    values[-1:-1] = topics + [None] * (MAX_TOPICS - len(topics))  # the columns before the last, `data`
    return tuple(values)


def _decode(source: Json, fields: Sequence[_Field]) -> list[Any]:
    values: list[Any] = []
    for name, decode, nullable in fields:
        value = source.get(name)
        if value is None:
            if not nullable:
                raise ProviderFault(f"a required field is missing: {name}")
            values.append(None)
            continue
        try:
            values.append(decode(value))
        except (ValueError, TypeError, AttributeError) as error:
            raise ProviderFault(f"field {name} is malformed: {error}") from error
    return values
