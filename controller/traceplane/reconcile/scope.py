"""What every reconciler of a namespace works with."""

from __future__ import annotations

from dataclasses import dataclass
from uuid import UUID

from traceplane.reconcile.apply import Applier
from traceplane.reconcile.external import Sources
from traceplane.reconcile.gather import Manifests
from traceplane.reconcile.mirror import Mirror
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey


@dataclass(frozen=True, slots=True)
class Scope:
    """One namespace: how it is seen (mirror, manifests, state) and how it is changed (applier, state)."""

    org_id: UUID
    namespace: str
    database: Database
    mirror: Mirror
    manifests: Manifests
    applier: Applier
    sources: Sources
    """What external assets may be read from."""

    def dag_key(self, name: str) -> DagKey:
        """A DAG of the namespace, as state names it."""
        return DagKey(self.org_id, self.namespace, name)
