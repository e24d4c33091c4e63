"""What cryo can extract: every dataset with its columns as cryo 0.3 names and types them (`cryo help DATASET`).

A test compares this table with what the installed cryo says of itself. Types are cryo's own but for four:
`u256` is a 256-bit integer, which cryo spells as digits in a column named `..._string`; `digits` is one that it
spells as digits under its own name; `seconds` is a time; `hex_of_hex` are bytes that it spells as the bytes of
their hex.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from types import MappingProxyType


@dataclass(frozen=True, slots=True)
class Dataset:
    """One dataset. `columns` and `more` map a column to its type: cryo's default ones, and the others it has.

    `sort_by`: the order of rows. `key`: whether the columns of that order identify a row.
    `needs`, `takes`: parameters that must and that may be given.
    """

    columns: Mapping[str, str]
    more: Mapping[str, str]
    sort_by: tuple[str, ...]
    key: bool
    needs: tuple[str, ...]
    takes: tuple[str, ...]

    @property
    def all(self) -> dict[str, str]:
        """Every column."""
        return {**self.columns, **self.more}


def _typed(columns: str) -> Mapping[str, str]:
    """`type: name name; type: name` as a mapping."""
    groups = (group.split(":") for group in columns.split(";") if group.strip())
    return {name: kind.strip() for kind, names in groups for name in names.split()}


def _dataset(
    columns: str, sort_by: str, *, more: str = "", key: bool = False, needs: str = "", takes: str = ""
) -> Dataset:
    return Dataset(
        _typed(columns), _typed(more), tuple(sort_by.split()), key, tuple(needs.split()), tuple(takes.split())
    )


_BLOCK = "uint32: block_number; uint64: chain_id;"
_TX = f"{_BLOCK} uint32: transaction_index; binary: transaction_hash;"
_LOG = f"{_TX} uint32: log_index;"
_GETH = f"{_BLOCK} uint64: transaction_index; binary: transaction_hash;"
_IN_TX = "block_number transaction_index"
_ACTION = """
    binary: action_from action_to; digits: action_value; uint32: action_gas; binary: action_input;
    string: action_call_type; binary: action_init; string: action_reward_type action_type;
    uint32: result_gas_used; binary: result_output result_code result_address; string: trace_address;
    uint32: subtraces; string: error;
