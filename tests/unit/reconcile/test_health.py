"""Liveness by what was done, metrics of what was not, and access without guessing."""

from __future__ import annotations

from pathlib import Path

import pytest

from traceplane.drivers.kubeaccess import discover
from traceplane.errors import InvalidSettings
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile.health import Pulse


def test_a_watch_that_is_not_opened_again_in_time_is_named() -> None:
    now = 0.0
    pulse = Pulse(limit=100, clock=lambda: now)
    assert pulse.silent() == (), "a process that stands by has nothing to show"
    pulse.expect(("watch pods", "resync"))
    now = 90.0
    pulse.beat("resync")
    assert pulse.silent() == ()
    now = 150.0
    assert pulse.silent() == ("watch pods for 150 s",)
    pulse.beat("watch pods")
    assert pulse.silent() == ()


def value(kind: str) -> float:
    return float(metrics.registry.get_sample_value("trace_reconcile_lag_seconds", {"kind": kind}) or 0.0)


def test_lag_is_the_age_of_the_oldest_generation_that_was_not_achieved(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 1000.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    lag = metrics.Lag()
    lag.desired("DAG", "a", 1)
    now = 1010.0
    lag.desired("DAG", "a", 2)
    lag.desired("DAG", "b", 1)
    lag.publish()
    assert value("DAG") == pytest.approx(10)
    lag.achieved("DAG", "a", 2)
    now = 1015.0
    lag.publish()
    assert value("DAG") == pytest.approx(5)
    lag.forget("DAG", "b")
    lag.publish()
    assert value("DAG") == 0
    lag.desired("DAG", "a", 2)
    lag.publish()
    assert value("DAG") == 0, "seen again, achieved before"


def test_an_older_achievement_does_not_hide_a_newer_wish(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    lag = metrics.Lag()
    lag.desired("DAG", "a", 3)
    lag.achieved("DAG", "a", 2)
    now = 7.0
    lag.publish()
    assert value("DAG") == pytest.approx(7)


def test_without_kubeconfig_and_pod_nothing_is_guessed(tmp_path: Path) -> None:
    home = tmp_path / ".kube"
    home.mkdir()
    (home / "config").write_text("current-context: production")
    with pytest.raises(InvalidSettings, match="KUBECONFIG"):
        discover({"HOME": str(tmp_path)}, tmp_path / "no-service-account")


def test_a_kubeconfig_that_needs_a_person_is_refused(tmp_path: Path) -> None:
    config = tmp_path / "config"
    config.write_text(
        """
        current-context: c
        contexts: [{name: c, context: {cluster: c, user: u}}]
        clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
        users: [{name: u, user: {exec: {command: login}}}]
        """
    )
    with pytest.raises(InvalidSettings, match="exec"):
        discover({"KUBECONFIG": str(config)})


def test_a_pod_s_token_is_read_again_when_it_is_rotated(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr("traceplane.drivers.kubeaccess.time.monotonic", lambda: now)
    (tmp_path / "config").write_text(
        """
        current-context: c
        contexts: [{name: c, context: {cluster: c, user: u}}]
        clusters: [{name: c, cluster: {server: "https://127.0.0.1:1"}}]
        users: [{name: u, user: {tokenFile: token}}]
        """
    )
    (tmp_path / "token").write_text("one\n")
    token = discover({"KUBECONFIG": str(tmp_path / "config")}).token
    assert token() == "one"
    (tmp_path / "token").write_text("two\n")
    now = 61.0
    assert token() == "two"


def test_one_generation_achieved_leaves_the_next_one_waiting(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 0.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    lag = metrics.Lag()
    lag.desired("DAG", "a", 1)
    lag.desired("DAG", "a", 2)
    lag.achieved("DAG", "a", 1)
    now = 4.0
    lag.publish()
    assert value("DAG") == pytest.approx(4)
    lag.achieved("DAG", "a", 2)
    lag.publish()
    assert value("DAG") == 0
