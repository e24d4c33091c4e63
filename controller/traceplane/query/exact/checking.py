"""256-bit integers as numbers: what DuckDB computes exactly of a statement runs, what it would round is refused.

A `BIGNUM` of DuckDB compares, adds and sums exactly. Elsewhere DuckDB casts it to DOUBLE without a word, so that
`value / 3` is rounded. The plan as its binder makes it shows each such cast. One that the statement asks for is
allowed; any other is refused with what to write instead, but for operators that an exact function can stand for
(`operators`). Casts that are asked for and that DuckDB lacks, or has wrong, go by way of text.
"""

from __future__ import annotations

import contextlib
import json
import re
from collections.abc import Container, Mapping, Sequence
from typing import NamedTuple

import duckdb

from traceplane.query.exact import bound, casts, constants, operators, syntax, u256


class Inexact(ValueError):
    """DuckDB would round a 256-bit integer. Its text speaks of the statement only."""


class Checked(NamedTuple):
    """`run` is the statement to run, its columns called as those of `named`. `planned` means the same, and its plan
    can be written, see `constants`."""

    run: str
    planned: str
    named: str


MAX_ROUNDS = 20
_USES = re.compile(r"bignum|256|wei|ether", re.IGNORECASE)
_DESCRIBES = re.compile(
    r"\bdescribe\b|\bshow\b|\bdesc\b(?!\s*(?:$|[,;)]|(?:nulls|limit|offset|rows|range|groups)\b))", re.IGNORECASE
)
"""Not the DESC of an order, which comes before what no query begins with."""
_TEXTS = {"VARCHAR", "JSON", "VARIANT"}
_BY_TEXT = {*bound.WHOLES, "DECIMAL", "FLOAT"}
"""Types of which DuckDB has no cast of a BIGNUM, or one that fails where it should not."""
_OTHERWISE: Mapping[str, str] = {
    **dict.fromkeys(("hex", "to_hex", "bin", "to_binary"), "shows how one is kept in memory"),
    "median": "takes no mean of two",
}
"""Functions that take a BIGNUM as it is, and treat it otherwise than other numbers."""
_REMEDIES: Mapping[str, str] = {
    **dict.fromkeys(("*", "multiply", "product"), "u256_mul(x, y) is exact, of whole numbers"),
    **dict.fromkeys(
        ("/", "//", "divide", "fdiv"), "u256_div(x, y) is exact, without the fraction, and ether(x) an amount"
    ),
    **dict.fromkeys(("%", "mod", "fmod"), "u256_mod(x, y) is exact, of whole numbers"),
    **dict.fromkeys(("**", "^", "pow", "power"), "u256_pow(x, y) is exact"),
    **dict.fromkeys(("hex", "to_hex", "bin", "to_binary"), "u256_to_hex(x) is exact"),
    **dict.fromkeys(("fsum", "kahan_sum", "sumkahan"), "sum(x) is exact"),
    **dict.fromkeys(("median", "quantile_cont"), "quantile_disc(x, 0.5) is exact"),
    "abs": "greatest(x, -x) is exact",
    "": "a whole number, as wei('1.5 ether') is, compares exactly",
}


def concerns(sql: str, kinds: Container[str]) -> bool:
    """Whether a BIGNUM can occur in `sql`, over columns of types `kinds`."""
    return "BIGNUM" in kinds or _USES.search(sql) is not None


def makes(sql: str) -> bool:
    """Whether `sql` may make a BIGNUM of what is none, or hide what it does from its plan."""
    return any(found.search(sql) for found in (_USES, _DESCRIBES)) or constants.large(sql) != sql


def computes(operators: Sequence[bound.Node]) -> bool:
    """Whether more becomes of a BIGNUM than a column of an answer, an order, a group or a join, by the operators of
    a plan. What an optimizer left out of it makes no difference to the answer."""
    return any(
        "BIGNUM" in bound.leaves(bound.kind(node)) and (above is not None or node["type"] != "BOUND_REF")
        for operator in operators
        for node, above in bound.expressions({**operator, "children": []})
    )


