"""When a heartbeat says that the lease is lost, and when it only waits for the dispatcher to come back."""

from __future__ import annotations

import threading
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from tests.support.tasks import ID, payload
from traceplane.kit.spans import Span
from traceplane.runtime import heartbeat
from traceplane.runtime.heartbeat import Heartbeat, Lease
from traceplane.runtime.reports import Reports
from traceplane_sdk import wire
from traceplane_sdk.context import Report
from traceplane_sdk.control import Control
from traceplane_sdk.errors import CallRefused, DispatcherUnavailable, StaleLease, StopReason
from traceplane_sdk.tracing import TraceContext

PATIENCE_SECONDS = 60.0


def claimed() -> wire.ClaimedTask:
    task = payload()
    return wire.ClaimedTask(
        task=task, attempt=1, lease_token=ID, lease_expires_at="", capability_token="first", lease_seconds=10.0
    )


class Port:
    """Fails heartbeats as given, then answers them as alive; each one moves `clock` by four seconds."""

    def __init__(self, *failures: Exception) -> None:
        self.failures = list(failures)
        self.clock = 0.0
        self.alive = threading.Event()
        self.reported: list[wire.SourceReport | None] = []

    def heartbeat(self, leases: Sequence[wire.Renewal], token: str, patience: float) -> wire.HeartbeatResponse:
        self.clock += 4.0
        self.reported += [lease.report for lease in leases]
        if self.failures:
            raise self.failures.pop(0)
        self.alive.set()
        return wire.HeartbeatResponse([wire.HeartbeatState(task_id=ID, lease_expires_at="later")])

    def events(self, request: wire.EventsRequest, token: str) -> int:
        raise AssertionError

    def credentials(self, fence: wire.Fence, token: str) -> wire.CredentialsResponse:
        raise AssertionError

    def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
        raise AssertionError


Lines = list[tuple[str, Mapping[str, Any]]]


def beating(
    port: Port,
    control: Control,
    lines: Lines | None = None,
    *,
    reports: Reports | None = None,
    interval: float = 0.001,
    span: Span | None = None,
) -> Heartbeat:
    return Heartbeat(
        port,
        Lease(claimed()),
        control,
        reports or Reports(),
        interval=interval,
        lease_seconds=10.0,
        log=lambda event, fields: (lines if lines is not None else []).append((event, fields)),
        span=span or a_span(),
        clock=lambda: port.clock,
    )


def a_span() -> Span:
    return Span("run", TraceContext("a" * 32, "b" * 16, True), None)


def stopped(control: Control) -> StopReason | None:
    """The reason, once there is one."""
    noticed = threading.Event()

    def look() -> None:
        try:
            control.wait(PATIENCE_SECONDS)
        except Exception:
            noticed.set()

    threading.Thread(target=look, daemon=True).start()
    assert noticed.wait(PATIENCE_SECONDS)
    return control.reason


def test_a_dispatcher_that_is_away_for_less_than_the_lease_costs_nothing() -> None:
    port, control = Port(*[DispatcherUnavailable("away")] * 2), Control()
    with beating(port, control):
        assert port.alive.wait(PATIENCE_SECONDS)
    assert control.reason is None


def test_a_lease_that_ran_out_by_this_clock_is_lost() -> None:
    port, control = Port(*[DispatcherUnavailable("away")] * 3), Control()
    with beating(port, control):
        assert stopped(control) is StopReason.LEASE_LOST
    assert port.failures == []


@pytest.mark.parametrize("answer", [StaleLease("another attempt"), CallRefused("BadCapability", "expired")])
def test_a_refused_heartbeat_means_that_the_lease_is_lost(answer: Exception) -> None:
    port, control = Port(answer), Control()
    with beating(port, control):
        assert stopped(control) is StopReason.LEASE_LOST
    assert not port.alive.is_set()


@pytest.mark.parametrize(
    "failure", [ValueError("an answer of another shape"), IndexError("no lease in the answer")]
)
def test_an_error_that_nobody_foresaw_is_logged_and_means_that_the_lease_is_lost(failure: Exception) -> None:
    port, control = Port(failure), Control()
    lines: Lines = []
    with beating(port, control, lines):
        assert stopped(control) is StopReason.LEASE_LOST
    assert lines == [("heartbeats ended unexpectedly", {"level": "error", "error": repr(failure)})]
    assert not port.alive.is_set()


def test_a_report_goes_along_until_the_dispatcher_has_it_and_no_longer() -> None:
    port, reports = Port(DispatcherUnavailable("away")), Reports()
    reports.put(Report(True, "following", 1, 1))
    beats = beating(port, Control(), reports=reports)
    with pytest.raises(DispatcherUnavailable):
        beats.renew()
    beats.renew()
    beats.renew()
    report = wire.SourceReport(healthy=True, message="following", position=1, head=1)
    assert port.reported == [report, report, None]


def test_trouble_does_not_wait_for_the_next_heartbeat(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(heartbeat, "SPACING_SECONDS", 0.0)
    port, reports = Port(), Reports()
    with beating(port, Control(), reports=reports, interval=10 * PATIENCE_SECONDS):
        reports.put(Report(False, "provider 0: HTTP 401", 1, 5))
        assert port.alive.wait(PATIENCE_SECONDS)
    assert [report.message for report in port.reported if report] == ["provider 0: HTTP 401"]


def test_the_span_of_the_run_says_what_was_missed_and_that_the_lease_was_lost() -> None:
    span, control = a_span(), Control()
    with beating(Port(*[DispatcherUnavailable("away")] * 3), control, span=span):
        assert stopped(control) is StopReason.LEASE_LOST
    assert [(name, attributes) for name, _, attributes in span.events] == [
        *[("heartbeat missed", {})] * 3,
        ("lease lost", {"reason": "no answer"}),
    ]
