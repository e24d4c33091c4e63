"""Moves the versions of the world's DAG as the controller and the user API do."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

from tests import services
from tests.integration.query.world import NAMESPACE, World
from tests.support.waiting import until
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import controller_facts
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import rollout
from traceplane.versions.asset_policies import Policies

DAG = DagKey(services.ORG_ID, NAMESPACE, "monad")


class Rollouts:
    """An event loop and a pool of its own, until the end of the block."""

    def __init__(self, world: World) -> None:
        self._dsn = world.databases.state_dsn

    def __enter__(self) -> Rollouts:
        self._runner = asyncio.Runner()
        self._state = Database(self._dsn, application="test")
        return self

    def __exit__(self, *_: object) -> None:
        self._runner.run(self._state.close())
        self._runner.close()

    def run(self, verb: Callable[..., Awaitable[Any]], **given: Any) -> Any:
        """A verb of a rollout, in a transaction of its own."""

        async def once() -> Any:
            async with self._state.transaction() as conn:
                return await verb(conn, DAG, **given)

        return self._runner.run(once())

    def cut_over(self, *, manual: bool = False) -> bool:
        """What the controller does at its next look."""

        async def look(conn: Connection, dag: DagKey) -> bool:
            facts = await controller_facts.pointer_facts(conn, dag)
            assert facts is not None
            assert facts.staged_version_id is not None
            await rollout.observe(conn, dag, active=facts.active_version_id, staged=facts.staged_version_id)
            # As if every look for a while had found it so.
            await conn.execute("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
            cutover, spec_hash = "Manual" if manual else "Auto", facts.staged_spec_hash or ""
            return await rollout.cut_over(conn, dag, spec_hash, cutover=cutover, policies=Policies())

        return bool(self.run(look))

    @staticmethod
    def until(condition: Callable[[], Any]) -> None:
        """Wait for something that others do."""
        until(condition, every=0.01)
