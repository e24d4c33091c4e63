"""The columns of blocks, transactions and logs.

Every field that goes into a block's hash is kept, and every field of transactions and receipts, so that header
hash, transactions root and receipts root can be recomputed from the rows alone. Names follow the JSON-RPC names
of the Ethereum execution API (https://ethereum.github.io/execution-apis) in snake_case; what the header adds
per fork is nullable, since older blocks and other chains lack it:
EIP-1559 base fee, EIP-4895 withdrawals, EIP-4844 blobs, EIP-4788 beacon root, EIP-7685 requests,
EIP-2930 access list, EIP-7702 authorizations, EIP-658 receipt status (before it: a state root).
Nullable too is what some chain lacks; whether the chain at hand may is a rule (`checks.fields`).

Fields without a column, of other chains and of forks to come, are in `extra`, and a receipt's in `receipt_extra`:
an object of the fields as given, NULL where there is none.

What a sender or a genesis states may be any unsigned 64-bit number, and is UInt256: `gas_limit` and `nonce`. What
is counted (gas used, sizes, blob gas) and what must sum with ease is Int64: 2^63 is beyond what any chain can burn
in a block, and refused.

A row's key is its place in the chain, not its hash: the table itself then refuses two blocks of one height.
"""

from __future__ import annotations

from operators.chain.descriptions import DESCRIPTIONS
from operators.chain.profiles import Profile
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema, Storage

INT32, INT64, UINT256 = ColumnType.INT32, ColumnType.INT64, ColumnType.UINT256
HEX, JSON, TIMESTAMP = ColumnType.HEX, ColumnType.JSON, ColumnType.TIMESTAMP

SCOPE_COLUMN = "block_number"


def _columns(table: str, *specs: tuple[str, ColumnType] | tuple[str, ColumnType, bool]) -> tuple[Column, ...]:
    return tuple(
        Column(
            spec[0],
            spec[1],
            nullable=len(spec) == 3,
            description=DESCRIPTIONS.get(f"{table}.{spec[0]}") or DESCRIPTIONS[spec[0]],
        )
        for spec in specs
    )


_NULL = True

BLOCKS = _columns(
    "blocks",
    ("block_number", INT64),
    ("block_hash", HEX),
    ("block_timestamp", TIMESTAMP),
    ("parent_hash", HEX),
    ("sha3_uncles", HEX, _NULL),
    ("miner", HEX),
    ("state_root", HEX),
    ("transactions_root", HEX),
    ("receipts_root", HEX),
    ("logs_bloom", HEX, _NULL),
    ("difficulty", UINT256, _NULL),
    ("gas_limit", UINT256, _NULL),
    ("gas_used", INT64),
    ("extra_data", HEX, _NULL),
    ("mix_hash", HEX, _NULL),
    ("nonce", HEX, _NULL),
    ("base_fee_per_gas", UINT256, _NULL),
    ("withdrawals_root", HEX, _NULL),
    ("blob_gas_used", INT64, _NULL),
    ("excess_blob_gas", INT64, _NULL),
    ("parent_beacon_block_root", HEX, _NULL),
    ("requests_hash", HEX, _NULL),
    ("size", INT64, _NULL),
    ("transaction_count", INT32),
    ("uncles", JSON, _NULL),
    ("withdrawals", JSON, _NULL),
    ("extra", JSON, _NULL),
)

TRANSACTIONS = _columns(
    "transactions",
    ("block_number", INT64),
    ("block_hash", HEX),
    ("block_timestamp", TIMESTAMP),
    ("transaction_index", INT32),
    ("transaction_hash", HEX),
    ("type", INT32, _NULL),
    ("chain_id", INT64, _NULL),
    ("nonce", UINT256, _NULL),
    ("from_address", HEX),
    ("to_address", HEX, _NULL),
    ("value", UINT256),
    ("input", HEX),
    ("gas_limit", UINT256, _NULL),
    ("gas_price", UINT256, _NULL),
    ("max_fee_per_gas", UINT256, _NULL),
    ("max_priority_fee_per_gas", UINT256, _NULL),
    ("max_fee_per_blob_gas", UINT256, _NULL),
    ("access_list", JSON, _NULL),
    ("blob_versioned_hashes", JSON, _NULL),
    ("authorization_list", JSON, _NULL),
    ("v", UINT256, _NULL),
    ("y_parity", INT32, _NULL),
    ("r", HEX, _NULL),
    ("s", HEX, _NULL),
    ("status", INT32, _NULL),
    ("root", HEX, _NULL),
    ("gas_used", INT64),
    ("cumulative_gas_used", INT64, _NULL),
    ("effective_gas_price", UINT256, _NULL),
    ("contract_address", HEX, _NULL),
    ("logs_bloom", HEX, _NULL),
    ("log_count", INT32),
    ("blob_gas_used", INT64, _NULL),
    ("blob_gas_price", UINT256, _NULL),
    ("extra", JSON, _NULL),
    ("receipt_extra", JSON, _NULL),
)

LOGS = _columns(
    "logs",
    ("block_number", INT64),
    ("block_hash", HEX),
    ("block_timestamp", TIMESTAMP),
    ("transaction_index", INT32),
    ("transaction_hash", HEX),
    ("log_index", INT32),
    ("address", HEX),
    ("topic0", HEX, _NULL),
    ("topic1", HEX, _NULL),
    ("topic2", HEX, _NULL),
    ("topic3", HEX, _NULL),
    ("data", HEX),
    ("extra", JSON, _NULL),
)


def schema_of(output: str, profile: Profile, finality_depth: int, first_block: int) -> OutputSchema:
    """Schema of `blocks`, `transactions` or `logs` of a chain of `profile`. KeyError for another name."""
    columns, key, indexes = _TABLES[output]
    return OutputSchema(
        storage=Storage.POSTGRES,
        columns=columns,
        unique_key=key,
        scope_column=SCOPE_COLUMN,
        sort_by=key,
        indexes=indexes,
        finality_depth=finality_depth,
        first_value=first_block,
        unverified=profile.unverified,
        sparse=profile.sparse,
    )


_TABLES: dict[str, tuple[tuple[Column, ...], tuple[str, ...], tuple[tuple[str, ...], ...]]] = {
    "blocks": (BLOCKS, ("block_number",), ()),
    "transactions": (TRANSACTIONS, ("block_number", "transaction_index"), (("transaction_hash",),)),
    "logs": (LOGS, ("block_number", "log_index"), (("address", "block_number"),)),
}

OUTPUTS = tuple(_TABLES)
