"""Putting a claim's answer together from fragments (pure).

The claim is the hottest answer, and most of it is the same for every task of a job: so it is bytes joined with
what the claim statement returned, and nothing that is already JSON is parsed again. Its shape is
`traceplane_sdk.wire.ClaimResponse`, and tests decode it as that.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

import msgspec
import orjson

from traceplane.dispatch.generations import Generation
from traceplane.store.statements.claims import Claimed, ClaimedRow
from traceplane_sdk.wire import ColdPartition

PER_PARTITION = "PerPartition"


@dataclass(frozen=True, slots=True)
class Context:
    """What the tasks of one claim read besides their own rows.

    `state` is JSON. `cursors` and `final` by dataset version; `relocated` holds (hot version, cold version, first,
    last, cold location) in ascending order, no value of a hot version twice. `partitions` are those of cold
    versions that the tasks read, where they read partitions.
    """

    state: bytes
    cursors: dict[str, int]
    final: dict[str, int]
    relocated: tuple[tuple[str, str, int | None, int | None, str], ...]
    partitions: Mapping[str, Sequence[ColdPartition]] = field(default_factory=dict)

    @classmethod
    def read(cls, text: str | None, partitions: Mapping[str, Sequence[ColdPartition]] | None = None) -> Context:
        """The context a claim statement returned."""
        document = orjson.loads(text) if text else {}
        return cls(
            orjson.dumps(document.get("state") or {}),
            document.get("cursors") or {},
            document.get("final") or {},
            tuple(tuple(row) for row in document.get("relocated") or ()),
            partitions or {},
        )

    def cold_versions(self, job: Generation) -> tuple[str, ...]:
        """Which cold versions have relocated ranges of the job's inputs."""
        return tuple(dict.fromkeys(row[1] for row in self.relocated if row[0] in job.input_versions))

    def cold_locations(self, job: Generation) -> tuple[str, ...]:
        """Where the relocated ranges of the job's inputs lie, besides the places that it writes."""
        own = {output["version"] for output in job.facts.outputs}
        rows = (row for row in self.relocated if row[0] in job.input_versions and row[1] not in own)
        return tuple(dict.fromkeys(row[4] for row in rows))

    def ranges(self, version: str, low: int | None, high: int | None) -> list[dict[str, Any]]:
        """Relocated ranges of a hot version within `low` to `high` (inclusive; None is no bound), by cold one."""
        found: dict[str, list[tuple[int, int]]] = {}
        for hot, cold, first, last, _location in self.relocated:
            if hot != version or first is None or last is None:
                continue
            start = first if low is None else max(first, low)
            end = last if high is None else min(last, high)
            if start <= end:
                found.setdefault(cold, []).append((start, end))
        return [
            {"cold_version": cold, "ranges": ranges, "partitions": self._touched(cold, ranges)}
            for cold, ranges in found.items()
        ]

    def _touched(self, cold: str, ranges: Sequence[tuple[int, int]]) -> list[dict[str, Any]]:
        return [
            msgspec.to_builtins(part)
            for part in self.partitions.get(cold, ())
            if any(part.start <= end and part.end >= start for start, end in ranges)
        ]


def may_be_relocated(context: str | None) -> bool:
    """Whether a claim's context has relocated ranges: cheaper than to read it, and true too where state says so."""
    return context is not None and '"relocated": [' in context


def response(job: Generation, claimed: Claimed, context: Context, rows: Sequence[ClaimedRow], token: str) -> bytes:
    """The whole answer to one claimant, for its `rows`."""
    return b'{"tasks":[' + b",".join(_entries(job, claimed, context, rows, token)) + b"]}"


EMPTY = b'{"tasks":[]}'


def _entries(
    job: Generation, claimed: Claimed, context: Context, rows: Sequence[ClaimedRow], token: str
) -> list[bytes]:
    timeout = b"null" if claimed.timeout_seconds is None else repr(claimed.timeout_seconds).encode()
    seconds = (claimed.lease_expires_at - claimed.now).total_seconds()
    tail = (
        f'","lease_expires_at":"{claimed.lease_expires_at.isoformat()}","lease_seconds":{seconds},'
        f'"capability_token":"{token}"}}'
    ).encode()
    shared = b",".join(
        (
            b"",
            job.payload,
            b'"outputs":' + _outputs(job, context),
            b'"state":' + context.state,
            b'"timeout_seconds":' + timeout,
        )
    )
    per_task = job.facts.execution_strategy == PER_PARTITION
    entries = []
    for row in rows:
        writer = f"task:{row.task_id}" if per_task else "job"
        head = (
            f'{{"task":{{"task_id":"{row.task_id}","attempt":{row.attempt},"cause":"{row.cause}",'
            f'"lease_epoch":{row.lease_epoch},"writer":"{writer}","scope":{row.scope}'
        ).encode()
        inputs = b',"inputs":[' + b",".join(_inputs(job, context, row)) + b"]}"
        fence = f',"attempt":{row.attempt},"lease_token":"{row.lease_token}'.encode()
        entries.append(head + shared + inputs + fence + tail)
    return entries


def _inputs(job: Generation, context: Context, row: ClaimedRow) -> list[bytes]:
    if not job.input_fragments:
        return []
    scope = orjson.loads(row.scope)
    fragments = []
    for fragment, given in zip(job.input_fragments, job.facts.inputs, strict=True):
        own = orjson.dumps(_pinned(scope, context, given["version"]))
        fragments.append(fragment + (b"," + own[1:] if own != b"{}" else b"}"))
    return fragments


def _pinned(scope: dict[str, Any], context: Context, version: str) -> dict[str, Any]:
    """What one task reads of one input: partition or span of the cursor, what is final, what of it lies cold."""
    pinned: dict[str, Any] = {"final": context.final[version]} if version in context.final else {}
    low: int | None = None
    high: int | None = None
    if scope["kind"] == "partition":
        low, high = scope["start"], scope["end"]
        pinned["partition"] = {"key": scope["key"], "start": low, "end": high}
    elif scope["kind"] == "cursor" and version in scope.get("upto", {}):
        after, upto = context.cursors.get(version), scope["upto"][version]
        low, high = None if after is None else after + 1, scope.get("reach", {}).get(version, upto)
        pinned["cursor"] = {"after": after, "upto": upto} | ({"reach": high} if high != upto else {})
    if relocated := context.ranges(version, low, high):
        pinned["relocated"] = relocated
    return pinned


def _outputs(job: Generation, context: Context) -> bytes:
    """The job's outputs, with the ranges of them that were compacted away."""
    moved = {row[0] for row in context.relocated}
    if moved.isdisjoint(output["version"] for output in job.facts.outputs):
        return job.output_fragment
    return orjson.dumps(
        [{**output, "relocated": context.ranges(output["version"], None, None)} for output in job.facts.outputs]
    )
