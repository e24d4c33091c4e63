"""The operators that are installed, by name.

An operator registers under the entry point group `traceplane.operators`: built-in ones in this project's own
metadata, a third party's in its own package, and neither is known here by name. Loading one imports its
declaration only (config model and schemas), never the code that does the work.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from functools import cache
from importlib.metadata import EntryPoint, entry_points
from types import MappingProxyType

from traceplane.errors import GiveUp
from traceplane_sdk.operator import Operator

GROUP = "traceplane.operators"


@cache
def load() -> Mapping[str, Operator]:
    """Every installed operator by name. GiveUp names the package whose declaration cannot be used."""
    return collect(entry_points(group=GROUP))


def collect(points: Iterable[EntryPoint]) -> Mapping[str, Operator]:
    """The operators behind `points`. Two of one name, or a name that differs from the operator's, is GiveUp."""
    found: dict[str, Operator] = {}
    for point in points:
        where = f"operator {point.name!r} ({point.value})"
        try:
            operator = point.load()
        except Exception as error:  # any failure of foreign code at import: named, then fatal
            raise GiveUp(f"{where} cannot be loaded: {error}", code="InvalidOperator") from error
        if not isinstance(operator, Operator):
            raise GiveUp(f"{where} is no traceplane_sdk.operator.Operator", code="InvalidOperator")
        if operator.name != point.name:
            raise GiveUp(f"{where} calls itself {operator.name!r}", code="InvalidOperator")
        if point.name in found:
            raise GiveUp(f"{where} is installed twice", code="InvalidOperator")
        found[point.name] = operator
    return MappingProxyType(found)
