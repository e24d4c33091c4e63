"""Keeps the views of the data database where the pointers are.

Level-based: a move reads the pointer, and what is there, after it has the lock; so moves may come late, twice, or
from several processes, and the last one leaves what is right. All views of a DAG move in one transaction, so a
transaction that reads several of them sees one version of the DAG: one that began to read holds the views where
they are, and a move gives way to it and comes back.
"""

from __future__ import annotations

import asyncio
import random
from collections.abc import Collection, Mapping
from dataclasses import dataclass, field
from uuid import UUID

import structlog

from traceplane.errors import TraceError
from traceplane.kit import crash
from traceplane.observe import dispatch_metrics as metrics
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import views as statements
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.views import NAME_BYTES, Found, Held, Schema, Wanted

MADE = crash.declare("views.made")

Key = tuple[str, str]

_WAITS = (2, 2, 3, 3, 4, 4, 5, 5, 7, 7, 10, 10, 15, 20, 30, 50, 100, 200, 400, 500)
"""Milliseconds that each try of a move waits for readers of a view, and readers that come meanwhile for the move.
All below Postgres's `deadlock_timeout`, so that it is the move that gives way, and no reader."""

_log = structlog.get_logger()


@dataclass(slots=True)
class Plan:
    """What a DAG's views lack. `refused`: names that are not Trace's to take, and why."""

    schemas: dict[str, str] = field(default_factory=dict)
    """Namespace by schema that is to be made."""
    used: set[str] = field(default_factory=set)
    """Schemas that the readers of views may not use yet."""
    puts: list[tuple[Wanted, Found | None]] = field(default_factory=list)
    grants: list[Wanted] = field(default_factory=list)
    drops: list[Key] = field(default_factory=list)
    refused: dict[Key, str] = field(default_factory=dict)

    @property
    def behind(self) -> bool:
        """Whether there is anything to do."""
        return bool(self.schemas or self.used or self.puts or self.grants or self.drops)


def decide(
    dag: DagKey,
    wanted: Collection[Wanted],
    found: Mapping[Key, Found],
    schemas: Mapping[str, Schema],
    *,
    role: bool,
) -> Plan:
    """What is to be done about the views of one DAG; `role`: there are readers to grant to.   (pure)"""
    plan = Plan()
    whole = all(view.provisioned for view in wanted)
    for view in wanted:
        there, schema = found.get(view.key), schemas.get(view.key[0])
        if why := _refused(dag, view, there, schema):
            plan.refused[view.key] = why
            continue
        if not view.shown:
            continue
        if schema is None and whole:
            plan.schemas[view.key[0]] = view.namespace
        if role and (schema is None or not schema.granted) and whole:
            plan.used.add(view.key[0])
        if whole and not _is_right(dag, view, there):
            plan.puts.append((view, there))
        elif role and there is not None and there.granted != view.open:
            plan.grants.append(view)
    # Until its last table is made, a DAG keeps the views that it had: they would be of two versions otherwise.
    stay = {view.key for view in wanted if view.shown}
    if whole:
        plan.drops = [one.key for one in found.values() if one.dag == dag and one.key not in stay]
    return plan


def _refused(dag: DagKey, view: Wanted, there: Found | None, schema: Schema | None) -> str:
    """Why a name is not Trace's to take; empty where it is."""
    name, table = view.key
    if len(table) > NAME_BYTES:
        return f"Postgres knows no name longer than {NAME_BYTES} bytes: publish it under a shorter one as well"
    if schema is not None and not schema.of(view.namespace):
        mark = f"COMMENT ON SCHEMA {name} IS '{statements.SCHEMA_MARK}{view.namespace}'"
        return f"schema {name} is not Trace's: rename it, or let views be made in it by {mark}"
    if there is not None and (there.dag is None or there.dag.org_id != dag.org_id):
        return f"{name}.{table} is not Trace's: rename it, and the view is made"
    return ""


