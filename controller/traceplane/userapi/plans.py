"""What state knows of a DAG that somebody is about to change: from it, `tracectl plan` says what a change does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from traceplane.store.statements import asset_inputs, controller_facts, plans, versions
from traceplane.store.statements.pointers import DagKey
from traceplane.userapi.call import Call
from traceplane.userapi.plan_shapes import InputsRequest, PlanRequest


async def plan_dag(call: Call) -> Any:
    """What is built of a DAG's jobs, and how much there is; a DAG that nobody deployed has nothing."""
    dag, request = DagKey(call.principal.org_id, call.own_namespace(), call.name()), call.body
    assert isinstance(request, PlanRequest)
    async with call.state.transaction() as conn:
        facts = await controller_facts.pointer_facts(conn, dag)
        # One that was deleted points at no version.
        active, staged = (facts.active_version_id, facts.staged_version_id) if facts else (None, None)
        wanted = [(job.name, job.config_hash) for job in request.jobs]
        known = await versions.generations(conn, dag, active=active, staged=staged, wanted=wanted)
        active_jobs = [generation.id for generation in known if generation.active]
        preview = (request.preview.start, request.preview.end) if request.preview else None
        sizes = await plans.sizes(conn, dag.org_id, active_jobs, request.reads, preview)
        readers = await asset_inputs.readers(conn, dag)
        same, purged = await versions.of_spec(conn, dag, request.spec_hash) or (None, False)
    return {
        "active_version": facts.active_name if facts else None,
        "active_spec_hash": facts.active_spec_hash if facts else None,
        "staged_version": facts.staged_name if facts else None,
        "held": bool(facts and facts.holds(spec_hash=request.spec_hash, written_hash=request.written_hash)),
        "version": same,
        "purged": purged,
        "generations": [asdict(generation) for generation in known],
        "sizes": [asdict(size) for size in sizes],
        "readers": [asdict(reader) for reader in readers],
    }


async def dag_inputs(call: Call) -> Any:
    """What assets of other DAGs are for a DAG that reads them: the versions that a plan is made over."""
    dag, request = DagKey(call.principal.org_id, call.own_namespace(), call.name()), call.body
    assert isinstance(request, InputsRequest)
    asked = {(one.namespace or dag.namespace, one.asset) for one in request.assets}
    async with call.state.transaction() as conn:
        found = await asset_inputs.current(conn, dag, asked)
    return {"namespace": dag.namespace, "items": [asdict(one) for one in found]}
