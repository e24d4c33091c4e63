"""Fields that somebody wrote and nobody kept.   (pure)

The API server prunes fields that the schema does not know before anybody sees the object, webhooks included. It
refuses them where the client asks for it (kubectl does, and every server-side apply), but `--validate=false`, or a
tool that does not ask, loses a misspelt field without a word. A client-side apply leaves its whole manifest in an
annotation, and there the field can still be seen. What was created in another way left no trace.
"""

from __future__ import annotations

import json
from collections.abc import Mapping
from functools import lru_cache
from typing import Any

from traceplane import graph as graphs
from traceplane.graph.explain import UNKNOWN_FIELD

LAST_APPLIED = "kubectl.kubernetes.io/last-applied-configuration"


def manifest(obj: Mapping[str, Any]) -> str | None:
    """The manifest that the last client-side apply left, as JSON; None where there is none."""
    annotations = obj["metadata"].get("annotations") or {}
    found = annotations.get(LAST_APPLIED)
    return found if isinstance(found, str) else None


def lost_fields(obj: Mapping[str, Any]) -> tuple[str, ...]:
    """What the manifest says that its kind does not know, a line a field with the remedy."""
    written = manifest(obj)
    return () if written is None else _unknown(str(obj["kind"]), written)


# A resync looks at every object again, and most manifests are what they were.
@lru_cache(maxsize=256)
def _unknown(kind: str, written: str) -> tuple[str, ...]:
    try:
        document = json.loads(written)
    except ValueError:
        return ()
    if not isinstance(document, dict) or document.get("kind") != kind:
        return ()
    problems = graphs.parse(kind, document)
    if not isinstance(problems, list):
        return ()
    return tuple(str(problem) for problem in problems if problem.code == UNKNOWN_FIELD)
