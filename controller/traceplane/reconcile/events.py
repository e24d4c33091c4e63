"""Kubernetes Events: what `kubectl describe` shows of an object's history.

One for each transition that a user would look for, none for a task. An event's name is a hash of its content and
of the object's generation, so a controller that crashed right after posting posts nothing twice. Posting is best
effort: a failure is counted, and does not fail the work.

Outside source: `events.k8s.io/v1`, kubernetes.io API reference (note at most 1 kB, reason CamelCase).
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from datetime import datetime

from traceplane.drivers.kube import EVENTS, FIELD_MANAGER, Conflict, Kube, KubeError, Object
from traceplane.errors import Unavailable
from traceplane.observe import reconcile_metrics as metrics
from traceplane.reconcile.actions import Note


def event(note: Note, instance: str, now: datetime) -> Object:
    """The Event object of a note. `instance` names this controller."""
    regarding = note.regarding
    metadata = regarding["metadata"]
    content = "/".join([metadata["uid"], str(metadata.get("generation", "")), note.type, note.reason, note.message])
    content += "/" + now.strftime("%Y-%m-%dT%H")  # the same transition an hour later is a new event
    return {
        "apiVersion": "events.k8s.io/v1",
        "kind": "Event",
        "metadata": {
            "name": f"{metadata['name'][:200].rstrip('-.')}.{hashlib.sha256(content.encode()).hexdigest()[:16]}"
        },
        "eventTime": now.strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
        "type": note.type,
        "reason": note.reason,
        "action": "Reconcile",
        "note": note.message.encode()[:1000].decode(errors="ignore"),
        "reportingController": f"trace.dev/{FIELD_MANAGER}",
        "reportingInstance": instance[:128],
        "regarding": {
            "apiVersion": regarding.get("apiVersion", "trace.dev/v1alpha1"),
            "kind": regarding.get("kind", "DAG"),
            "namespace": metadata["namespace"],
            "name": metadata["name"],
            "uid": metadata["uid"],
        },
    }


async def post(kube: Kube, notes: Iterable[Note], instance: str, now: datetime) -> None:
    """Post every note that was not posted already."""
    for note in notes:
        try:
            await kube.create(EVENTS, event(note, instance, now))
        except Conflict:
            continue  # posted before
        except (KubeError, Unavailable):
            metrics.events_lost.inc()
