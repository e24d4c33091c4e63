"""A DAG that reads assets of others needs state to be read at all, and says so where that is away."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from tests.unit.reconcile.builders import dag
from traceplane.errors import Unavailable
from traceplane.reconcile import names
from traceplane.reconcile.actions import Status
from traceplane.reconcile.dag import Dags


def test_a_dag_that_cannot_be_read_for_want_of_state_shows_it() -> None:
    told: list[Status] = []

    class Away:
        async def read(self, _dag: object) -> Any:
            raise Unavailable("the state database does not answer")

        async def status(self, wanted: Status) -> None:
            told.append(wanted)

    scope: Any = SimpleNamespace(manifests=Away(), applier=Away())
    nothing: Any = None
    dags = Dags(scope, bucket="b", platform=nothing, operators={}, pods=nothing, requeue_assets=nothing)
    obj = dag()
    obj["metadata"]["finalizers"] = [names.FINALIZER]
    with pytest.raises(Unavailable):
        asyncio.run(dags.reconcile(obj))
    found = {entry["type"]: entry["reason"] for one in told for entry in one.status["conditions"]}
    assert found.get("Degraded") == "StateUnavailable"
    assert "Valid" not in found