def exact(shadow: duckdb.DuckDBPyConnection, sql: str, kinds: Container[str]) -> Checked:
    """What to run for a statement over the tables of `shadow`, whose columns are of types `kinds`. Raises as
    `checked`."""
    whole = constants.large(sql)
    if not concerns(whole, kinds):
        return Checked(whole, whole, sql)
    text = operators.passing_once(shadow, whole)
    found = checked(shadow, _described(shadow, text))
    return found._replace(named=sql) if text == whole != sql else found


def _described(shadow: duckdb.DuckDBPyConnection, sql: str) -> str:
    """`sql` with what runs in place of each query that it describes, of which its plan shows nothing."""
    tree = syntax.tree(shadow, sql) if _DESCRIBES.search(sql) else {}
    changed = False
    for part, names in [found for found in syntax.scopes(tree) if found[0].get("show_type") == "DESCRIBE"]:
        if not (node := part["query"]):
            continue
        known = {entry["key"].lower(): entry for entry in (*names, *node["cte_map"]["map"])}
        node = {**node, "cte_map": {"map": [*known.values()]}}
        query = operators.written(shadow, {**tree, "statements": [{**tree["statements"][0], "node": node}]})
        with contextlib.suppress(duckdb.Error):  # one that is wrong, as its statement says
            run = checked(shadow, _described(shadow, query)).run if query else query
            if query and run and run != query:
                columns = ", ".join('"' + name.replace('"', '""') + '"' for name in shadow.sql(query).columns)
                renamed = syntax.tree(shadow, f"SELECT * FROM ({run}\n) AS described({columns})")
                part["query"], changed = renamed["statements"][0]["node"], True
    return operators.written(shadow, tree) or sql if changed else sql


def checked(shadow: duckdb.DuckDBPyConnection, sql: str, rounds: int = MAX_ROUNDS) -> Checked:
    """What to run for `sql` over the tables of `shadow`. Raises Inexact, and duckdb.Error for what is wrong."""
    plain = _bound(shadow, sql)
    if not any("BIGNUM" in bound.leaves(bound.kind(node)) for node, _ in plain):
        return Checked(sql, sql, sql)
    asked = casts.asked(shadow, sql) if any(bound.is_cast(node) for node, _ in plain) else []
    marked = casts.marked(sql, asked)
    found = plain
    with contextlib.suppress(duckdb.Error):  # where it does not bind so, no cast is known to be asked for
        found = _bound(shadow, marked.sql) if marked.places else plain
    places = {(marked.origin(place), name) for place, name in operators.inexact(found)}
    # An operator over what another becomes is found in the next round.
    if places and rounds and (text := operators.replaced(shadow, sql, places)) is not None:
        return checked(shadow, text, rounds - 1)
    _refuse(found, marked)
    hidden = {(marked.origin(place), kind) for place, kind in casts.hidden(found, marked)} if rounds else set()
    data, run = sql.encode(), dict[int, tuple[int, bytes]]()
    by_text = syntax.Equals(
        place.same
        for node, above in found
        if (place := marked.places.get(node["query_location"])) and _goes_by_text(node, above)
    )
    for cast in asked:
        run |= cast.by("VARCHAR") if cast.same in by_text else {}
    opaque = dict(edit for node, _ in plain if bound.is_cast(node) for edit in constants.opaque(data, node))
    shown = dict[int, tuple[int, bytes]]()
    for cast in casts.folded([node for node, _ in found], marked):
        shown |= cast.by(casts.MARK)
    planned = constants.edited(data, constants.within(run | shown, opaque))
    if hidden and (text := operators.by_way_of(shadow, sql, hidden, casts.MARK)) is not None:
        with contextlib.suppress(duckdb.Error, Inexact):  # then more is read
            planned = checked(shadow, text, 0).planned
    return Checked(constants.edited(data, run), planned, sql)


