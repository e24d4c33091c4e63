"""An Asset is looked at again until what state and its object say is stored and shown, and then no more."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any
from uuid import UUID

import pytest

from tests.unit.reconcile.builders import Object
from traceplane.drivers.kube import Resource
from traceplane.reconcile.apply import Applier
from traceplane.reconcile.asset import Assets
from traceplane.reconcile.controller import Controller
from traceplane.reconcile.mirror import Mirror
from traceplane.reconcile.queue import Key
from traceplane.tasks.retries import RetryPolicy


def asset(version: int, generation: int = 1, roles: tuple[str, ...] = (), status: Object | None = None) -> Object:
    metadata = {
        "name": "a",
        "namespace": "n",
        "uid": "u",
        "resourceVersion": str(version),
        "generation": generation,
    }
    spec = {"storage": "S3", "readRoles": list(roles)}
    return {
        "apiVersion": "trace.dev/v1alpha1",
        "kind": "Asset",
        "metadata": metadata,
        "spec": spec,
        "status": status,
    }


class Server:
    """Answers each write of a status with `after`, which has that status."""

    def __init__(self) -> None:
        self.after = asset(101)

    async def apply(self, _resource: Resource, body: Object, _subresource: str | None = None) -> Object:
        return {**self.after, "status": body["status"]}


class World:
    """Assets over a mirror, a server, and a state of which nothing is published."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.server, self.mirror = Server(), Mirror()
        self.declared: list[tuple[str, ...]] = []
        none: Any = None
        applier = Applier(self.server, self.mirror, none, UUID(int=0), "x", RetryPolicy(1, 2))  # type: ignore[arg-type]
        manifests = SimpleNamespace(published=dict)
        scope: Any = SimpleNamespace(
            applier=applier,
            mirror=self.mirror,
            namespace="n",
            org_id=UUID(int=0),
            sources=None,
            manifests=manifests,
        )
        self.assets = Assets(scope, none)
        monkeypatch.setattr(self.assets, "_read", self._read)
        monkeypatch.setattr(self.assets, "_declare", self._declare)
        self.mirror.observe("Asset", asset(100))

    async def look(self) -> None:
        await self.assets.reconcile(self.now)

    @property
    def now(self) -> Object:
        found = self.mirror.get("Asset", "a")
        assert found is not None
        return found

    async def _read(self, _names: object) -> tuple[dict[str, Any], dict[str, Any]]:
        return {}, {}

    async def _declare(self, parsed: Any, *_: object) -> None:
        self.declared.append(tuple(parsed.spec.read_roles))


@pytest.fixture
def world(monkeypatch: pytest.MonkeyPatch) -> World:
    return World(monkeypatch)


async def test_what_is_stored_and_shown_is_not_looked_at_again(world: World) -> None:
    assert await world.assets.changed([world.now]) == ["a"]
    await world.look()
    assert await world.assets.changed([world.now]) == []
    world.mirror.observe("Asset", {**asset(102), "status": {"conditions": []}})
    assert await world.assets.changed([world.now]) == ["a"]


async def test_an_edit_that_comes_with_the_answer_to_a_status_is_looked_at(world: World) -> None:
    edited = asset(101, 2, ("finance",))
    world.server.after = {**edited, "metadata": {**edited["metadata"], "resourceVersion": "102"}}
    await world.look()
    assert not world.mirror.observe("Asset", edited), "its event says nothing new"
    assert await world.assets.changed([world.now]) == ["a"]
    await world.look()
    assert world.declared == [(), ("finance",)]


async def test_such_an_edit_makes_the_key_run_again_at_once(world: World, monkeypatch: pytest.MonkeyPatch) -> None:
    controller = object.__new__(Controller)
    controller.mirror = world.mirror

    async def run(_key: Key, _obj: Object | None) -> float | None:
        await world.look()
        return None

    monkeypatch.setattr(controller, "_dispatch", run)
    monkeypatch.setattr(controller, "_achieved", lambda *_: None)
    world.server.after = asset(101, 2, ("finance",))
    assert await controller.reconcile(Key("Asset", "a")) == 0.0
    assert await controller.reconcile(Key("Asset", "a")) is None
