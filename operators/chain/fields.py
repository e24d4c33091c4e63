"""Fields of many JSON objects of one kind as columns of values, or the first object that is malformed. Pure."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

from operators.chain import values
from operators.chain.bulk import Many
from operators.chain.provider import Json

Values = Sequence[Any]
"""Of one column."""


@dataclass(frozen=True, slots=True)
class Field:
    """JSON-RPC name, its decoders of one value and of many, whether null is allowed."""

    name: str
    decode: Callable[[Any], Any]
    many: Many
    nullable: bool


class Malformed(ValueError):
    """The object at the place `at` of a list is."""

    def __init__(self, at: int, words: str) -> None:
        super().__init__(words)
        self.at = at


def column_of(sources: Sequence[dict[str, Json]], field: Field) -> Values:
    """A field of each object. Raises Malformed."""
    name = field.name
    return decoded_by([source.get(name) for source in sources], field)


def decoded_by(given: Values, field: Field) -> Values:
    """What the values of a field stand for; None is null. Raises Malformed."""
    present = [value for value in given if value is not None]
    if len(present) != len(given) and not field.nullable:
        raise Malformed(given.index(None), f"a required field is missing: {field.name}")
    try:
        decoded = field.many(present)
    except (ValueError, TypeError):
        raise _first_malformed(given, field) from None
    if len(present) == len(given):
        return decoded
    rest = iter(decoded)
    return [None if value is None else next(rest) for value in given]


def _first_malformed(given: Values, field: Field) -> Malformed:
    """Which value of a column is, and why. Looked for only now: good columns are decoded in a few passes."""
    for at, value in enumerate(given):
        try:
            if value is not None:
                field.decode(value)
        except (ValueError, TypeError) as error:
            return Malformed(at, f"field {field.name} {error}")
    raise AssertionError("no value is malformed any more")


def extras_of(sources: Sequence[dict[str, Json]], known: frozenset[str]) -> Values:
    """Of each object the fields that no column has, or None. Raises Malformed."""
    if known.issuperset(set[str]().union(*sources)):
        return [None] * len(sources)
    return [
        checked_extra({name: value for name, value in source.items() if name not in known}, at) or None
        for at, source in enumerate(sources)
    ]


def checked_extra(extra: dict[str, Json], at: int) -> dict[str, Json]:
    """The same, where every tier can hold it. Raises Malformed."""
    try:
        values.json_value(extra)
    except ValueError as error:
        raise Malformed(at, f"an unknown field {error}") from error
    return extra
