"""What a run reports, as the dispatcher gets it: the newest, once, in bounds, and never silence for health."""

from __future__ import annotations

import math
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane.runtime.reports import Reports
from traceplane_sdk import wire
from traceplane_sdk.context import STALL_SECONDS, Report

ID = "00000000-0000-7000-8000-000000000001"


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def reports(clock: Clock) -> Reports:
    return Reports(clock)


def sent(reports: Reports) -> wire.SourceReport | None:
    """What the next heartbeat takes along, delivered."""
    report = reports.due()
    reports.delivered(report)
    return report


def healthy(reports: Reports, position: int | None, head: int | None) -> None:
    reports.put(Report(True, "following", position, head))


def test_nothing_is_sent_before_a_run_reports(reports: Reports) -> None:
    assert sent(reports) is None
    assert reports.stalls_in() == math.inf


def test_the_newest_report_is_sent_once(reports: Reports) -> None:
    healthy(reports, 1, 5)
    healthy(reports, 2, 5)
    assert sent(reports) == wire.SourceReport(healthy=True, message="following", position=2, head=5)
    assert sent(reports) is None
    healthy(reports, 2, 5)
    assert sent(reports) is None


def test_what_was_not_delivered_is_sent_again(reports: Reports) -> None:
    healthy(reports, 1, 5)
    assert reports.due() is not None
    assert reports.due() is not None


def test_only_a_change_of_health_is_urgent(reports: Reports) -> None:
    healthy(reports, 1, 5)
    assert not reports.urgent.is_set()
    reports.put(Report(False, "provider 0: HTTP 401", 1, 5))
    assert reports.urgent.is_set()
    sent(reports)
    assert not reports.urgent.is_set()
    reports.put(Report(False, "provider 0: HTTP 500", 1, 5))
    assert not reports.urgent.is_set()
    healthy(reports, 2, 5)
    assert reports.urgent.is_set()


def test_a_source_that_stays_behind_its_head_is_unhealthy_until_it_moves(reports: Reports, clock: Clock) -> None:
    healthy(reports, 7, 9)
    sent(reports)
    assert reports.stalls_in() == STALL_SECONDS
    clock.now += STALL_SECONDS - 1
    healthy(reports, 7, 12)
    report = sent(reports)
    assert report is not None
    assert report.healthy
    clock.now += 1
    report = sent(reports)
    assert report is not None
    assert not report.healthy
    assert report.message == "no advance for over 60 s, at 7, while the head is 12; its last report: following"
    assert reports.stalls_in() == math.inf, "it is known: no heartbeat need come earlier"
    healthy(reports, 7, 12)
    assert not reports.urgent.is_set(), "what it says of itself is not true as long as it does not move"
    assert sent(reports) is None
    healthy(reports, 8, 12)
    assert reports.urgent.is_set()
    report = sent(reports)
    assert report is not None
    assert report.healthy


@pytest.mark.parametrize(("position", "head"), [(9, 9), (10, 9), (9, None), (None, None)])
def test_a_source_at_its_head_need_not_move(
    reports: Reports, clock: Clock, position: int | None, head: int | None
) -> None:
    healthy(reports, position, head)
    sent(reports)
    clock.now += 10 * STALL_SECONDS
    assert sent(reports) is None


def test_a_source_that_had_its_head_for_long_has_all_the_time_once_the_chain_goes_on(
    reports: Reports, clock: Clock
) -> None:
    healthy(reports, 9, 9)
    sent(reports)
    clock.now += 10 * STALL_SECONDS
    healthy(reports, 9, 12)
    assert not reports.urgent.is_set()
    clock.now += STALL_SECONDS - 1
    report = sent(reports)
    assert report is not None
    assert report.healthy
    clock.now += 1
    report = sent(reports)
    assert report is not None
    assert not report.healthy


def test_a_source_that_writes_nothing_at_all_is_unhealthy_too(reports: Reports, clock: Clock) -> None:
    healthy(reports, None, 9)
    sent(reports)
    clock.now += STALL_SECONDS
    report = sent(reports)
    assert report is not None
    assert not report.healthy
    assert report.message == "no advance for over 60 s, while the head is 9; its last report: following"


def test_a_source_that_judges_itself_is_held_to_its_own_bound(reports: Reports, clock: Clock) -> None:
    """As one that begins at a block to come, or looks seldom: where it is says nothing."""
    for _ in range(3):
        reports.put(Report(True, "following", None, 9, holds=600))
        clock.now += 599
        assert reports.stalls_in() == 1
        report = reports.due()
        reports.delivered(report)
        assert report is None or report.healthy
    clock.now += 1
    report = sent(reports)
    assert report is not None
    assert not report.healthy
    assert report.message == "no report for over 600 s, while the head is 9; its last report: following"
    reports.put(Report(True, "following", None, 9, holds=600))
    assert reports.urgent.is_set(), "it is heard of again"
    report = sent(reports)
    assert report is not None
    assert report.healthy


def test_a_source_that_says_itself_that_it_is_stuck_is_not_judged_again(reports: Reports, clock: Clock) -> None:
    reports.put(Report(False, "provider 0: HTTP 401", 1, 5, holds=1))
    assert (sent(reports) or Report(True, "")).message == "provider 0: HTTP 401"
    clock.now += STALL_SECONDS
    assert (sent(reports), reports.stalls_in()) == (None, math.inf)


@given(
    st.text() | st.text(st.characters(categories=["Cs", "Cc", "Zl", "L"])).map(lambda text: text * 300),
    st.none() | st.integers(),
    st.none() | st.integers(),
)
def test_whatever_a_run_says_the_dispatcher_takes_it(message: str, position: int | None, head: int | None) -> None:
    reports = Reports()
    reports.put(Report(False, message, position, head))
    report = reports.due()
    assert report is not None
    request = wire.HeartbeatRequest([wire.Renewal(ID, 1, ID, report)])
    decoded: Any = msgspec.json.decode(msgspec.json.encode(request), type=wire.HeartbeatRequest)
    assert decoded.leases[0].report == report
    assert len(report.message.encode()) <= wire.MAX_REPORT_BYTES
    assert report.message.isprintable()


def test_a_source_that_is_held_back_does_not_hang_and_has_its_time_anew_afterwards(
    reports: Reports, clock: Clock
) -> None:
    healthy(reports, 1, 5)
    assert sent(reports) is not None
    reports.pause(True)
    clock.now += 10 * STALL_SECONDS
    assert (sent(reports), reports.stalls_in()) == (None, math.inf)
    reports.pause(False)
    assert reports.stalls_in() == STALL_SECONDS
    clock.now += STALL_SECONDS
    stalled = sent(reports)
    assert stalled is not None
    assert not stalled.healthy
