"""Constants that are 256-bit integers, in the text of a statement and in its plan.

DuckDB reads a whole number that no 128 bits hold as DOUBLE, so such a one is made a BIGNUM in the text. And its
JSON holds no BIGNUM: a plan with one cannot be written. So for the plan each constant becomes a text of which
DuckDB can make no number. An optimizer leaves an expression that fails as it is, so the plan shows the text, and
`number` reads it there.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping

import duckdb

from traceplane.query.exact import bound, u256

Edits = Mapping[int, tuple[int, bytes]]
"""By the place where it begins, in bytes: where what is replaced ends, and what is there instead."""

WHOLE = re.compile(r"[+-]?[0-9]+", re.ASCII)
_LARGE = re.compile(rb"[0-9][0-9_]{38,}(?![0-9A-Za-z_.])")
_CONSTANT = re.compile(rb"(-?\s*[0-9][0-9_]*)(?![0-9A-Za-z_.])|'([+-]?[0-9]+)'")
_OPAQUE = "n"
"""Before its digits it makes a constant a text of which there is no number."""


def large(sql: str) -> str:
    """`sql` with whole numbers of more than 38 digits as BIGNUM."""
    data = sql.encode()
    if not _LARGE.search(data):
        return sql
    edits = {}
    for start, kind in duckdb.tokenize(sql):
        found = _LARGE.match(data, start) if kind == duckdb.token_type.numeric_const else None
        if found:
            edits[start] = (found.end(), b"'%s'::BIGNUM" % found[0].replace(b"_", b""))
    return edited(data, edits)


def opaque(data: bytes, cast: bound.Node) -> Iterator[tuple[int, tuple[int, bytes]]]:
    """The edits that keep an optimizer from the constants below a cast to BIGNUM."""
    if bound.leaves(cast["return_type"]) != ["BIGNUM"]:
        return
    inside = [part for part, _ in bound.expressions(cast["child"])]
    if any(part.get("return_type", {}).get("id") == "BLOB" for part in inside):
        return  # by way of which an optimizer makes nothing
    for part in inside:
        place = part["query_location"] if part["expression_class"] == "BOUND_CONSTANT" else len(data)
        found = _CONSTANT.match(data, place) if place < len(data) else None
        digits = re.sub(rb"[\s_]", b"", found[1] or found[2]).decode() if found else ""
        if found and digits == _digits(part["value"].get("value")):
            yield found.start(), (found.end(), f"'{_OPAQUE}{digits}'::BIGNUM".encode())


def _digits(value: object) -> str:
    """The digits of a constant's value. 128 bits are two numbers, of which the lower has no sign."""
    if isinstance(value, dict):
        return str(int(value.get("upper", 0)) * 2**64 + int(value.get("lower", 0)))
    return str(value)


def within(around: Edits, edits: Edits) -> Edits:
    """Both, where text that goes in before what is replaced stays before it."""
    before = {start: around[start][1] for start in edits if start in around}
    return {**around, **{start: (end, before.get(start, b"") + text) for start, (end, text) in edits.items()}}


def edited(data: bytes, edits: Edits) -> str:
    """The statement `data` after `edits`."""
    parts, last = [], 0
    for start, (end, text) in sorted(edits.items()):
        parts += [data[last:start], text]
        last = end
    return b"".join([*parts, data[last:]]).decode()


def number(node: bound.Node) -> int | None:
    """The value of a constant expression of type BIGNUM in a plan; None for any other expression."""
    if bound.is_cast(node):
        return _cast(node["child"]) if node["return_type"]["id"] == "BIGNUM" and not node["try_cast"] else None
    if node.get("expression_class") != "BOUND_FUNCTION" or node["name"] not in ("+", "-"):
        return None
    terms = [term for child in node["children"] if (term := number(child)) is not None]
    if len(terms) < len(node["children"]):
        return None
    sign = -1 if node["name"] == "-" else 1
    return sign * terms[0] if len(terms) == 1 else terms[0] + sign * terms[1]


def _cast(child: bound.Node) -> int | None:
    if bound.is_cast(child):
        return _kept(child["child"]) if child["return_type"]["id"] == "BLOB" else number(child)
    text = bound.text(child)
    if text is not None and text.startswith(_OPAQUE) and WHOLE.fullmatch(text[1:]):
        return int(text[1:])
    function = u256.FUNCTIONS.get(child.get("name", ""))
    if function is None:
        return None
    wanted = u256.arity(function)
    arguments = [found for part in child["children"][:wanted] if (found := _argument(part)) is not None]
    try:
        result = function(*arguments) if len(arguments) == wanted else None
        return None if result is None else int(result)
    except ValueError:
        return None  # which the statement says when it runs


def _kept(node: bound.Node) -> int | None:
    """Of a constant that `casts` keeps from becoming a BIGNUM."""
    if node.get("expression_class") != "BOUND_CONSTANT" or node["value"]["is_null"]:
        return None
    kind, value = bound.kind(node)["id"], node["value"]["value"]
    if kind == "DOUBLE":
        return int(value) if isinstance(value, float) and value.is_integer() else None
    return int(_digits(value)) if kind in bound.WHOLES else None


def _argument(node: bound.Node) -> str | None:
    found = number(node["child"]) if bound.is_cast(node) else None
    return bound.text(node) if found is None else str(found)
