"""Which jobs of a graph could never be given credentials for object storage.   (pure)

A task writes its cold outputs with credentials that a session policy confines to its job's prefixes, and STS takes
a policy of 2,048 characters. A job whose prefixes are more would be claimed and fail, every time, at its first
write; so it is refused where it is deployed. Places of data are known exactly there. What a job merely reads from
object storage may come through the query service, for which it needs no credentials: that is not refused.
"""

from __future__ import annotations

from collections.abc import Mapping

from traceplane.errors import Refused, TooLarge
from traceplane.graph import AssetVersion, Graph
from traceplane.identity import prefixes
from traceplane_sdk.operator import Storage

_MAX_JOBS = 10

Places = Mapping[tuple[str, str], str]
"""The prefix of each output in object storage, by (job, output)."""


class PrefixesTooLarge(Refused):
    """Jobs have more prefixes than a session policy holds; nothing was changed."""

    code = "PolicyTooLarge"


def refusal(graph: Graph, places: Places) -> PrefixesTooLarge | None:
    """Why tasks of `graph` could not write their cold outputs; None where all can."""
    reasons = []
    for job in graph.jobs:
        write = _at(places, [(job.name, output.name) for output in job.outputs])
        read = _at(places, [edge.own for edge in job.inputs if edge.own])
        read += [prefixes.parse(edge.asset.location) for edge in job.inputs if edge.asset and _is_cold(edge.asset)]
        try:
            if write:
                prefixes.session_policy(read, write)
        except TooLarge as error:
            reasons.append(f"job {job.name}: {error.message}")
    more = f"; and {len(reasons) - _MAX_JOBS} more jobs" if len(reasons) > _MAX_JOBS else ""
    return PrefixesTooLarge("; ".join(reasons[:_MAX_JOBS]) + more) if reasons else None


def _is_cold(asset: AssetVersion) -> bool:
    return asset.schema.storage is Storage.S3


def _at(places: Places, outputs: list[tuple[str, str]]) -> list[prefixes.Prefix]:
    return [prefixes.parse(places[output]) for output in outputs if output in places]
