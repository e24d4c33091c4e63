"""Purging former versions as the Assets say, and showing what stays.

The look at an Asset that has `spec.retention` assesses all outputs of its DAG, since what one Asset lets go another
may keep. Marking is one short transaction; what was marked the dispatcher removes. So a controller that is killed
here leaves either nothing done or all that counts.
"""

from __future__ import annotations

import time
from collections.abc import Collection, Mapping
from datetime import UTC
from uuid import UUID

from traceplane.drivers.kube import ASSETS, Object
from traceplane.kit import crash
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile import conditions
from traceplane.reconcile.actions import Note
from traceplane.reconcile.scope import Scope
from traceplane.store.statements import retention as statements
from traceplane.store.statements.controller_facts import AssetFacts
from traceplane.store.statements.retention import Held
from traceplane.versions import gc
from traceplane.versions.retention import Verdict, assess

PURGED = crash.declare("asset.purged")

_PINNED_SECONDS = 60.0
"""What is due and has to stay is tried again this often: the try locks the DAG and counts its files."""


class Retention:
    """The policies of a namespace's Assets. `delay_seconds`: how long purged bytes stay for running queries."""

    def __init__(self, scope: Scope, *, delay_seconds: float) -> None:
        self._scope = scope
        self._delay = delay_seconds
        self._pinned: dict[str, tuple[float, Mapping[UUID, str]]] = {}
        """By DAG: when it is tried again, and why each dataset version stays."""

    async def enforce(self, facts: AssetFacts | None) -> Object:
        """Purge what the Assets of a published output's DAG let go; what the Asset's status says of it."""
        if facts is None:
            return {}
        held = await self._held(facts.dag)
        if assess(held).due and time.monotonic() >= self._pinned.get(facts.dag, (0.0, {}))[0]:
            await self._purge(facts.dag, {one.version_id: one for one in held})
            held = await self._held(facts.dag)
        assessed = assess(held)
        if not assessed.due:
            self._pinned.pop(facts.dag, None)
        mine = [verdict for verdict in assessed.verdicts if verdict.output.dataset_id == facts.dataset_id]
        _, why = self._pinned.get(facts.dag, (0.0, {}))
        return shown(mine, why)

    async def _held(self, dag: str) -> list[Held]:
        async with self._scope.database.transaction() as conn:
            return await statements.held(conn, self._scope.dag_key(dag))

    async def _purge(self, dag: str, held: Mapping[UUID, Held]) -> None:
        async with self._scope.database.transaction() as conn:
            done = await gc.enforce(conn, self._scope.dag_key(dag), delay_seconds=self._delay)
        crash.point(PURGED)
        pinned = {one.output.version_id: one.kept for one in done if one.kept is not None}
        if pinned:
            self._pinned[dag] = (time.monotonic() + _PINNED_SECONDS, pinned)
            metrics.purge_held.inc()
        purged = [one for one in done if one.kept is None]
        metrics.purged.inc(len(purged))
        notes: list[Note] = []
        for one in purged:
            output = held[one.output.version_id]
            files = f": {one.output.rows} rows, {one.output.bytes} bytes" if one.output.storage == "S3" else ""
            said = f"{output.name} was purged, as spec.retention says{files}; it cannot be rolled back to"
            notes += [Note(asset, "Normal", "Purged", said) for asset in self._objects(output.assets)]
        await self._scope.applier.post(notes)

    def _objects(self, names: Collection[str]) -> list[Object]:
        found = (self._scope.mirror.get(ASSETS.kind, name) for name in names)
        return [{"kind": ASSETS.kind, **obj} for obj in found if obj is not None]


def shown(verdicts: Collection[Verdict], pinned: Mapping[UUID, str]) -> Object:
    """What the status of an Asset says of the versions of its output. Pure."""
    status: Object = {"versions": len(verdicts)}
    for verdict in verdicts:
        if verdict.due:
            why = pinned.get(verdict.output.version_id)
            return status | {"nextPurge": f"{verdict.output.name}{f', not yet: {why}' if why else ' now'}"}
    needed = [verdict for verdict in verdicts if verdict.needed and verdict.output.policies]
    if needed:
        return status | {"nextPurge": f"{needed[0].output.name}, not yet: {needed[0].needed}"}
    ages = [(verdict.until, verdict.output.name) for verdict in verdicts if verdict.until is not None]
    if ages:
        until, name = min(ages, key=lambda one: one[0])
        return status | {"nextPurge": f"{name} at {conditions.stamp(until.astimezone(UTC))}"}
    last = [verdict.output.name for verdict in verdicts if verdict.last]
    return status | ({"nextPurge": f"{last[0]} when another version takes over"} if last else {})
