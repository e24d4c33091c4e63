"""From the text of a value to a column type of the platform, as SQL.

Every format is brought to text first (`formats`), so that one rule says what fits a type, whatever file it came in.
A value fits or it does not: nothing is rounded, cut or guessed. Types that are found in the rows are the narrowest
that every value fits, in the order of `CANDIDATES`; what would lose digits as a double stays text.
"""

from __future__ import annotations

from collections.abc import Mapping

CANDIDATES = ("Bool", "Int64", "UInt256", "Float64", "Timestamp", "Hex", "Text", "Json")
"""Types that are looked for, the narrowest first."""

_WHOLE = "[+-]?[0-9]+"
_DAY = "[0-9]{4}-[0-9]{2}-[0-9]{2}([ T].*)?"
_FOUND = {
    # With a zero in front it is a code, not a number: 007.
    "Int64": "-?(0|[1-9][0-9]*)",
    "UInt256": "0|[1-9][0-9]*",
    "Float64": r"[+-]?((0|[1-9][0-9]*)(\.[0-9]*)?|\.[0-9]+)([eE][+-]?[0-9]+)?",
}
_LONG = "[+-]?[0-9]{16,}"
"""Whole numbers that a double may not hold exactly."""


def quoted(text: str) -> str:
    """`text` as a literal."""
    return "'" + text.replace("'", "''") + "'"


def name(text: str) -> str:
    """`text` as an identifier."""
    return '"' + text.replace('"', '""') + '"'


def value(kind: str, raw: str, forms: Mapping[str, str]) -> str:
    """The value of type `kind` that the text `raw` is; null where it is none."""
    trimmed = f"trim({raw})"
    if kind in ("Int32", "Int64"):
        # The cast alone would round 1.5.
        cast = "INTEGER" if kind == "Int32" else "BIGINT"
        return _where(trimmed, _WHOLE, f"TRY_CAST({trimmed} AS {cast})")
    if kind == "Float64":
        return f"TRY_CAST({trimmed} AS DOUBLE)"
    if kind == "Bool":
        return f"CASE lower({trimmed}) WHEN 'true' THEN true WHEN 'false' THEN false END"
    if kind == "Timestamp":
        return _where(trimmed, _DAY, f"TRY_CAST({trimmed} AS TIMESTAMPTZ)")
    if kind == "Hex":  # one spelling everywhere: addresses come in mixed case
        return _where(f"lower({trimmed})", forms[kind], f"lower({trimmed})")
    if kind == "UInt256":
        return _where(trimmed, forms[kind], trimmed)
    if kind == "Json":
        return f"CASE WHEN json_valid({raw}) THEN {raw} END"
    return raw


def fits(kind: str, raw: str, forms: Mapping[str, str]) -> str:
    """Whether the text `raw` is a value of `kind` beyond doubt, where nobody said what it is."""
    test = f"({value(kind, raw, forms)}) IS NOT NULL"
    if kind in _FOUND:
        test += f" AND regexp_full_match(trim({raw}), {quoted(_FOUND[kind])})"
    if kind == "Float64":
        test += f" AND NOT regexp_full_match(trim({raw}), {quoted(_LONG)})"
    if kind == "Hex":
        test += f" AND trim({raw}) <> '0x'"
    return test


def _where(text: str, pattern: str, then: str) -> str:
    return f"CASE WHEN regexp_full_match({text}, {quoted(pattern)}) THEN {then} END"
