"""Hex digits as people have them, `0x5FbD...` or `5fbd...`, beside a column of Hex: `0x`, and lower-case digits.

The two are never equal, and an answer that is empty for it looks right. So such a statement is refused, with what
to write instead. Read from the plan, which shows whether it is the column itself that is compared. How long a value
must be no type says, and so nothing is said of it.
"""

from __future__ import annotations

import re
from collections.abc import Container, Iterable, Iterator, Mapping, Sequence
from itertools import chain

from traceplane.query.exact import bound

_HEX = re.compile(r"0[xX][0-9a-fA-F]+", re.ASCII)
_BARE = re.compile(r"[0-9a-fA-F]{8,}", re.ASCII)
"""Digits without 0x: a selector has 8, an address 40, a hash 64."""
_TEXT = re.compile(r"'([^']*)'")
_EQUAL = {
    *("COMPARE_EQUAL", "COMPARE_NOTEQUAL", "COMPARE_DISTINCT_FROM", "COMPARE_NOT_DISTINCT_FROM"),
    *("COMPARE_IN", "COMPARE_NOT_IN"),
}
_SAME_COLUMNS = {"LOGICAL_FILTER", "LOGICAL_LIMIT", "LOGICAL_ORDER_BY", "LOGICAL_CROSS_PRODUCT"}
_OF_BOTH = {"INNER", "LEFT"}
_OF_LEFT = {"SEMI", "ANTI"}
"""Joins whose columns are those of both sides, or of the left one."""
_MAPS = ("projection_ids", "projection_map", "left_projection_map", "right_projection_map")
"""What says of an operator's columns that it gives some only; empty where no optimizer left one out."""
_SHOWN = 12

Column = str | tuple[str, ...]
"""The name of a column of Hex, the constants that another one is made of, or nothing."""


class NeverEqual(ValueError):
    """A text is compared with a column that never holds it. Its text speaks of the statement only."""


def concerns(sql: str) -> bool:
    """Whether there may be such a text in it."""
    return any(map(_remedy, chain(_HEX.findall(sql), _TEXT.findall(sql))))


def check(operators: Sequence[bound.Node], hexes: Mapping[str, Container[str]]) -> None:
    """Raise NeverEqual for what a plan's operators, each before those that it reads, compare with columns of Hex.
    These are `hexes`, by table."""
    known: dict[int, list[Column] | None] = {}
    for node in reversed(operators):
        below = [known.get(id(child)) for child in node["children"]]
        known[id(node)] = _columns(node, below, hexes)
        if len(below) == 1 and below[0]:
            _check_expressions({**node, "children": []}, below[0])
        if len(below) == 2:
            _check_join(node, below[0] or (), below[1] or ())
        for entry in node.get("table_filters", {}).get("filters", ()):
            if (name := node["names"][entry["key"]]) in hexes.get(_table(node), ()):
                _check_expressions(entry, [name])
                _refuse(name, _filtered(entry["value"]))


def _table(node: bound.Node) -> str:
    return str(node.get("function_data", {}).get("table"))


def _columns(
    node: bound.Node, below: Sequence[list[Column] | None], hexes: Mapping[str, Container[str]]
) -> list[Column] | None:
    """The columns that an operator gives; None where they are not known."""
    if any(node.get(key) for key in _MAPS):
        return None
    match node["type"]:
        case "LOGICAL_DUMMY_SCAN":
            return [""]
        case "LOGICAL_EXPRESSION_GET":  # VALUES
            return [_constants(column) for column in zip(*node["expressions"], strict=True)]
        case "LOGICAL_GET":
            mine, names = hexes.get(_table(node), ()), node["names"]
            places = [one["index"] for one in node["column_indexes"]]
            return [names[place] if place < len(names) and names[place] in mine else "" for place in places]
    if not below or None in below:
        return None
    columns = [part or [] for part in below]
    if node["type"] == "LOGICAL_PROJECTION":
        return [_column(part, columns[0]) for part in node["expressions"]]
    if node["type"] == "LOGICAL_UNNEST":
        return [*columns[0], *(_unnested(part) for part in node["expressions"])]
    if node["type"] == "LOGICAL_UNION":
        return [_either(sides) for sides in zip(*columns, strict=True)]
    if node["type"] in _SAME_COLUMNS or node.get("join_type") in _OF_BOTH:
        return [column for part in columns for column in part]
    return columns[0] if node.get("join_type") in _OF_LEFT else None


