"""What a statement reads, from DuckDB's own plan of it over empty tables of the same shape.

The filters of its scans go to the broker, which links only the files they can match, and to Postgres, which sends
only the rows they can match. A filter that is taken away is as good as one that was never there: more is read, and
DuckDB filters what comes. So filters of one relation are what any of its scans needs, whatever plan runs later.

The plan is DuckDB's own JSON of it (`bound`), in which a constant cannot be taken for anything else.
"""

from __future__ import annotations

import datetime
import re
from collections.abc import Callable, Collection, Container, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import duckdb

from traceplane.query.exact import bound, checking, constants, spelling

Tree = list[Any]
"""A condition on one row: `[operator, ["field", name], constant]`, `["in", ["field", name], [constant, ...]]`,
`["null" or "valid", ["field", name], None]`, `["and" or "or", tree, tree]`. A constant is `["scalar", value]`,
`["instant", ISO 8601]` or `["whole", digits]`."""

_COMPARE = {
    "COMPARE_EQUAL": "=",
    "COMPARE_NOTEQUAL": "!=",
    "COMPARE_LESSTHAN": "<",
    "COMPARE_LESSTHANOREQUALTO": "<=",
    "COMPARE_GREATERTHAN": ">",
    "COMPARE_GREATERTHANOREQUALTO": ">=",
}
_MIRRORED = {
    "COMPARE_LESSTHAN": "COMPARE_GREATERTHAN",
    "COMPARE_LESSTHANOREQUALTO": "COMPARE_GREATERTHANOREQUALTO",
    "COMPARE_GREATERTHAN": "COMPARE_LESSTHAN",
    "COMPARE_GREATERTHANOREQUALTO": "COMPARE_LESSTHANOREQUALTO",
}
"""With the sides exchanged."""
_SCALARS = {"BOOLEAN", "INTEGER", "BIGINT", "VARCHAR"}
_DISTINCT_FROM = re.compile(r"\bdistinct(?:\s|/\*.*?\*/|--[^\n]*\n)+from\b", re.IGNORECASE | re.DOTALL)
_EPOCH = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
_KEEP_ROWS = {"LOGICAL_PROJECTION", "LOGICAL_FILTER", "LOGICAL_LIMIT", "LOGICAL_ORDER_BY"}
"""Operators of one child that give no more rows than it does."""


@dataclass(frozen=True, slots=True)
class Plan:
    """How a statement runs: as `sql`, whose columns are called `names` where those are not its own. `scans` are
    (relation, filter) for each scan, a filter of None letting every row through."""

    sql: str
    scans: Sequence[tuple[int, Tree | None]] = ()
    joins: bool = True
    """Whether a join may bring several values, so that DuckDB may want to filter a scan by them while it runs."""
    names: Sequence[str] = ()
    distinct: bool = False
    """Whether a file may be skipped that has rows for the statement, see `views`."""

    def filter_of(self, relation: int) -> Tree | None:
        """The rows that any scan of `relation` needs."""
        filters = [tree for number, tree in self.scans if number == relation]
        return joined("or", filters) if filters else None


def of(
    shadow: duckdb.DuckDBPyConnection,
    sql: str,
    tables: Mapping[str, int],
    kinds: Container[str] = (),
    hexes: Sequence[Collection[str]] = (),
) -> Plan:
    """The plan of `sql`, in which `tables` of `shadow`, with columns of types `kinds`, stand for relations, whose
    columns of Hex are `hexes`. Raises duckdb.Error where DuckDB would not run it, Inexact where it would round,
    NeverEqual for a text that no column of Hex holds."""
    run: str = sql
    names: Sequence[str] = ()
    operators = None if checking.makes(sql) else bound.operators(shadow, sql)
    if operators is None or ("BIGNUM" in kinds and checking.computes(operators)):
        run, planned, named = checking.exact(shadow, sql, kinds)
        names = shadow.sql(named).columns if run != named else ()
        operators = bound.operators(shadow, planned)
        if operators is None:
            bound.explain(
                shadow, sql
            )  # wrong, and this says why; or of a form that has no plan: everything is read
    scans = [scan for node in operators or () if (scan := _scan(node, tables)) is not None]
    if any(hexes) and spelling.concerns(sql):
        spelling.check(operators or (), {table: hexes[number] for table, number in tables.items()})
    joins = operators is None or any(map(_joins, operators))
    return Plan(run, scans, joins, names, _DISTINCT_FROM.search(sql) is not None)


def _joins(node: dict[str, Any]) -> bool:
    """Whether a join may bring several values."""
    return "JOIN" in node["type"] and not any(map(_single, node["children"]))


