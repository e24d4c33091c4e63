"""What every reconciler of a namespace works with."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any
from uuid import UUID

from traceplane.reconcile.apply import Applier
from traceplane.reconcile.gather import Manifests
from traceplane.reconcile.mirror import Mirror
from traceplane.store.engine import Database

Object = dict[str, Any]
"""A Kubernetes object, as the API server shows it."""


@dataclass(frozen=True, slots=True)
class Scope:
    """One namespace: how it is seen (mirror, manifests, state) and how it is changed (applier, state)."""

    org_id: UUID
    namespace: str
    database: Database
    mirror: Mirror
    manifests: Manifests
    applier: Applier
