"""The declared policies of what a DAG publishes, written by the transaction that publishes it.

An Asset needs no DAG: the two may be applied in any order, and readers join them by name. But once a DAG publishes
a name, no reader may find the publication before the policy that was declared for it is in force.
"""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.store.engine import Connection
from traceplane.store.statements import asset_policies as statements
from traceplane.store.statements.asset_policies import Policy
from traceplane.store.statements.pointers import DagKey


@dataclass(frozen=True, slots=True)
class Policies:
    """The policies for the publications of one DAG: valid ones, and the roles of Assets that are not valid."""

    declared: tuple[Policy, ...] = ()
    closing: tuple[Policy, ...] = ()


async def put_in_force(conn: Connection, dag: DagKey, policies: Policies) -> None:
    """Store valid policies whole; of an invalid Asset only what closes an asset that any reader could read."""
    org_id, namespace = dag.org_id, dag.namespace
    await statements.declare(conn, org_id=org_id, namespace=namespace, policies=policies.declared)
    await statements.close(conn, org_id=org_id, namespace=namespace, policies=policies.closing)