def _is_right(dag: DagKey, view: Wanted, there: Found | None) -> bool:
    return (
        there is not None
        and there.comment == statements.mark(dag.org_id, view)
        and list(there.columns) == view.shown
        and list(there.reads) == [view.location]
    )


class Views:
    """Moves views. `role` may read those of assets that any reader may read; empty: there are no views at all."""

    def __init__(self, state: Database, data: Database, org_id: UUID, role: str) -> None:
        self._state = state
        self._data = data
        self._org = org_id
        self._role = role

    async def move(self, dag: DagKey) -> None:
        """Let the views of one DAG show its current version. Raises Held where readers leave no moment for it."""
        for wait in _WAITS:
            try:
                await self._move(dag, wait)
                return
            except Held:
                if wait == _WAITS[-1]:
                    raise
                # Not at once: those who read two views in another order would meet it in the same way again.
                await asyncio.sleep(random.uniform(0, wait / 1000))  # noqa: S311

    async def _move(self, dag: DagKey, wait: int) -> None:
        async with self._data.transaction() as conn:
            # Held until this commits: so the next move reads a pointer that is at least as new.
            await statements.exclusively(conn, wait)
            wanted = await self._wanted(dag)
            role = self._role if self._role and await statements.has_role(conn, self._role) else None
            plan = decide(dag, wanted, *await self._there(conn, wanted), role=role is not None)
            await self._carry_out(conn, plan, role)
            if plan.behind:
                crash.point(MADE)
        for (schema, name), why in plan.refused.items():
            _log.warning("view refused", schema=schema, view=name, reason=why)

    async def look(self) -> int:
        """Move what is not where it should be, whatever the reason; always 0: the next look is after the
        interval."""
        wanted = await self._wanted(None)
        async with self._data.transaction() as conn:
            role = bool(self._role) and await statements.has_role(conn, self._role)
            found, schemas = await self._there(conn, wanted)
        by_dag: dict[DagKey, list[Wanted]] = {one.dag: [] for one in found.values() if one.dag is not None}
        for view in wanted:
            by_dag.setdefault(DagKey(self._org, view.namespace, view.dag), []).append(view)
        refused, behind = 0, 0
        for dag, views in by_dag.items():
            plan = decide(dag, views, found, schemas, role=role)
            refused += len(plan.refused)
            if plan.behind and not await self._moved(dag):
                behind += len(plan.puts) + len(plan.grants) + len(plan.drops)
        metrics.VIEWS.labels("refused").set(refused)
        metrics.VIEWS.labels("behind").set(behind)
        metrics.VIEWS.labels("current").set(max(0, len(wanted) - refused - behind))
        return 0

    async def _moved(self, dag: DagKey) -> bool:
        try:
            await self.move(dag)
        except TraceError as error:
            # A GiveUp as well: views are no reason to end a process that serves every DAG.
            _log.warning("views not moved", namespace=dag.namespace, dag=dag.dag, error=error.message)
            return False
        return True

    async def _wanted(self, dag: DagKey | None) -> list[Wanted]:
        if not self._role:
            return []
        async with self._state.autocommit() as conn:
            return await statements.wanted(conn, self._org, dag)

    async def _there(
        self, conn: Connection, wanted: Collection[Wanted]
    ) -> tuple[dict[Key, Found], dict[str, Schema]]:
        keys = [view.key for view in wanted]
        found = await statements.found(conn, self._org, keys, self._role)
        schemas = await statements.schemas(conn, {schema for schema, _ in keys}, self._role)
        return {one.key: one for one in found}, schemas

    async def _carry_out(self, conn: Connection, plan: Plan, role: str | None) -> None:
        for schema, namespace in plan.schemas.items():
            await statements.make_schema(conn, schema, namespace)
        for schema in plan.used if role is not None else ():
            await statements.let_use(conn, schema, role or "")
        for key in plan.drops:
            await statements.drop(conn, key)
        for view, before in plan.puts:
            await statements.put(conn, self._org, view, before, role)
        for view in plan.grants:
            await statements.grant(conn, view, role)
