"""Which namespaces a controller is told to serve, and what it says of them together."""

from __future__ import annotations

from typing import Any

import pytest

from traceplane.errors import InvalidSettings
from traceplane.reconcile.health import Pulse
from traceplane.reconcile.namespaces import Namespaces
from traceplane.reconcile.queue import Key
from traceplane.settings import ControllerSettings, load


@pytest.fixture
def told(monkeypatch: pytest.MonkeyPatch) -> Any:
    def run(names: str) -> ControllerSettings:
        monkeypatch.setenv("TRACE_STATE_DSN", "postgresql://x")
        monkeypatch.setenv("TRACE_WORKER_IMAGE", "i")
        monkeypatch.setenv("TRACE_NAMESPACE", "own")
        monkeypatch.setenv("TRACE_WATCH_NAMESPACES", names)
        return load(ControllerSettings)

    return run


def test_the_namespace_of_the_installation_is_served_where_none_is_listed(told: Any) -> None:
    assert told("").served == ("own",)


def test_listed_namespaces_are_served_once_each_and_no_other(told: Any) -> None:
    assert told("b  a b").served == ("b", "a")


@pytest.mark.parametrize("names", ["A", "a,b", "a/b", "-a", "a" * 64])
def test_what_is_no_name_of_a_namespace_is_refused(told: Any, names: str) -> None:
    with pytest.raises(InvalidSettings, match="TRACE_WATCH_NAMESPACES"):
        told(names)


class Served:
    """What stands for a controller here: its pulse, and the keys that reach it."""

    def __init__(self) -> None:
        self.pulse = Pulse(100, clock=lambda: Served.now)
        self.keys: list[Key] = []

    async def reconcile(self, key: Key) -> float | None:
        self.keys.append(key)
        return None

    now = 0.0


@pytest.fixture
def served(told: Any) -> tuple[Namespaces, Served, Served]:
    kube: Any = type("Client", (), {"beside": lambda self, name: self, "namespace": "own"})()
    unused: Any = None
    settings = told("a b")
    made = Namespaces(settings, {}, kube, unused, "me", unused)
    found = Served(), Served()
    made._controllers = {"a": found[0], "b": found[1]}  # type: ignore[dict-item]
    return made, *found


async def test_a_key_goes_to_the_namespace_that_it_names(served: tuple[Namespaces, Served, Served]) -> None:
    made, one, two = served
    await made._reconcile(Key("DAG", "x", "b"))
    assert (one.keys, two.keys) == ([], [Key("DAG", "x", "b")])


def test_life_is_shown_and_missed_by_namespace(served: tuple[Namespaces, Served, Served]) -> None:
    made, one, two = served
    assert made.waiting() == ["a", "b"]
    one.pulse.synced = True
    assert made.waiting() == ["b"]
    for controller in (one, two):
        controller.pulse.expect(("watch pods",))
    Served.now = 90.0
    made.beat("a", "watch pods")
    Served.now = 150.0
    assert made.silent() == ["b: watch pods for 150 s"]
    assert made.watch_ages() == {"pods": 150.0}, "the oldest is what an alert is about"
    Served.now = 0.0
