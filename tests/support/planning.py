"""Plans made of state, as the user API and `tracectl plan` make them together."""

from __future__ import annotations

from collections.abc import Collection, Mapping
from uuid import UUID

from traceplane.graph import Graph
from traceplane.store.engine import Connection
from traceplane.store.statements import controller_facts, plans, versions
from traceplane.store.statements.pointers import DagKey
from traceplane.versions.plan import Plan, plan


async def planned(
    conn: Connection,
    dag: DagKey,
    graph: Graph,
    *,
    reads: Collection[UUID] = (),
    calls: Mapping[str, int] | None = None,
) -> Plan:
    """What a deploy of `graph` would do. `reads`: versions of others' assets; `calls`: of a value, by operator."""
    facts = await controller_facts.pointer_facts(conn, dag)
    active, staged = (facts.active_version_id, facts.staged_version_id) if facts else (None, None)
    wanted = [(job.name, job.config_hash) for job in graph.jobs]
    known = await versions.generations(conn, dag, active=active, staged=staged, wanted=wanted)
    running = [one.id for one in known if one.active]
    sizes = await plans.sizes(conn, dag.org_id, running, reads, graph.preview)
    return plan(graph, known, sizes, active_spec_hash=facts.active_spec_hash if facts else None, calls=calls or {})