def _column(part: bound.Node, columns: Sequence[Column]) -> Column:
    """What an expression is of, over an operator's columns."""
    if part["type"] == "BOUND_REF":
        return columns[part["index"]] if part["index"] < len(columns) else ""
    return _constants([part])


def _constants(parts: Iterable[bound.Node]) -> tuple[str, ...]:
    """The texts among expressions."""
    return tuple(text for part in parts if (text := bound.text(part)) is not None)


def _unnested(part: bound.Node) -> tuple[str, ...]:
    """The texts of a constant list."""
    value = part.get("child", {}).get("value", {}).get("value")
    children = value.get("children", ()) if isinstance(value, dict) else ()
    return tuple(child["value"] for child in children if isinstance(child.get("value"), str))


def _either(sides: Sequence[Column]) -> Column:
    """A column of a UNION: of constants where a side is, since each of these is among its values. A side that can
    have no row is not in the plan."""
    texts = tuple(text for side in sides if isinstance(side, tuple) for text in side)
    return texts or (sides[0] if len(set(sides)) == 1 else "")


def _check_expressions(of: bound.Node, columns: Sequence[Column]) -> None:
    for part, _ in bound.expressions(of):
        if part["type"] in _EQUAL:
            sides = part["children"] if "children" in part else [part["left"], part["right"]]
            _check_sides([_column(side, columns) for side in sides])


def _check_join(node: bound.Node, left: Sequence[Column], right: Sequence[Column]) -> None:
    for condition in node.get("conditions", ()):
        if condition.get("comparison") in _EQUAL:
            _check_sides([_column(condition["left"], left), _column(condition["right"], right)])


def _check_sides(sides: Sequence[Column]) -> None:
    texts = [text for side in sides if isinstance(side, tuple) for text in side]
    for name in sides:
        if name and isinstance(name, str):
            _refuse(name, texts)


def _filtered(part: bound.Node) -> Iterator[object]:
    """What a filter of a scan compares its column with."""
    todo = [part]
    while todo:
        part = todo.pop()
        if part.get("comparison_type") in _EQUAL:
            yield part["constant"].get("value")
        yield from (value.get("value") for value in part.get("values", ()))
        todo += [*part.get("child_filters", ()), *([part["child_filter"]] if "child_filter" in part else ())]


def _refuse(name: str, texts: Iterable[object]) -> None:
    for text in texts:
        if isinstance(text, str) and (remedy := _remedy(text)):
            what, write = remedy
            shown = f"'{_shown(text)}'"
            raise NeverEqual(f"{shown} {what[0]}, and {name} {what[1]}, so that it never equals: {write}")


def _shown(text: str) -> str:
    return text if len(text) <= _SHOWN else text[: _SHOWN - 3] + "..."


def _remedy(text: str) -> tuple[tuple[str, str], str] | None:
    """Of a text that is meant as hex and is in no column of Hex: what it has and such a column has, and what to
    write."""
    upper = text != text.lower()
    if _HEX.fullmatch(text):
        found = "has upper-case digits", "has lower-case ones"
        return (found, f"write lower('{_shown(text)}')") if upper else None
    if _BARE.fullmatch(text):
        shown = f"'{_shown('0x' + text)}'"
        return ("has no 0x before its digits", "has it"), f"write {f'lower({shown})' if upper else shown}"
    if _HEX.match(text.strip()):
        return ("has characters that are no hex digits", "has none"), "correct the text"
    return None
