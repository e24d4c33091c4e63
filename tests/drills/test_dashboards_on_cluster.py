"""Every query of every panel of the dashboards, run by a real Prometheus that scrapes the installation."""

from __future__ import annotations

import time

import pytest

from hack.demo import chain
from hack.demo.monitoring import Prometheus
from tests.services.installation import Installation
from tests.support.alarms import Alarms
from tests.support.dashboards import queries

pytestmark = [pytest.mark.cluster, pytest.mark.timeout(600)]

LOOK_BACK_SECONDS, STEP_SECONDS = 3600, 5


def answered(prometheus: Prometheus, expr: str) -> bool:
    """Whether there was a number at any time of the last hour; of what no query ever asked a quantile is none."""
    now = time.time()
    found = prometheus.ask(
        "query_range",
        query=expr,
        start=str(now - LOOK_BACK_SECONDS),
        end=str(now),
        step=str(STEP_SECONDS),
    )
    return any(value != "NaN" for series in found["result"] for _, value in series["values"])


def test_every_query_of_the_dashboards_has_an_answer(trace: Installation, alarms: Alarms) -> None:
    """Once the chain has replaced blocks, and while people ask. All other work goes on by itself."""
    chain.replace(trace.rpc, 5)
    empty = list(queries())

    def look() -> tuple[bool, str]:
        assert trace.count("blocks") > 0
        # What had an answer has it for an hour: only the others are asked again, each an hour's evaluation.
        for shown in tuple(empty):
            if answered(alarms.prometheus, shown.sent):
                empty.remove(shown)
        return not empty, str({shown.panel: shown.sent for shown in empty})

    trace.wait("every panel has data", look, 180)