def joined(word: str, parts: Sequence[Tree | None]) -> Tree | None:
    """The `and` or the `or` of parts, of which None lets every row through; a tree as flat as can be."""
    if word == "or" and None in parts:
        return None
    left = [part for part in parts if part is not None]
    while len(left) > 1:
        pairs = [left[place : place + 2] for place in range(0, len(left), 2)]
        left = [[word, *pair] if len(pair) == 2 else pair[0] for pair in pairs]
    return left[0] if left else None


def _single(node: dict[str, Any]) -> bool:
    """Whether an operator gives one row at most: an aggregate of everything, whatever is computed of it."""
    while node["type"] in _KEEP_ROWS and len(node["children"]) == 1:
        (node,) = node["children"]
    ungrouped = not node.get("groups") and len(node.get("grouping_sets", [])) <= 1
    return node["type"] == "LOGICAL_AGGREGATE_AND_GROUP_BY" and ungrouped


def _scan(node: dict[str, Any], tables: Mapping[str, int]) -> tuple[int, Tree | None] | None:
    table = node.get("function_data", {}).get("table")
    if node["type"] != "LOGICAL_GET" or table not in tables:
        return None
    names, filters = node["names"], node.get("table_filters", {}).get("filters", [])
    trees = [_filter(entry["value"], ["field", names[entry["key"]]]) for entry in filters]
    return tables[table], joined("and", trees)


def _filter(part: dict[str, Any], field: Tree) -> Tree | None:
    """The tree of one column's filter, or of as much of it as there is a tree for."""
    match part["filter_type"]:
        case "CONSTANT_COMPARISON":
            return _comparison(part["comparison_type"], field, part["constant"])
        case "CONJUNCTION_AND" | "CONJUNCTION_OR":
            return _conjunction(part["filter_type"], part["child_filters"], lambda child: _filter(child, field))
        case "OPTIONAL_FILTER":
            return _filter(part["child_filter"], field) if "child_filter" in part else None
        case "IN_FILTER":
            constants = [_constant(value) for value in part["values"]]
            return None if None in constants else ["in", field, constants]
        case "EXPRESSION_FILTER":
            return _expression(part["expr"], field)
    return None  # one that is known only when the statement runs


def _expression(part: dict[str, Any], field: Tree) -> Tree | None:
    """The tree of a condition on one column, which is the only reference in it."""
    kind, children = part["type"], part.get("children", [])
    if kind in ("CONJUNCTION_AND", "CONJUNCTION_OR"):
        return _conjunction(kind, children, lambda child: _expression(child, field))
    if kind in ("OPERATOR_IS_NULL", "OPERATOR_IS_NOT_NULL") and children[0]["type"] == "BOUND_REF":
        return ["null" if kind == "OPERATOR_IS_NULL" else "valid", field, None]
    if kind in _COMPARE:
        left, right = part["left"], part["right"]
        if left["type"] != "BOUND_REF":
            kind, left, right = _MIRRORED.get(kind, kind), right, left
        constant = _expression_constant(right) if left["type"] == "BOUND_REF" else None
        return [_COMPARE[kind], field, constant] if constant is not None else None
    if kind == "COMPARE_IN" and children[0]["type"] == "BOUND_REF":
        constants_in = [_expression_constant(child) for child in children[1:]]
        return None if None in constants_in else ["in", field, constants_in]
    if kind == "BOUND_REF":
        return ["=", field, ["scalar", True]]
    return None


def _expression_constant(part: dict[str, Any]) -> Tree | None:
    if part["type"] == "VALUE_CONSTANT":
        return _constant(part["value"])
    found = constants.number(part)
    return None if found is None else ["whole", str(found)]


def _conjunction(
    kind: str, children: list[dict[str, Any]], tree: Callable[[dict[str, Any]], Tree | None]
) -> Tree | None:
    return joined("and" if kind == "CONJUNCTION_AND" else "or", [tree(child) for child in children])


def _comparison(kind: str, field: Tree, value: dict[str, Any]) -> Tree | None:
    constant = _constant(value)
    return [_COMPARE[kind], field, constant] if kind in _COMPARE and constant is not None else None


def _constant(value: dict[str, Any]) -> Tree | None:
    """A constant; None for NULL, and for types that the broker does not translate."""
    kind = value["type"]["id"]
    if value["is_null"]:
        return None
    if kind in _SCALARS:
        return ["scalar", value["value"]]
    if kind != "TIMESTAMP WITH TIME ZONE":
        return None
    try:
        return ["instant", (_EPOCH + datetime.timedelta(microseconds=value["value"])).isoformat()]
    except OverflowError:
        return None  # a time that Python cannot hold
