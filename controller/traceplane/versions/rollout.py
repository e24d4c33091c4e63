"""What happens to a staged version after its deploy: it takes over, is approved, or is left; and the way back.

Each verb is one transaction under the lock of the DAG's pointer, and looks again at what it depends on after it
has the lock. A cutover moves every dataset of the DAG, hot and cold, at once: readers follow the pointer. A
rollback is the same swap, to a version that was active before: its data is still there.
"""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from traceplane.errors import NotFound, Refused
from traceplane.store.engine import Connection
from traceplane.store.statements import notify, pointers, rollouts, versions
from traceplane.store.statements.pointers import DagKey, Pointer
from traceplane.store.statements.versions import Version
from traceplane.versions import deploy, work
from traceplane.versions.asset_policies import Policies
from traceplane.versions.readiness import LAG_SECONDS, Phase, Rollout, assess

MANUAL = "Manual"


class NotPossible(Refused):
    """The DAG is in no state for that. HTTP 409."""

    code = "RolloutState"


async def look(conn: Connection, *, active: UUID | None, staged: UUID) -> Rollout:
    """How the staged version stands."""
    return assess(await rollouts.standing(conn, active=active, staged=staged, lag_seconds=LAG_SECONDS))


async def observe(conn: Connection, dag: DagKey, *, active: UUID | None, staged: UUID) -> Rollout:
    """How it stands, noted: it takes over once it was ready at every look for a while."""
    found = await look(conn, active=active, staged=staged)
    seconds = await pointers.mark_ready(conn, dag, staged, ready=found.phase is Phase.READY)
    return replace(found, settled=found.phase is Phase.READY and seconds >= found.hold_seconds)


async def cut_over(conn: Connection, dag: DagKey, spec_hash: str, *, cutover: str, policies: Policies) -> bool:
    """Make the staged version the active one, if it is that of `spec_hash`, ready for long enough, and approved
    where `cutover` is Manual; whether it was. Raises PublishedElsewhere, and nothing has changed then."""
    pointer = await pointers.lock_known(conn, dag)
    if pointer is None or pointer.deleted_at is not None or pointer.staged_version_id is None:
        return False
    staged = pointer.staged_version_id
    if pointer.staged_spec_hash != spec_hash or (cutover == MANUAL and pointer.approved_version_id != staged):
        return False
    found = await look(conn, active=pointer.active_version_id, staged=staged)
    if found.phase is not Phase.READY or (pointer.ready_seconds or 0.0) < found.hold_seconds:
        return False
    await _swap(conn, dag, pointer, staged, policies=policies)
    return True


async def approve(conn: Connection, dag: DagKey, *, version: str | None) -> Version:
    """Let the staged version take over once it is ready; `version`, where given, must be it. Raises NotFound,
    NotPossible."""
    pointer = await _locked(conn, dag)
    if pointer.staged_version_id is None:
        raise NotPossible(f"DAG {dag.dag} has no staged version: there is nothing to approve")
    staged = await _version(conn, dag, str(pointer.staged_version_id))
    if version is not None and (await _version(conn, dag, version)).id != staged.id:
        raise NotPossible(f"version: {version} is not staged; the staged version of DAG {dag.dag} is {staged.name}")
    await pointers.approve(conn, dag)
    await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")
    return staged


async def roll_back(conn: Connection, dag: DagKey, *, version: str | None) -> Version:
    """Make a version active that was so before; None: the one before the active. The spec that is applied is held
    off until it changes. Raises NotFound, NotPossible."""
    pointer = await _locked(conn, dag)
    target = await versions.find(conn, dag, name=version, but=pointer.active_version_id)
    if target is None and version is None:
        raise NotPossible(f"DAG {dag.dag} was never at another version: there is none to roll back to")
    target = target or await _version(conn, dag, version or "")
    if target.id == pointer.active_version_id:
        raise NotPossible(f"version: {target.name} of DAG {dag.dag} is the active one")
    if target.purged:
        message = f"the data of {target.name} of DAG {dag.dag} was purged"
        raise NotPossible(f"version: {message}; apply its definition again, and it is built anew")
    if not target.built:
        raise NotPossible(f"version: {target.name} of DAG {dag.dag} was never active, so its data is not whole")
    await _swap(conn, dag, pointer, target.id, held=_held(pointer, target))
    return target


def _held(pointer: Pointer, target: Version) -> str | None:
    """What is held off while `target` is active; None where that is what is applied."""
    # Of a spec that reads assets of other DAGs, the version over their former ones is another one. The next look
    # knows which of them is applied, and ends the hold where that is `target`.
    if pointer.held_spec_hash is not None:
        return pointer.held_spec_hash if pointer.held_spec_hash != target.spec_hash else None
    applied = pointer.staged_spec_hash or pointer.spec_hash
    return (pointer.staged_written_hash or pointer.written_hash) if applied != target.spec_hash else None


async def resume(conn: Connection, dag: DagKey) -> None:
    """Deploy again what a rollback held off. Raises NotFound, NotPossible."""
    pointer = await _locked(conn, dag)
    if pointer.held_spec_hash is None:
        raise NotPossible(f"DAG {dag.dag} was not rolled back: its spec is not held off")
    await pointers.release(conn, dag)
    await notify.deployed(conn, f"{dag.namespace}/{dag.dag}")


async def _swap(
    conn: Connection,
    dag: DagKey,
    pointer: Pointer,
    version_id: UUID,
    *,
    policies: Policies | None = None,
    held: str | None = None,
) -> None:
    """Point at a version whose generations are all built."""
    active, staged = pointer.running
    known = await versions.generations(conn, dag, active=active, staged=staged, wanted=())
    job_ids = await versions.job_ids(conn, version_id)
    await deploy.activate(conn, dag, version_id, known, job_ids, policies or Policies(), held)
    await work.ensure(conn, dag, job_ids, announce=True)


async def _locked(conn: Connection, dag: DagKey) -> Pointer:
    pointer = await pointers.lock_known(conn, dag)
    if pointer is None or pointer.deleted_at is not None:
        raise NotFound(f"there is no DAG {dag.dag}")
    return pointer


async def _version(conn: Connection, dag: DagKey, name: str) -> Version:
    found = await versions.find(conn, dag, name=name, but=None)
    if found is None:
        listing = f"`tracectl get versions {dag.dag}` lists them"
        raise NotFound(f"version: DAG {dag.dag} has no version {name[:80]!r}; {listing}")
    return found