def _bound(shadow: duckdb.DuckDBPyConnection, sql: str) -> list[tuple[bound.Node, bound.Node | None]]:
    """The expressions of the plan before any optimizer, each with the one that it is a part of."""
    wanted = "SELECT json_serialize_plan(?::VARCHAR, skip_null := true, optimize := false)"
    row = shadow.execute(wanted, [sql]).fetchone()
    try:
        answer = json.loads(row[0]) if row else {}
    except (ValueError, RecursionError):
        answer = {}
    if "plans" not in answer:
        bound.explain(shadow, sql)  # wrong, and this says why
        raise Inexact(
            "the statement has 256-bit integers where it cannot be checked that they are not rounded: nest it "
            "less, or cast them to VARCHAR"
        )
    return list(bound.expressions(answer["plans"]))


def _refuse(expressions: Sequence[tuple[bound.Node, bound.Node | None]], marked: casts.Marked) -> None:
    """Raise Inexact for the first that would round."""
    for node, above in expressions:
        if bound.is_cast(node) and not _keeps(node, marked):
            raise _refusal(node, above)
        name = node.get("name", "")
        if name in ("-", "subtract") and bound.kind(node).get("id") == "BIGNUM":
            raise Inexact("`-` of 256-bit integers cannot be made exact here: write u256_sub(x, y) or u256_neg(x)")
        if name in _OTHERWISE and any(bound.kind(child).get("id") == "BIGNUM" for child in node["children"]):
            raise Inexact(_message(f"{name}()", _OTHERWISE[name], name))


def _keeps(cast: bound.Node, marked: casts.Marked) -> bool:
    """Whether a cast loses nothing of a 256-bit integer, or is asked for."""
    source, target = bound.kind(cast["child"]), cast["return_type"]
    if cast["try_cast"] or "BIGNUM" not in (*bound.leaves(source), *bound.leaves(target)):
        return True
    if marked.asks(cast) or target["id"] in _TEXTS:
        return True
    pairs = bound.pairs(source, target)
    return pairs is not None and all(_keeps_leaf(cast["child"], *pair) for pair in pairs)


def _keeps_leaf(child: bound.Node, source: str, target: str) -> bool:
    if source == target or "BIGNUM" not in (source, target) or source in ("NULL", "SQLNULL", '"NULL"'):
        return True
    if source == "BIGNUM":
        return target in _TEXTS
    if source == "VARCHAR":  # of which DuckDB takes what is before the point
        text = bound.text(child)
        return child.get("name") in u256.FUNCTIONS or (
            text is not None and constants.WHOLE.fullmatch(text) is not None
        )
    return source in bound.WHOLES


def _refusal(cast: bound.Node, above: bound.Node | None) -> Inexact:
    source = bound.leaves(bound.kind(cast["child"]))
    if "BIGNUM" in source:
        name = str(above.get("name", "")) if above else ""
        what = f"{name}()" if name.isidentifier() else f"`{name}`" if name else "comparing or combining one so"
        pairs = bound.pairs(bound.kind(cast["child"]), cast["return_type"]) or ()
        made = next((after for before, after in pairs if before == "BIGNUM" != after), "another type")
        return Inexact(_message(what, f"makes {made} of one and rounds it", name))
    if bound.text(cast["child"]) is not None:
        return Inexact("a text that is no whole number is compared or combined with a 256-bit integer")
    return Inexact(
        f"a 256-bit integer is compared or combined with {source[0]}, which may be no whole number: cast that to "
        "BIGNUM, or the integer to DOUBLE"
    )


def _message(what: str, does: str, name: str) -> str:
    remedy = f"{_REMEDIES[name]}; " if name in _REMEDIES else ""
    return f"256-bit integers are exact, and {what} {does}: {remedy}x::DOUBLE says that rounding is meant"


def _goes_by_text(mark: bound.Node, above: bound.Node | None) -> bool:
    """Whether of a cast by way of the mark DuckDB has none that is right without it."""
    if not bound.is_cast(mark) or above is None or not bound.is_cast(above):
        return False
    source, target = bound.kind(mark["child"]), bound.leaves(above["return_type"])
    if source.get("id") == "DECIMAL":
        return target == ["BIGNUM"] and not source["type_info"]["scale"]
    return "BIGNUM" in bound.leaves(source) and not set(target).isdisjoint(_BY_TEXT)
