"""One query from admitted statement to rendered rows: the broker's whole part, in one thread.

The order is the design: open the data snapshot, read the catalogue, write down what personal data is read, hand the
cell its shapes, link the files its plan needs, serve its hot scans, take the answer, write it down. Whatever fails,
the cell is killed when `run` returns, and its folder goes. A client that goes away or a time limit kills the cell;
everything else follows from that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from functools import partial
from uuid import UUID

import msgspec

from traceplane.errors import TraceError, Unavailable
from traceplane.query import wire
from traceplane.query.attach import audit, batch, catalogue, hotread
from traceplane.query.attach.databases import Databases, DataSnapshot
from traceplane.query.broker.cells import Cells
from traceplane.query.broker.conversation import Conversation
from traceplane.query.broker.query import Answer, Cancel, Job, canceled, out_of_time
from traceplane.query.files.bucket import Bucket, Export
from traceplane.query.files.cache import Cache
from traceplane.query.relations import pins
from traceplane.query.relations.relation import Relation


@dataclass(frozen=True, slots=True)
class _Pinned:
    """The relations of a query, the snapshot of data they are read in, and the token that repeats it."""

    snapshot: str
    relations: list[Relation]
    token: str | None


class Engine:
    """Runs queries; safe to call from several threads."""

    def __init__(self, databases: Databases, cache: Cache, cells: Cells, bucket: Bucket, org: UUID) -> None:
        self._databases = databases
        self._cache = cache
        self._cells = cells
        self._bucket = bucket
        self._org = org

    def run(self, job: Job, cancel: Cancel) -> Answer:
        """The answer, written down. Raises Refusal, Disconnect, QueryFailed, Overloaded, Unavailable, or
        Stale where the lease was lost."""
        started = time.monotonic()
        deadline = started + job.seconds
        with ExitStack() as open_parts:
            pinned = _Pinned("", [], None)
            if job.admitted.relations:
                try:
                    pinned = self._pinned(job, cancel, open_parts)
                    self._write_accesses(job, pinned.relations, deadline)
                except Unavailable as error:
                    raise _ended(job, cancel, deadline) or error from None
            cell = open_parts.enter_context(self._cells.one(job.limits))
            reader = hotread.HotReader(self._databases.hot, pinned.snapshot, deadline)
            run = Conversation(job, pinned.relations, cell, reader, cancel, deadline)
            open_parts.callback(reader.close)
            open_parts.callback(cell.kill)  # before the scans are waited for: only its end frees a full pipe
            cancel.covers(cell.kill)
            cancel.covers(reader.cancel)
            open_parts.callback(cancel.over)
            try:
                run.plan()
                files = [file for relation in pinned.relations for file in relation.files]
                paths = open_parts.enter_context(self._cache.held(files, cancel.event, deadline))
                run.link([str(path) for path in paths])
                answer = replace(run.answer(partial(self._export, job)), as_of=pinned.token)
            except TimeoutError:
                raise out_of_time(job.limit) from None
            except wire.Closed:
                raise run.ended() from None
        if job.lease is not None and answer.output is None:
            answer = replace(answer, body=b"", output=self._placed(job, answer.body))
        if job.admitted.relations or job.lease is not None or answer.output is not None:
            self._write_result(job, answer, time.monotonic() - started)
        return answer

    def _pinned(self, job: Job, cancel: Cancel, open_parts: ExitStack) -> _Pinned:
        """Open the snapshot of data, then read the catalogue. The log of invalidations comes before both: what it
        tells has happened to the rows already."""
        if job.as_of is not None:
            return self._pinned_then(job, job.as_of, self._opened(job, cancel, open_parts))
        sequence = self._databases.last_invalidation()
        snapshot = self._opened(job, cancel, open_parts)
        with self._databases.catalogue() as state:
            relations = state.resolve(job.admitted.relations, job.namespace, job.reader)
            state_snapshot = state.snapshot()
        hot_ones = [(relation, table) for relation in relations if (table := relation.hot) is not None]
        exported = ""
        if hot_ones:
            exported, heads = snapshot.export([(table.location, table.scope_column) for _, table in hot_ones])
            for (relation, _), head in zip(hot_ones, heads, strict=True):
                relation.pin = msgspec.structs.replace(relation.pin, head=head)
        token = pins.encode(pins.pin(state_snapshot, sequence, [relation.pin for relation in relations]))
        return _Pinned(exported, relations, token)

    def _pinned_then(self, job: Job, then: pins.Pin, snapshot: DataSnapshot) -> _Pinned:
        """The relations as `then` saw them. Raises Disconnect."""
        with self._databases.catalogue() as state:
            relations = state.resolve_as_of(job.admitted.relations, job.namespace, job.reader, then)
        for relation in relations:
            if relation.pin.hot is not None:
                catalogue.refuse_touched(relation.pin, snapshot.unrelayed(relation.pin.hot))
        exported = snapshot.export([])[0] if any(relation.hot for relation in relations) else ""
        return _Pinned(exported, relations, pins.encode(then))

    def _opened(self, job: Job, cancel: Cancel, open_parts: ExitStack) -> DataSnapshot:
        snapshot = open_parts.enter_context(self._databases.snapshot(job.seconds))
        cancel.covers(snapshot.cancel)
        open_parts.callback(cancel.over)
        return snapshot

    def _write_accesses(self, job: Job, relations: Sequence[Relation], deadline: float) -> None:
        """Write down that personal data is about to be read. Raises Unavailable, and nothing is read then."""
        accesses = [
            audit.Access(relation.row.namespace, relation.row.name, relation.version_ids(), relation.pii)
            for relation in relations
            if relation.pii
        ]
        if accesses:
            with self._databases.audit(max(0.0, deadline - time.monotonic())) as log:
                log.accesses(job.caller, accesses)

    def _write_result(self, job: Job, answer: Answer, seconds: float) -> None:
        values = {
            "format": job.form,
            "rows": answer.rows,
            "truncated": answer.truncated,
            "bytes": answer.output.bytes if answer.output else len(answer.body),
            "scanned": answer.bytes_scanned,
            "duration": round(seconds * 1000, 1),
            "columns": [{"name": name, "type": kind} for name, kind in answer.columns],
            "versions": answer.versions,
            "as_of": answer.as_of,
        }
        with self._databases.audit() as log:
            log.result(job.caller, values, answer.output)
            if job.lease is not None:
                batch.beside(log).end(job.lease, "Succeeded")

    def _placed(self, job: Job, body: bytes) -> audit.Output:
        """Put an answer that would go inline into the bucket, where whoever comes for it later finds it."""
        with self._export(job) as export:
            export.write(body)
        return audit.Output(export.location, export.sha256, export.bytes)

    def _export(self, job: Job) -> AbstractContextManager[Export]:
        return self._bucket.export(self._org, job.caller.query)


def _ended(job: Job, cancel: Cancel, deadline: float) -> TraceError | None:
    """Why a database that was asked in vain gave no answer, where that is not its own fault."""
    if cancel.event.is_set():
        return canceled()
    return out_of_time(job.limit) if time.monotonic() >= deadline else None
