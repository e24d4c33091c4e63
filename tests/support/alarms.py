"""Alerts in drills: a Prometheus beside the installation, with the chart's own rules in quick motion."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from typing import Any

from hack.demo import monitoring
from hack.demo.monitoring import Prometheus
from tests.services.installation import VALUES, Installation

SCRAPE_SECONDS = 2
Motion = Callable[[dict[str, Any]], dict[str, Any]]
_QUICKER = {"h": "m", "m": "s"}
_DURATION = re.compile(r"\b(\d+)([hm])\b")


def quick(rules: dict[str, Any]) -> dict[str, Any]:
    """The rules with each minute as a second, and each hour as a minute: in `for`, in windows and offsets. Pure."""

    def shorter(text: str) -> str:
        return _DURATION.sub(lambda found: found[1] + _QUICKER[found[2]], text)

    groups = [
        {
            **group,
            "rules": [
                {**rule, "expr": shorter(rule["expr"]), "for": shorter(rule["for"])} for rule in group["rules"]
            ],
        }
        for group in rules["groups"]
    ]
    return {**rules, "groups": groups}


@dataclass(frozen=True)
class Alarms:
    """What a drill waits for: that an alert fires, and that it has cleared."""

    trace: Installation
    prometheus: Prometheus
    seconds: float
    """How long either may take."""

    def fires(self, name: str, **labels: str) -> None:
        """Wait until an alert with these labels fires."""
        look = partial(self._stands, {"alertname": name, **labels})
        self.trace.wait(f"{name} {labels} fires", look, self.seconds)

    def clears(self, name: str, **labels: str) -> None:
        """Wait until no alert with these labels fires."""

        def look() -> tuple[bool, str]:
            stands, seen = self._stands({"alertname": name, **labels})
            return not stands, seen

        self.trace.wait(f"{name} {labels} clears", look, self.seconds)

    def _stands(self, labels: dict[str, str]) -> tuple[bool, str]:
        firing = self.prometheus.firing()
        return any(labels.items() <= found.items() for found in firing), f"firing: {firing}"


@contextmanager
def watching(trace: Installation, motion: Motion = quick, seconds: float = 180) -> Iterator[Alarms]:
    """Prometheus scrapes every process of the installation, through its network policies, while the block runs."""
    own = monitoring.start(trace.kube, motion(monitoring.rules(trace.kube, VALUES)), SCRAPE_SECONDS)
    with monitoring.reached(own) as prometheus:
        trace.wait("every process is scraped", lambda: monitoring.standing(prometheus))
        yield Alarms(trace, prometheus, seconds)
