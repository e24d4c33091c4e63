"""What state knows of a DAG that somebody is about to change: from it, `tracectl plan` says what a change does."""

from __future__ import annotations

from dataclasses import asdict
from typing import Any

from traceplane.store.statements import controller_facts, plans, versions
from traceplane.store.statements.pointers import DagKey
from traceplane.userapi.call import Call
from traceplane.userapi.shapes import PlanRequest


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
        sizes = await plans.sizes(conn, [generation.id for generation in known if generation.active])
        same, purged = await versions.of_spec(conn, dag, request.spec_hash) or (None, False)
    return {
        "active_version": facts.active_name if facts else None,
        "active_spec_hash": facts.active_spec_hash if facts else None,
        "staged_version": facts.staged_name if facts else None,
        "held": bool(facts and facts.held_spec_hash == request.spec_hash),
        "version": same,
        "purged": purged,
        "generations": [asdict(generation) for generation in known],
        "sizes": [asdict(size) for size in sizes],
    }
