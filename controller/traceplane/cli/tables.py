"""Rows as a table: aligned columns, from which every value can be read again.

A NULL is `NULL`, or nothing where a list of things leaves a cell empty. A text that could be taken for that, that
begins or ends with a space, or that holds what a terminal would act on, is written in quotes as JSON writes it: so
`NULL` is no text, and `"NULL"` and `""` are. A text that begins with a quote is quoted itself. Nested values are
JSON.

Width is counted in cells of a terminal, of which a character of East Asia has two and a combining mark none.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Sequence
from typing import Any

from traceplane.cli import escapes

GAP = "  "
CUT = "…"


def lines(
    columns: Sequence[str], rows: Sequence[Sequence[Any]], *, null: str = "NULL", widest: int | None = None
) -> Iterator[str]:
    """The lines of a table. A cell of more than `widest` cells is cut, and ends with an ellipsis."""
    from rich.cells import cell_len

    head = [_fitted(cell(name, null), widest) for name in columns]
    body = [[_fitted(cell(value, null), widest) for value in row] for row in rows]
    widths = [max(map(cell_len, texts)) for texts in zip(head, *body, strict=True)]
    right = [_are_numbers(row[place] for row in rows) for place in range(len(columns))]
    for texts in (head, ["─" * width for width in widths], *body):
        padded = (
            " " * (width - cell_len(text)) + text if aligned else text + " " * (width - cell_len(text))
            for text, width, aligned in zip(texts, widths, right, strict=True)
        )
        yield GAP.join(padded).rstrip(" ")


def records(columns: Sequence[str], rows: Sequence[Sequence[Any]], *, null: str = "NULL") -> Iterator[str]:
    """The same as a line for each value, below a line for each row."""
    from rich.cells import cell_len

    names = [cell(name, null) for name in columns]
    width = max(map(cell_len, names), default=0)
    for number, row in enumerate(rows, 1):
        yield f"── row {number} ──"
        for name, value in zip(names, row, strict=True):
            yield f"{name}{' ' * (width - cell_len(name))}{GAP}{cell(value, null)}".rstrip(" ")


def cell(value: Any, null: str = "NULL") -> str:
    """One value on one line."""
    if value is None:
        return null
    if isinstance(value, str):
        return value if _is_plain(value, null) else escapes.json_of(json.dumps(value, ensure_ascii=False))
    return escapes.json_of(json.dumps(value, ensure_ascii=False))


def _is_plain(text: str, null: str) -> bool:
    from rich.cells import cell_len

    if text in ("", null) or text[0] in ' "' or text[-1] == " ":
        return False
    # A mark at the start would be set on what stands before the cell.
    return escapes.is_shown(text) and cell_len(text[0]) > 0


def _fitted(text: str, widest: int | None) -> str:
    from rich.cells import cell_len, set_cell_size

    if widest is None or cell_len(text) <= widest:
        return text
    return set_cell_size(text, widest - 1).rstrip(" ") + CUT


def _are_numbers(values: Iterable[Any]) -> bool:
    found = [value for value in values if value is not None]
    return bool(found) and all(isinstance(value, (int, float)) and not isinstance(value, bool) for value in found)
