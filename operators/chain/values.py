"""From the hex of JSON-RPC to values. Pure.

Quantities are hex integers without padding, data is even-length hex (Ethereum JSON-RPC, "Hex value encoding").
Each function raises ValueError, TypeError or AttributeError for what is none.
"""

from __future__ import annotations

_INT64_MAX = 2**63 - 1


def quantity(value: str) -> int:
    """An integer of any width."""
    return int(value, 16)


def int64(value: str) -> int:
    """An integer that fits Postgres's bigint."""
    number = int(value, 16)
    if number > _INT64_MAX:
        raise ValueError(f"{value} does not fit 64 bits")
    return number


def data(value: str) -> str:
    """Bytes, as lower-case hex: the one spelling that equality in SQL can rely on."""
    if not value.startswith("0x"):
        raise ValueError("not hex")
    return value.lower()


def word(value: str) -> str:
    """A 256-bit quantity as 32 bytes of hex: providers drop leading zeros of signatures."""
    return f"0x{int(value, 16):064x}"
