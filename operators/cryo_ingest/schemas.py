"""From cryo's columns to ours: the output of an extraction, and how each column is named and typed.

Names are cryo's, without the suffix that it gives to a spelling of a 256-bit integer. Unsigned integers are Int64
where they count something, and UInt256 where a sender states them: those may be any 64-bit number. Only what rows
are known by is never null: cryo leaves out whatever a chain or a node lacks.
"""

from __future__ import annotations

from collections.abc import Sequence

from operators.chain.descriptions import DESCRIPTIONS
from operators.cryo_ingest.config import CryoIngestConfig
from operators.cryo_ingest.datasets import Dataset
from traceplane_sdk.columns import ColumnType
from traceplane_sdk.operator import Column, OutputSchema, Storage

SCOPE_COLUMN = "block_number"
_TYPES = {
    "uint32": ColumnType.INT64,
    "uint64": ColumnType.INT64,
    "binary": ColumnType.HEX,
    "hex_of_hex": ColumnType.HEX,
    "string": ColumnType.TEXT,
    "bool": ColumnType.BOOL,
    "u256": ColumnType.UINT256,
    "digits": ColumnType.UINT256,
    "seconds": ColumnType.TIMESTAMP,
}
_STATED = frozenset(
    {
        "nonce",
        "gas_limit",
        "gas_price",
        "base_fee_per_gas",
        "max_fee_per_gas",
        "max_priority_fee_per_gas",
        "from_value",
        "to_value",
    }
)
"""Of type uint64, and any number of that type."""


def selected(dataset: Dataset, columns: Sequence[str] | None) -> list[str]:
    """The columns of an output, in the order of the dataset."""
    wanted = {*(dataset.columns if columns is None else columns), *dataset.sort_by}
    return [name for name in dataset.all if name in wanted]


def output_schema(config: CryoIngestConfig) -> OutputSchema:
    """Cold, sorted so that readers can skip."""
    dataset = config.known
    return OutputSchema(
        storage=Storage.S3,
        columns=tuple(_column(config.dataset, dataset, name) for name in selected(dataset, config.columns)),
        unique_key=dataset.sort_by if dataset.key else (),
        scope_column=SCOPE_COLUMN,
        sort_by=dataset.sort_by,
    )


def in_cryo(dataset: Dataset, name: str) -> str:
    """Name that the column has in cryo's files."""
    return f"{name}_string" if dataset.all[name] == "u256" else name


def _column(name_of_dataset: str, dataset: Dataset, name: str) -> Column:
    kind = dataset.all[name]
    column_type = ColumnType.UINT256 if kind == "uint64" and name in _STATED else _TYPES[kind]
    required = name == SCOPE_COLUMN or (dataset.key and name in dataset.sort_by)
    description = DESCRIPTIONS.get(f"{name_of_dataset}.{name}", "")
    if name_of_dataset in ("blocks", "transactions", "logs"):
        description = description or DESCRIPTIONS.get(name, "")
    return Column(name, column_type, nullable=not required, description=description)
