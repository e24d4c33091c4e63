"""Events that warn of a pod only explain: whatever becomes of reading them holds up no DAG."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any
from uuid import UUID

import pytest

from tests.unit.reconcile.builders import pod
from traceplane.drivers.kube import ApiUnavailable, Rejected
from traceplane.reconcile import apply
from traceplane.tasks.retries import RetryPolicy

NEWS = {"reason": "FailedMount"}


def read(answer: Callable[[str], Awaitable[list[dict[str, Any]]]]) -> dict[str, list[dict[str, Any]]]:
    """The warnings of two pods, where the API server answers so."""

    class Server:
        async def list_few(self, _resource: object, selector: str) -> list[dict[str, Any]]:
            return await answer(selector)

    applier = apply.Applier(Server(), None, None, UUID(int=0), "x", RetryPolicy(1, 2))  # type: ignore[arg-type]
    return asyncio.run(applier.warnings([pod(0, uid="first"), pod(1, uid="second")]))


@pytest.mark.parametrize("error", [ApiUnavailable("list events: 429"), Rejected("forbidden", status=403)])
def test_a_pod_whose_events_cannot_be_read_says_less(error: Exception) -> None:
    async def answer(selector: str) -> list[dict[str, Any]]:
        if "first" in selector:
            raise error
        return [NEWS]

    assert read(answer) == {"first": [], "second": [NEWS]}


def test_events_that_do_not_come_are_not_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(apply, "_EVENTS_SECONDS", 0.0)

    async def answer(_selector: str) -> list[dict[str, Any]]:
        return await asyncio.get_running_loop().create_future()  # nobody ever answers

    assert read(answer) == {"first": [], "second": []}


def test_the_events_of_several_pods_are_read_at_once() -> None:
    both = asyncio.Barrier(2)

    async def answer(_selector: str) -> list[dict[str, Any]]:
        await both.wait()
        return [NEWS]

    assert read(answer) == {"first": [NEWS], "second": [NEWS]}