"""

DATASETS: Mapping[str, Dataset] = MappingProxyType(
    {
        "address_appearances": _dataset(
            f"{_BLOCK} binary: transaction_hash address; string: relationship",
            "block_number transaction_hash address relationship",
            more="binary: block_hash",
        ),
        "balance_diffs": _dataset(f"{_TX} binary: address; u256: from_value to_value", f"{_IN_TX} address"),
        "balance_reads": _dataset(f"{_TX} binary: address; u256: balance", f"{_IN_TX} address"),
        "balances": _dataset(
            f"{_BLOCK} binary: address; u256: balance", "block_number address", key=True, needs="address"
        ),
        "blocks": _dataset(
            f"{_BLOCK} binary: block_hash; seconds: timestamp; binary: author extra_data;"
            "uint64: gas_used base_fee_per_gas",
            "block_number",
            more="binary: parent_hash state_root transactions_root receipts_root logs_bloom;"
            "u256: total_difficulty; uint32: size",
            key=True,
        ),
        "code_diffs": _dataset(f"{_TX} binary: address from_value to_value", f"{_IN_TX} address"),
        "code_reads": _dataset(f"{_TX} binary: contract_address; hex_of_hex: code", f"{_IN_TX} contract_address"),
        "codes": _dataset(f"{_BLOCK} binary: address code", "block_number address", key=True, needs="address"),
        "contracts": _dataset(
            f"{_BLOCK} uint32: create_index; binary: block_hash transaction_hash contract_address deployer factory"
            " init_code code init_code_hash code_hash",
            "block_number create_index",
        ),
        "erc20_balances": _dataset(
            f"{_BLOCK} binary: erc20 address; u256: balance",
            "block_number erc20 address",
            key=True,
            needs="contract address",
        ),
        "erc20_metadata": _dataset(
            f"{_BLOCK} binary: erc20; string: name symbol; uint32: decimals",
            "block_number erc20",
            key=True,
            needs="address",
        ),
        "erc20_supplies": _dataset(
            f"{_BLOCK} binary: erc20; u256: total_supply", "block_number erc20", key=True, needs="address"
        ),
        "erc20_transfers": _dataset(
            f"{_LOG} binary: erc20 from_address to_address; u256: value",
            "block_number log_index",
            more="binary: block_hash",
            key=True,
            takes="address topic0 topic1 topic2 from_address to_address",
        ),
        "erc721_metadata": _dataset(
            f"{_BLOCK} binary: erc721; string: name symbol", "block_number erc721", key=True, needs="address"
        ),
        "erc721_transfers": _dataset(
            f"{_LOG} binary: erc20 from_address to_address; u256: token_id",
            "block_number log_index",
            more="binary: block_hash",
            key=True,
            takes="address from_address to_address",
        ),
        "eth_calls": _dataset(
            f"{_BLOCK} binary: contract_address call_data output_data",
            "block_number contract_address call_data",
            more="binary: call_data_hash output_data_hash",
            key=True,
            needs="contract call_data",
        ),
        "four_byte_counts": _dataset(f"{_TX} binary: signature; uint64: size count", f"{_IN_TX} signature size"),
        "geth_calls": _dataset(
            f"{_TX} string: typ trace_address error; binary: from_address to_address input output;"
            "u256: value gas gas_used",
            f"{_IN_TX} trace_address",
        ),
        "geth_code_diffs": _dataset(f"{_GETH} binary: address from_value to_value", f"{_IN_TX} address"),
        "geth_balance_diffs": _dataset(f"{_GETH} binary: address; u256: from_value to_value", f"{_IN_TX} address"),
        "geth_storage_diffs": _dataset(
            f"{_GETH} binary: address slot from_value to_value", f"{_IN_TX} address slot"
        ),
        "geth_nonce_diffs": _dataset(f"{_GETH} binary: address; u256: from_value to_value", f"{_IN_TX} address"),
        "geth_opcodes": _dataset(
            f"{_TX} string: trace_address error op; uint64: depth gas gas_cost pc refund_counter;"
            "binary: return_data",
            _IN_TX,
            more="string: memory stack storage",
        ),
        "javascript_traces": _dataset(f"{_TX} string: output", _IN_TX, needs="js_tracer"),
        "logs": _dataset(
            f"{_LOG} binary: address topic0 topic1 topic2 topic3 data",
            "block_number log_index",
            more="binary: block_hash",
            key=True,
            takes="address topic0 topic1 topic2 topic3",
        ),
        "native_transfers": _dataset(
            f"{_TX} binary: block_hash; uint32: transfer_index; binary: from_address to_address; u256: value",
            f"{_IN_TX} transfer_index",
            takes="from_address to_address",
        ),
        "nonce_diffs": _dataset(f"{_TX} binary: address; uint64: from_value to_value", f"{_IN_TX} address"),
        "nonce_reads": _dataset(f"{_TX} binary: address; uint64: nonce", f"{_IN_TX} address"),
        "nonces": _dataset(
            f"{_BLOCK} binary: address; uint64: nonce", "block_number address", key=True, needs="address"
        ),
        "slots": _dataset(
            f"{_BLOCK} binary: address slot value", "block_number address slot", key=True, needs="address slot"
        ),
        "storage_diffs": _dataset(f"{_TX} binary: address slot from_value to_value", f"{_IN_TX} address slot"),
        "storage_reads": _dataset(f"{_TX} binary: contract_address slot value", f"{_IN_TX} contract_address slot"),
        "traces": _dataset(
            f"{_ACTION} {_TX} binary: block_hash", f"{_IN_TX} trace_address", takes="from_address to_address"
        ),
        "trace_calls": _dataset(
            f"{_ACTION} {_BLOCK} uint32: transaction_index; binary: tx_to_address tx_call_data",
            f"{_IN_TX} trace_address",
            needs="contract call_data",
        ),
        "transactions": _dataset(
            f"{_GETH} uint64: nonce; binary: from_address to_address; u256: value; binary: input;"
            "uint64: gas_limit gas_used gas_price; uint32: transaction_type;"
            "uint64: max_priority_fee_per_gas max_fee_per_gas; bool: success",
            _IN_TX,
            more="seconds: timestamp; binary: block_hash",
            key=True,
            takes="from_address to_address",
        ),
        "vm_traces": _dataset(
            f"{_BLOCK} uint32: transaction_index; uint64: pc cost used; string: op",
            f"{_IN_TX} used",
            more="binary: transaction_hash push; uint32: mem_off; binary: mem_data storage_key storage_val",
        ),
    }
)
