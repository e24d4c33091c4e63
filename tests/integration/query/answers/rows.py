"""A small chain with the schemas that the follower writes: as hot rows, as cold files, across the seam, and plain.

Values are few, so that made-up statements find some: a handful of addresses, topics that repeat, NULL wherever a
column may be NULL. Columns are filled by their names and types, so that a schema may grow.
"""

from __future__ import annotations

import datetime
import io
import json
import random
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from operators.chain import schemas
from operators.chain.profiles import PROFILES
from tests.integration.query.world import World
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.operator import Column

BLOCKS = 240
SEAM = 120
"""In the relations across the seam, blocks below it are cold. Their hot rows are there still, but for the first."""
PARTITION = 40
TIERS = {"hot_": "hot rows only", "cold_": "files only", "": "across the seam"}
"""Prefixes of a relation's name."""
SECONDS = 12
_GENESIS = datetime.datetime(2026, 1, 1, tzinfo=datetime.UTC)
_POOL = 12
"""Different values of a column of hex."""
_ENDS = (0, 1, 53, 63, 64, 127, 128, 255, 256)
"""Powers of two where a number may be taken for another."""


def chain(seed: int) -> dict[str, pa.Table]:
    """All rows of `blocks`, `transactions` and `logs`, as Arrow."""
    source = random.Random(seed)
    found: dict[str, list[dict[str, Any]]] = {name: [] for name in schemas.OUTPUTS}
    for number in range(BLOCKS):
        block = {
            "block_number": number,
            "block_hash": _hash("block", number),
            "block_timestamp": _GENESIS + datetime.timedelta(seconds=number * SECONDS),
        }
        count = source.randrange(5)
        found["blocks"].append({**block, "transaction_count": count})
        log_index = 0
        for index in range(count):
            transaction = {**block, "transaction_index": index, "transaction_hash": _hash("tx", number, index)}
            logs = source.randrange(4)
            found["transactions"].append({**transaction, "log_count": logs})
            for _ in range(logs):
                found["logs"].append({**transaction, "log_index": log_index})
                log_index += 1
    return {name: _table(name, rows, source) for name, rows in found.items()}


def columns_of(name: str) -> tuple[Column, ...]:
    """The columns of `blocks`, `transactions` or `logs`."""
    return schemas.schema_of(name, PROFILES["Ethereum"], 0, 0).columns


def fill(world: World, tables: dict[str, pa.Table]) -> None:
    """Publish every table three times: all hot, all cold, and federated."""
    for name, table in tables.items():
        hot, cold, near, far = world.publish(
            (f"follow-{name}", "Postgres", f"hot-{name}"),
            (f"compact-{name}", "S3", f"cold-{name}"),
            (f"near-{name}", "Postgres", f"near-{name}"),
            (f"far-{name}", "S3", f"far-{name}"),
            table=name,
        )
        world.policy(
            name, "Federated", federation={"hot": f"near-{name}", "cold": f"far-{name}", "column": "block_number"}
        )
        _follow(world, hot.hex, name, table)
        _follow(world, near.hex, name, table)
        for first in range(0, BLOCKS, PARTITION):
            last = first + PARTITION - 1
            body = _parquet(table, first, last)
            location, files, size = world.write_cold(cold, first, last, body)
            world.commit_partition(cold, first, last, location, files, size)
            if last < SEAM:
                world.compact(near, far, first, last, body)
        world.forget(near, 0, PARTITION - 1)


def _table(name: str, rows: list[dict[str, Any]], source: random.Random) -> pa.Table:
    columns = columns_of(name)
    for row in rows:
        for column in columns:
            if column.name not in row:
                row[column.name] = _value(column, source)
    fields = [pa.field(c.name, _arrow(c.type)) for c in columns]
    return pa.Table.from_pylist(rows, pa.schema(fields))


def _value(column: Column, source: random.Random) -> Any:
    if column.nullable and source.random() < 0.3:
        return None
    chosen = source.randrange(_POOL)
    match column.type:
        case ColumnType.HEX:
            return "0x" if chosen == 0 else _hash(column.name.rstrip("0123"), chosen)
        case ColumnType.INT32:
            return chosen % 4
        case ColumnType.INT64:
            return 21_000 * chosen + source.randrange(3)
        case ColumnType.UINT256:
            return str(_large(chosen, source))
        case ColumnType.JSON:
            return json.dumps([_hash("item", n) for n in range(chosen % 3)])  # as jsonb writes it
        case ColumnType.TIMESTAMP:
            return _GENESIS + datetime.timedelta(seconds=chosen)
        case ColumnType.BOOL:
            return chosen % 2 == 0
        case ColumnType.FLOAT64:
            return chosen / 4
        case ColumnType.TEXT:
            return f"text {chosen}"


def _large(chosen: int, source: random.Random) -> int:
    """Of every length, and about where a type of fewer bits ends."""
    if chosen < len(_ENDS):
        return min(2**256 - 1, max(0, 2 ** _ENDS[chosen] + source.randrange(-2, 3)))
    return int(10**chosen * source.randrange(1, 2**40))


def _hash(*parts: Any) -> str:
    return f"0x{random.Random(repr(parts)).getrandbits(160):040x}"


def _arrow(kind: ColumnType) -> pa.DataType:
    factory, *arguments = FORMS[kind].arrow
    return getattr(pa, factory)(*arguments)


def _follow(world: World, version: str, name: str, table: pa.Table) -> None:
    names = ", ".join(f'"{column}"' for column in table.column_names)
    kinds = [column.type for column in columns_of(name)]
    with world.data.cursor().copy(f"COPY hot.d_{version} ({names}) FROM STDIN") as copy:
        for row in zip(*(column.to_pylist() for column in table.columns), strict=True):
            copy.write_row([_copied(kind, value) for kind, value in zip(kinds, row, strict=True)])


def _copied(kind: ColumnType, value: Any) -> Any:
    return int(value) if kind is ColumnType.UINT256 and value is not None else value


def _parquet(table: pa.Table, first: int, last: int) -> bytes:
    numbers = table["block_number"].to_pylist()
    part = table.filter(pa.array([first <= number <= last for number in numbers]))
    out = io.BytesIO()
    pq.write_table(part, out, compression="zstd", row_group_size=64)
    return out.getvalue()
