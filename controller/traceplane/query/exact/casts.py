"""The casts that a statement asks for, in its text: a mark tells them from those that DuckDB adds itself."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, NamedTuple

import duckdb

from traceplane.query.exact import bound, constants, syntax, u256

MARK = "BLOB"
"""A cast by way of it binds from any type to any, and DuckDB adds none from a number to it or back."""
_COMPARING = ("BOUND_COMPARISON", "BOUND_BETWEEN", "BOUND_OPERATOR")
_IN_TREE = {"BOUND_FUNCTION": "FUNCTION", "BOUND_CAST": "CAST"}
"""Classes of a plan's expressions, and what they are in a syntax tree."""


class Cast(NamedTuple):
    """Where, in bytes, a cast by way of another type goes in: before `end`, and in brackets from `start` on."""

    start: int | None
    end: int
    same: syntax.Same
    """Of equal casts of one query the same, where DuckDB takes one that it groups by for a column."""

    def by(self, kind: str) -> dict[int, tuple[int, bytes]]:
        """The edits that do it."""
        if self.start is None:
            return {self.end: (self.end, f"::{kind}".encode())}
        return {self.start: (self.start, b"("), self.end: (self.end, f")::{kind} ".encode())}


def asked(shadow: duckdb.DuckDBPyConnection, sql: str) -> list[Cast]:
    """The casts of `sql`, but for most of a constant, of which DuckDB makes another constant."""
    data, found = sql.encode(), []
    queries = syntax.queries(syntax.tree(shadow, sql))
    numbers = {id(query): number for number, query in enumerate(queries)}
    for query in queries:
        own = [part for part in syntax.parts(query, own=True) if part.get("class") == "CAST"]
        columns = [(column, arm) for arm in (syntax.arms(query) if own else ()) for column in arm["select_list"]]
        for part in filter(_may_be_marked, own):
            same = syntax.same(part)
            # What a UNION is ordered by is a column of an arm, and so that arm's cast.
            of = next((arm for column, arm in columns if same in syntax.Equals([syntax.same(column)])), query)
            same = same._replace(text=f"{numbers[id(of)]} {same.text}")
            found.append(_placed(data, part["query_location"], same))
    return [cast for cast in found if cast is not None]


class Marked(NamedTuple):
    """A statement with its casts by way of MARK, and the places of these in it."""

    sql: str
    places: Mapping[int, Cast]
    grown: Sequence[tuple[int, int]]
    """Where text went in, and how much."""

    def origin(self, place: int) -> int:
        """Where in the statement before is what is at `place`."""
        return place - sum(length for start, length in self.grown if start < place)

    def asks(self, cast: bound.Node) -> bool:
        """Whether a cast is to the mark, or from it. A BLOB of the statement's is none, nor one in another type."""
        mark = cast["child"] if bound.kind(cast["child"]).get("id") == MARK else cast
        return bound.is_cast(mark) and mark["return_type"]["id"] == MARK and mark["query_location"] in self.places


def marked(sql: str, casts: Sequence[Cast]) -> Marked:
    """`sql` with each of `casts` by way of MARK."""
    edits: dict[int, tuple[int, bytes]] = {}
    for cast in casts:
        edits.update(cast.by(MARK))
    places: dict[int, Cast] = {}
    grown: list[tuple[int, int]] = []
    ends, total = {cast.end: cast for cast in casts}, 0
    for start in sorted(edits):
        text = edits[start][1]
        if start in ends:
            places[start + total + text.index(b"::")] = ends[start]
        grown.append((start + total, len(text)))
        total += len(text)
    return Marked(constants.edited(sql.encode(), edits), places, grown)


def folded(expressions: Sequence[bound.Node], of: Marked) -> Iterator[Cast]:
    """The casts of which an optimizer may make a BIGNUM, such as of 1e18. By way of the mark it makes nothing."""
    for node in expressions:
        if _is_of_bignum(node):
            for part, _ in bound.expressions(node):
                place = of.places.get(part["query_location"]) if bound.kind(part).get("id") == MARK else None
                if place and bound.kind(part["child"]).get("id") != "BIGNUM":
                    yield place
                    if part is node["child"]:  # of what is below it the value is wanted
                        break


def hidden(expressions: Sequence[tuple[bound.Node, bound.Node | None]], of: Marked) -> Iterator[tuple[int, str]]:
    """Place and class of each constant expression, but for plain constants, that is compared with a BIGNUM: an
    optimizer makes one of it."""
    for node, above in expressions:
        if above and above["expression_class"] in _COMPARING and _is_of_bignum(node) and not of.asks(node):
            inside = [part for part, _ in bound.expressions(node["child"])]
            if inside[0]["expression_class"] in _IN_TREE and all(map(_is_constant, inside)):
                yield inside[0]["query_location"], _IN_TREE[inside[0]["expression_class"]]


def _is_constant(part: bound.Node) -> bool:
    return part["expression_class"] in (*_IN_TREE, "BOUND_CONSTANT") and part.get("name") not in u256.FUNCTIONS


def _is_of_bignum(node: bound.Node) -> bool:
    return bound.is_cast(node) and bound.leaves(node["return_type"]) == ["BIGNUM"]


def _may_be_marked(part: dict[str, Any]) -> bool:
    if part["child"]["class"] != "CONSTANT":
        return True
    return bool(part["child"]["value"]["type"]["id"] == "DOUBLE")


def _placed(data: bytes, place: int, same: syntax.Same) -> Cast | None:
    """The cast that DuckDB says is at `place`; None for what does not look like one, as DATE '2026-01-01'."""
    if data.startswith(b"::", place):
        return Cast(None, place, same)
    if place >= len(data) or not re.match(rb"(?:try_)?cast\b", data[place:], re.IGNORECASE):
        return None
    depth, opened = 0, None
    for start, _ in duckdb.tokenize(data[place:].decode()):
        token = data[place + start : place + start + 3]
        depth += token.startswith((b"(", b"[", b"{")) - token.startswith((b")", b"]", b"}"))
        if depth == 1 and opened is None:
            opened = place + start + 1
        elif depth == 1 and re.fullmatch(rb"as\b.", token, re.IGNORECASE | re.DOTALL):
            return Cast(opened, place + start, same)
    return None
