"""By whose fault a query failed, as the metric that TraceQueryErrors reads says it."""

from __future__ import annotations

import importlib
import pkgutil
from collections.abc import Iterator
from uuid import uuid4

import pytest

import traceplane.query
from traceplane.errors import Overloaded, Refused, TraceError, Unavailable
from traceplane.query.broker.telemetry import DEFECT, Telemetry
from traceplane.query.caller import Caller

for module in pkgutil.walk_packages(traceplane.query.__path__, "traceplane.query."):
    if not module.name.endswith("__main__"):
        importlib.import_module(module.name)


def below(kind: type[TraceError]) -> Iterator[type[TraceError]]:
    yield kind
    for one in kind.__subclasses__():
        yield from below(one)


def made(kind: type[TraceError], code: str) -> TraceError:
    """An error of a class, however that is made."""
    error = kind.__new__(kind)
    TraceError.__init__(error, "x", code=code)
    return error


def counted(outcome: str | TraceError) -> set[tuple[str, str]]:
    telemetry = Telemetry()
    telemetry.audit(Caller(uuid4(), "SELECT 1", user=uuid4()), outcome=outcome, seconds=0.1)
    return {
        (sample.labels["code"], sample.labels["fault"])
        for family in telemetry.registry.collect()
        for sample in family.samples
        if sample.name == "trace_query_seconds_count" and sample.value == 1
    }


@pytest.mark.parametrize("kind", sorted(set(below(TraceError)), key=str), ids=lambda kind: kind.__name__)
def test_what_is_neither_refused_nor_beyond_a_queue_is_the_services_fault(kind: type[TraceError]) -> None:
    fault = "user" if issubclass(kind, Refused) else "load" if issubclass(kind, Overloaded) else "service"
    assert counted(made(kind, kind.code)) == {(kind.code, fault)}


@pytest.mark.parametrize("code", ["DataMissing", "DataCorrupt", "RunnerLost", "NeverHeardOf"])
@pytest.mark.parametrize("kind", [TraceError, Unavailable])
def test_a_code_of_its_own_makes_no_failure_another_ones_fault(kind: type[TraceError], code: str) -> None:
    assert counted(kind("x", code=code)) == {(code, "service")}


def test_an_answer_is_nobodys_fault_and_an_unknown_end_the_services() -> None:
    assert counted("OK") == {("OK", "none")}
    assert counted(DEFECT) == {("Internal", "service")}
