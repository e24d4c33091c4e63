"""Made-up rows of every type that a `where` may name, made-up conditions, and what those let through, in Python."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from datetime import UTC, datetime
from typing import Any

from traceplane_sdk.columns import FORMS, ColumnType

TYPES = {kind.value.lower(): kind for kind in ColumnType if FORMS[kind].constant is not None}
POOLS: dict[ColumnType, Sequence[Any]] = {
    ColumnType.INT32: (-(2**31), -1, 0, 7, 2**31 - 1),
    ColumnType.INT64: (-(2**63), -1, 0, 7, 2**63 - 1),
    ColumnType.FLOAT64: (-0.0, 0.0, 0.1, 1e22, -1.7976931348623157e308, 5e-324),
    ColumnType.UINT256: ("0", "7", str(2**63), str(10**77 + 1), str(2**256 - 1)),
    ColumnType.HEX: ("0x", "0x00ff", "0x5fbdb2315678afecb367f032d93f642f64180aa3"),
    ColumnType.TEXT: ("", "it's", "back\\slash", "a\nb", 'é😀"', "') OR (1=1", "%", "null", "\\'; --"),
    ColumnType.BOOL: (True, False),
    ColumnType.TIMESTAMP: (
        datetime(1, 1, 1, tzinfo=UTC),
        datetime(1969, 12, 31, 23, 59, 59, 999_999, tzinfo=UTC),
        datetime(2026, 2, 28, 23, 59, 59, tzinfo=UTC),
        datetime(9999, 12, 31, tzinfo=UTC),
    ),
}
"""Values of each type as Arrow holds them, ends and what a careless quote would change among them."""


def made_rows(chance: random.Random, count: int) -> list[dict[str, Any]]:
    """Rows of every type, NULLs among them."""
    pools = {name: (None, *POOLS[kind]) for name, kind in TYPES.items()}
    return [{"n": n, **{name: chance.choice(pool) for name, pool in pools.items()}} for n in range(count)]


def made_where(chance: random.Random) -> dict[str, list[Any]]:
    """Up to four fields with up to four constants, as a person writes them."""
    chosen = chance.sample(sorted(TYPES), chance.randint(1, 4))
    values = {name: chance.choices(POOLS[TYPES[name]], k=chance.randint(1, 4)) for name in chosen}
    return {name: [written(value) for value in found] for name, found in values.items()}


def written(value: Any) -> Any:
    """As YAML has it."""
    return value.isoformat().replace("+00:00", "Z") if isinstance(value, datetime) else value


def text(kind: str, value: Any) -> str:
    """The canonical text of a value as Arrow holds it."""
    constant = FORMS[kind].constant
    assert constant is not None
    return constant(written(value))


def canonical(given: Mapping[str, Sequence[Any]]) -> dict[str, list[str]]:
    """As the platform stores it."""
    return {name: sorted({text(TYPES[name], value) for value in values}) for name, values in given.items()}


def expected(rows: Sequence[Mapping[str, Any]], given: Mapping[str, Sequence[Any]]) -> list[int]:
    """The meaning, in Python: NULL is in no list of constants."""
    return [row["n"] for row in rows if all(written(row[name]) in values for name, values in given.items())]
