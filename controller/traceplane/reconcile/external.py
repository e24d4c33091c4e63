"""What an external asset shows: whether it may be read, from what, and how its last refresh went.   (pure)"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC

from traceplane.drivers.kube import Object
from traceplane.graph import Problem
from traceplane.kinds import Asset
from traceplane.kinds.rules import FORBIDDEN
from traceplane.reconcile import conditions
from traceplane.reconcile.conditions import Condition, false
from traceplane.store.statements.controller_facts import AssetFacts
from traceplane.store.statements.external import Standing
from traceplane.versions import external_sources

MAX_COLUMNS = 256
"""Columns that a status lists."""
_ENDED = {
    "Completed": ("True", "Refreshed"),
    "Failed": ("False", "RefreshFailed"),
    "Canceled": ("False", "Canceled"),
}


@dataclass(frozen=True, slots=True)
class Sources:
    """What this installation lets external assets read: some buckets, of which `own` is that of cold data."""

    own: str
    buckets: tuple[str, ...]


def problems(asset: Asset, sources: Sources) -> list[Problem]:
    """Why the source of an Asset may not be read here."""
    external = asset.spec.external
    if external is None:
        return []
    try:
        external_sources.parse(external.model_dump(), buckets=sources.buckets, own_bucket=sources.own)
    except external_sources.NotAllowed as error:
        field, _, message = str(error).partition(": ")
        return [Problem(asset.source, field, FORBIDDEN, message)]
    return []


def ready(asset: Asset, facts: Mapping[str, AssetFacts], standing: Standing | None) -> Condition | None:
    """Why nothing can be read yet; None where the asset is as any other."""
    found = facts.get(asset.metadata.name)
    if found is not None and standing is None:
        return false(
            "Ready", "PublishedElsewhere", f"DAG {found.dag} publishes it: remove external, or publish less"
        )
    if found is None:
        words = f"nothing was read yet: tracectl asset refresh {asset.metadata.name}"
        failed = _words(standing)
        return false("Ready", "NotRefreshed", f"{words}; {failed}" if failed else words)
    return None


def fresh(standing: Standing | None) -> list[Condition]:
    """How the last refresh went; nothing before the first."""
    if standing is None or standing.status is None:
        return []
    status, reason = _ENDED.get(standing.status, ("Unknown", "Refreshing"))
    if standing.status == "Failed" and standing.next_retry_at is not None:
        reason = "RefreshRetried"
    return [Condition("Fresh", status, reason, _words(standing))]


def status(standing: Standing | None, facts: AssetFacts | None) -> Object:
    """What a status shows of an external asset besides what every asset shows."""
    if standing is None:
        return {}
    done = standing.last or {}
    shown = {
        "source": standing.content.get("source"),
        "content": standing.content.get("content"),
        "lastRefresh": done.get("at"),
        "columns": [f"{c['name']} {c['type']}" for c in facts.columns][:MAX_COLUMNS] if facts else None,
    }
    return {name: value for name, value in shown.items() if value is not None}


def _words(standing: Standing | None) -> str:
    """Why the last refresh failed, or what it came to."""
    if standing is None or standing.status is None:
        return ""
    if standing.status == "Failed" and standing.error:
        return f"{standing.error.get('code')}: {standing.error.get('message')}"
    if standing.status == "Completed" and standing.last:
        version, result = standing.last.get("version"), standing.last.get("result")
        at = f", {conditions.stamp(standing.finished_at.astimezone(UTC))}" if standing.finished_at else ""
        return f"{result}: {version}{at}"
    return f"the refresh is {standing.status}"
