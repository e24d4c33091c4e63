"""Hex digits as explorers write addresses, `0x5FbD...`, beside a column of Hex, which holds lower-case ones.

The two are never equal, and an answer that is empty for it looks right. So such a statement is refused, with what
to write instead. Read from the plan, which shows whether it is the column itself that is compared.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence

from traceplane.query.exact import bound

_HEX = re.compile(r"0[xX][0-9a-fA-F]+")
_EQUAL = {
    *("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"),
    *("COMPARE_IN", "COMPARE_NOT_IN"),
}
_SAME_COLUMNS = {"LOGICAL_FILTER", "LOGICAL_LIMIT", "LOGICAL_ORDER_BY", "LOGICAL_CROSS_PRODUCT"}
_MAPS = ("projection_ids", "projection_map", "left_projection_map", "right_projection_map")
"""What says of an operator's columns that it gives some only; empty where no optimizer left one out."""
_SHOWN = 12


class NeverEqual(ValueError):
    """Upper-case digits are compared with a column of lower-case ones. Its text speaks of the statement only."""


def concerns(sql: str) -> bool:
    """Whether there may be such digits in it."""
    return any(map(_has_upper, _HEX.findall(sql)))


def check(operators: Sequence[bound.Node], hexes: Mapping[str, Container[str]]) -> None:
    """Raise NeverEqual for what a plan's operators, each before those that it reads, compare with columns of Hex.
    These are `hexes`, by table."""
    known: dict[int, list[str] | None] = {}
    for node in reversed(operators):
        below = [known.get(id(child)) for child in node["children"]]
        known[id(node)] = _columns(node, below, hexes)
        if len(below) == 1 and below[0]:
            _check_expressions({**node, "children": []}, below[0])
        for entry in node.get("table_filters", {}).get("filters", ()):
            if (name := node["names"][entry["key"]]) in hexes.get(_table(node), ()):
                _check_expressions(entry, [name])
                _refuse(name, _filtered(entry["value"]))


def _table(node: bound.Node) -> str:
    return str(node.get("function_data", {}).get("table"))


def _columns(
    node: bound.Node, below: Sequence[list[str] | None], hexes: Mapping[str, Container[str]]
) -> list[str] | None:
    """The columns that an operator gives: names of those of Hex, nothing for others; None where it is not known."""
    if any(node.get(key) for key in _MAPS):
        return None
    if node["type"] == "LOGICAL_GET":
        mine = hexes.get(_table(node), ())
        names = [
            node["names"][one["index"]] if one["index"] < len(node["names"]) else ""
            for one in node["column_indexes"]
        ]
        return [name if name in mine else "" for name in names]
    if node["type"] in _SAME_COLUMNS or node.get("join_type") in ("INNER", "LEFT"):
        return None if None in below else [name for part in below for name in part or ()]
    if node["type"] == "LOGICAL_PROJECTION" and below[0] is not None:
        return [_name(part, below[0]) for part in node["expressions"]]
    return None


def _check_expressions(of: bound.Node, columns: Sequence[str]) -> None:
    for part, _ in bound.expressions(of):
        if part["type"] in _EQUAL:
            sides = part["children"] if "children" in part else [part["left"], part["right"]]
            for name in filter(None, (_name(side, columns) for side in sides)):
                _refuse(name, [text for side in sides if (text := bound.text(side)) is not None])


def _filtered(part: bound.Node) -> Iterator[object]:
    """What a filter of a scan compares its column with."""
    todo = [part]
    while todo:
        part = todo.pop()
        if part.get("comparison_type") in _EQUAL:
            yield part["constant"].get("value")
        yield from (value.get("value") for value in part.get("values", ()))
        todo += [*part.get("child_filters", ()), *([part["child_filter"]] if "child_filter" in part else ())]


def _name(part: bound.Node, columns: Sequence[str]) -> str:
    return columns[part["index"]] if part["type"] == "BOUND_REF" and part["index"] < len(columns) else ""


def _refuse(name: str, texts: Iterable[object]) -> None:
    for text in texts:
        if isinstance(text, str) and _HEX.fullmatch(text) and _has_upper(text):
            shown = f"'{text if len(text) <= _SHOWN else text[: _SHOWN - 3] + '...'}'"
            raise NeverEqual(
                f"{shown} has upper-case digits, and {name} has lower-case ones, so that it never equals: write "
                f"lower({shown})"
            )


def _has_upper(text: str) -> bool:
    return text != text.lower()
