"""Conditions: what a person or `kubectl wait` reads of an object, by the Kubernetes API conventions.

A condition keeps the time of its last change of status, so a new list is made from the old one. Conditions of
other writers are left out and, applied server-side into a list that is a map by type, stay untouched.

What Trace's conditions mean:

| kind | type | True means |
|---|---|---|
| DAG | Valid | the spec as applied, with the Jobs that joined it, is a graph that can run |
| DAG | Staged | a new version is built beside the running one; False `RebuildFailed`: it needs a person |
| DAG | Ready | the spec as applied is the running version, its tables exist and its sources are available |
| DAG | Degraded | something needs a person or is being retried: dead tasks, failing workers, state unavailable |
| Job | Valid | it is part of the DAG's valid graph |
| Job | Ready | its tables exist and, for a source, its pod is available and it gets on |
| Job | Degraded | its tasks died, or its pods ended badly or cannot start; the reason is the pod's own |
| Asset | Ready | an active version publishes it (a Federated one: both of its parts) and readers can query it |
| Asset | Fresh | its last refresh succeeded; only of an external one; False: the message has file, row and remedy |
| Bundle | Valid | always False for now: nothing runs bundles yet |
| all | Reconciling | the object is being brought about, and nothing is wrong so far |
| all | Stalled | it needs a person or fails again and again; the reason is that of the condition that says what |

The last two follow from the others and are there only while they hold, which is how kstatus wants them (cli-utils,
`pkg/kstatus/README.md`): `helm --wait`, Flux and Argo CD's health check read them in place of Trace's own words.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any

MAX_MESSAGE = 4096
"""Bytes of one message: status must stay small whatever is wrong."""
ABNORMAL = ("Reconciling", "Stalled")
"""Types that are there only while they hold. They follow from the others, so one that goes goes with a change."""
_STALLED = {
    ("Valid", "False"): ("Invalid", "NotSupported"),
    ("Staged", "False"): ("RebuildFailed", "CutOverRefused"),
    ("Ready", "False"): ("Invalid", "StorageMismatch", "SourceStalled", "RolledBack"),
}
"""What no time mends, by type and status: the reasons. Any other that is not Ready is on its way there."""


@dataclass(frozen=True, slots=True)
class Condition:
    """One condition as decided now. `reason` is CamelCase and stable, `message` is for a person."""

    type: str
    status: str
    reason: str
    message: str = ""


def true(kind: str, reason: str, message: str = "") -> Condition:
    """A condition that holds."""
    return Condition(kind, "True", reason, message)


def false(kind: str, reason: str, message: str = "") -> Condition:
    """A condition that does not hold."""
    return Condition(kind, "False", reason, message)


def parsed(entries: Iterable[Mapping[str, Any]]) -> list[Condition]:
    """Status entries as conditions."""
    return [Condition(e["type"], e["status"], e["reason"], e.get("message", "")) for e in entries]


def of(obj: Mapping[str, Any]) -> Sequence[Mapping[str, Any]]:
    """The conditions that an object shows."""
    shown: Sequence[Mapping[str, Any]] = (obj.get("status") or {}).get("conditions") or []
    return shown


def observed(obj: Mapping[str, Any], new: Iterable[Condition], now: datetime) -> dict[str, Any]:
    """The part of a status that every kind has: the generation that was looked at, and its conditions."""
    generation = int(obj["metadata"].get("generation") or 0)
    return {"observedGeneration": generation, "conditions": merged(obj, new, now)}


def merged(obj: Mapping[str, Any], new: Iterable[Condition], now: datetime) -> list[dict[str, Any]]:
    """`new` as status entries: the time of the last transition stays where the status did not change."""
    generation = int(obj["metadata"].get("generation") or 0)
    before = {entry["type"]: entry for entry in of(obj)}
    known = tuple(new)
    merged_entries = []
    for condition in (*known, *abnormal(known)):
        previous = before.get(condition.type)
        unchanged = previous is not None and previous.get("status") == condition.status
        merged_entries.append(
            {
                "type": condition.type,
                "status": condition.status,
                "reason": condition.reason,
                "message": bounded(condition.message),
                "observedGeneration": generation,
                "lastTransitionTime": previous["lastTransitionTime"] if previous and unchanged else stamp(now),
            }
        )
    return merged_entries


def abnormal(known: Sequence[Condition]) -> tuple[Condition, ...]:
    """Stalled, Reconciling or neither, by the other conditions; never both, for a reader takes the first."""
    for c in known:
        if (c.type, c.status) == ("Degraded", "True") or c.reason in _STALLED.get((c.type, c.status), ()):
            return (true("Stalled", c.reason, c.message),)
    return tuple(
        true("Reconciling", c.reason, c.message) for c in known if c.type == "Ready" and c.status != "True"
    )


def changed(old: Sequence[Mapping[str, Any]], new: Iterable[Condition]) -> tuple[Condition, ...]:
    """Conditions whose status or reason is another than before: the transitions a user would look for."""
    before = {entry["type"]: (entry.get("status"), entry.get("reason")) for entry in old}
    return tuple(c for c in new if before.get(c.type) != (c.status, c.reason))


def find(status: Mapping[str, Any] | None, kind: str) -> Mapping[str, Any] | None:
    """The condition of that type in an object's status."""
    return next((entry for entry in (status or {}).get("conditions") or [] if entry["type"] == kind), None)


def bounded(message: str, limit: int = MAX_MESSAGE) -> str:
    """`message`, cut at a bound of bytes with a sign that it was cut."""
    raw = message.encode()
    return message if len(raw) <= limit else raw[: limit - 4].decode(errors="ignore") + " ..."


def listed(lines: Sequence[str], limit: int = MAX_MESSAGE) -> str:
    """Lines joined; where they do not all fit, how many are left out and where to read them."""
    kept: list[str] = []
    size = 0
    for line in lines:
        size += len(line.encode()) + 2
        if size > limit - 128:
            break
        kept.append(line)
    left = len(lines) - len(kept)
    return "; ".join(kept) + (f"; and {left} more: tracectl lint shows all" if left else "")


def stamp(moment: datetime) -> str:
    """RFC 3339 in UTC, whole seconds, as Kubernetes writes times."""
    return moment.strftime("%Y-%m-%dT%H:%M:%SZ")
