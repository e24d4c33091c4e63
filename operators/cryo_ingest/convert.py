"""From a file of cryo to a table of the dataset: names, types, spelling, order. In memory a chunk at a time.

cryo spells hashes, addresses and data as we do, in lower-case hex after 0x, and 256-bit integers as digits.
Whatever a type cannot hold is an error, and never cut.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from operators.cryo_ingest.datasets import Dataset
from operators.cryo_ingest.schemas import in_cryo
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.parquet import arrow_schema


def table(path: Path, dataset: Dataset, columns: Sequence[wire.ColumnDef]) -> pa.Table:
    """The rows of `path`, sorted. Raises OperatorError `CryoFileWrong`."""
    found = pq.read_table(path)
    # NULLs are the check's to report, which names the column.
    schema = pa.schema([field.with_nullable(True) for field in arrow_schema(columns)])
    if not found.num_rows:  # whose columns cryo may have left without a type
        return schema.empty_table()
    arrays = []
    for field in schema:
        name = in_cryo(dataset, field.name)
        if name not in found.column_names:
            raise OperatorError("CryoFileWrong", f"cryo wrote no column {name!r}", retryable=False)
        try:
            arrays.append(_cast(found.column(name), dataset.all[field.name], field.type))
        except ValueError as error:  # Arrow's own is one
            raise OperatorError("CryoFileWrong", f"column {field.name!r}: {error}", retryable=False) from error
    made = pa.table(arrays, schema=schema)
    return made.sort_by([(name, "ascending") for name in dataset.sort_by])


def _cast(values: pa.ChunkedArray, kind: str, to: pa.DataType) -> pa.ChunkedArray:
    if kind == "seconds":  # a count, of which Arrow makes a time in the same unit alone
        values = pc.cast(pc.cast(values, pa.int64()), pa.timestamp("s", "UTC"))
    if kind == "hex_of_hex":
        texts = (value and bytes.fromhex(value[2:]).decode("ascii") for value in values.to_pylist())
        values = pa.chunked_array([pa.array(texts, pa.string())])
    return pc.cast(values, to)
