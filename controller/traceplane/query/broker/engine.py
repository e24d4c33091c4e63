"""One query from admitted statement to rendered rows: the broker's whole part, in one thread.

The order is the design: open the data snapshot, read the catalog, record which personal data is read, send the cell
its relations, link the files that its plan needs, serve its hot scans, take the answer, record it. Whatever fails,
the cell is killed when `run` returns, and its folder is removed. A client that disconnects, or a time limit, kills
the cell; everything else follows from that.
"""

from __future__ import annotations

import time
from collections.abc import Sequence
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, field, replace
from functools import partial
from uuid import UUID

import msgspec

from traceplane.errors import TraceError, Unavailable
from traceplane.kit import spans
from traceplane.query import wire
from traceplane.query.attach import batch_queries
from traceplane.query.attach.audit_log import Access, Result
from traceplane.query.attach.catalog import Catalog, refuse_touched
from traceplane.query.attach.data_snapshot import DataSnapshot
from traceplane.query.attach.databases import Databases
from traceplane.query.attach.hot_reader import HotReader
from traceplane.query.broker.cells import Cells
from traceplane.query.broker.conversation import Conversation
from traceplane.query.broker.query import Answer, Cancel, Query
from traceplane.query.errors import canceled, out_of_time
from traceplane.query.files.bucket import Bucket, Export, Output
from traceplane.query.files.cache import Cache
from traceplane.query.gate.statement import Lists
from traceplane.query.relations import listing, pins
from traceplane.query.relations.relation import Relation


@dataclass(frozen=True, slots=True)
class _Pinned:
    """The relations of a query, the snapshot of data they are read in, the token that repeats it, and what it may
    know of the catalog."""

    snapshot: str = ""
    relations: list[Relation] = field(default_factory=list)
    token: str | None = None
    catalog: wire.Catalog | None = None


class Engine:
    """Runs queries; safe to call from several threads."""

    def __init__(self, databases: Databases, cache: Cache, cells: Cells, bucket: Bucket, org: UUID) -> None:
        self._databases = databases
        self._cache = cache
        self._cells = cells
        self._bucket = bucket
        self._org = org

    def run(self, query: Query, cancel: Cancel) -> Answer:
        """The answer, recorded. Raises Refusal, SnapshotUnavailable, QueryFailed, Overloaded, Unavailable, or Stale
        where the lease was lost."""
        started = time.monotonic()
        deadline = started + query.seconds
        with ExitStack() as open_parts:
            pinned = _Pinned()
            if query.admitted.reads:
                try:
                    with spans.spanned("catalog", query.caller.trace):
                        pinned = self._pin(query, cancel, open_parts)
                    self._record_accesses(query, pinned.relations, deadline)
                except Unavailable as error:
                    raise _interrupted(query, cancel, deadline) or error from None
            answer = self._converse(query, cancel, deadline, pinned, open_parts)
        if query.lease is not None and answer.output is None:
            answer = replace(answer, body=b"", output=self._store(query, answer.body))
        if query.admitted.reads or query.lease is not None or answer.output is not None:
            self._record_result(query, answer, time.monotonic() - started)
        return answer

    def _converse(
        self, query: Query, cancel: Cancel, deadline: float, pinned: _Pinned, open_parts: ExitStack
    ) -> Answer:
        """Run the query in a cell."""
        cell = open_parts.enter_context(self._cells.one(query.limits))
        reader = HotReader(self._databases.hot, pinned.snapshot, deadline)
        conversation = Conversation(query, pinned.relations, pinned.catalog, cell, reader, cancel, deadline)
        open_parts.callback(reader.close)
        open_parts.callback(cell.kill)  # before the reader waits for its scans: only its end unblocks a full pipe
        cancel.covers(cell.kill)
        cancel.covers(reader.cancel)
        open_parts.callback(cancel.over)
        try:
            with spans.spanned("plan", query.caller.trace):
                conversation.plan()
            files = [file for relation in pinned.relations for file in relation.files]
            with spans.spanned("files", query.caller.trace) as span:
                span.attributes["trace.files"] = len(files)
                paths = open_parts.enter_context(self._cache.held(files, cancel.event, deadline))
            with spans.spanned("cell", query.caller.trace):
                conversation.link([str(path) for path in paths])
                return replace(conversation.answer(partial(self._export, query)), as_of=pinned.token)
        except TimeoutError:
            raise out_of_time(query.limit) from None
        except wire.Closed:
            raise conversation.why_ended() from None

    def _pin(self, query: Query, cancel: Cancel, open_parts: ExitStack) -> _Pinned:
        """Open the snapshot of data, then read the catalog; as of an earlier query where it names one."""
        listing.refuse_as_of(query.admitted, query.as_of)
        if not query.admitted.relations:
            with self._databases.catalog() as state:
                return _Pinned(catalog=state.listed(query.namespace, query.reader))
        if query.as_of is not None:
            return self._pin_as_of(query, query.as_of, self._open_snapshot(query, cancel, open_parts))
        # Before both: every invalidation it counts has happened to the rows of the snapshot.
        sequence = self._databases.last_invalidation()
        snapshot = self._open_snapshot(query, cancel, open_parts)
        with self._databases.catalog() as state:
            relations = state.resolve(query.admitted.relations, query.namespace, query.reader)
            state_snapshot = state.snapshot()
            catalog = self._catalog(query, relations, state)
        hot_ones = [(relation, table) for relation in relations if (table := relation.hot) is not None]
        exported = ""
        if hot_ones:
            exported, heads = snapshot.export([(table.location, table.scope_column) for _, table in hot_ones])
            for (relation, _), head in zip(hot_ones, heads, strict=True):
                relation.pin = msgspec.structs.replace(relation.pin, head=head)
        # What there was is not kept, so what lists it is not repeated.
        lasting = query.admitted.lists is not Lists.READABLE
        token = pins.encode(pins.pin(state_snapshot, sequence, [relation.pin for relation in relations]))
        return _Pinned(exported, relations, token if lasting else None, catalog)

    def _pin_as_of(self, query: Query, earlier: pins.Pin, snapshot: DataSnapshot) -> _Pinned:
        """The relations as an earlier query saw them. Raises SnapshotUnavailable."""
        with self._databases.catalog() as state:
            relations = state.resolve_as_of(query.admitted.relations, query.namespace, query.reader, earlier)
            catalog = self._catalog(query, relations, state)
        for relation in relations:
            if relation.pin.hot is not None:
                refuse_touched(relation.pin, snapshot.unrelayed(relation.pin.hot))
        exported = snapshot.export([])[0] if any(relation.hot for relation in relations) else ""
        return _Pinned(exported, relations, pins.encode(earlier), catalog)

    def _catalog(self, query: Query, relations: Sequence[Relation], state: Catalog) -> wire.Catalog | None:
        """What a statement that asks what there is may know."""
        if query.admitted.lists is Lists.READABLE:
            return state.listed(query.namespace, query.reader)
        if query.admitted.lists is Lists.NAMED:
            return listing.of(query.namespace, [(relation.names[0], relation.row) for relation in relations])
        return None

    def _open_snapshot(self, query: Query, cancel: Cancel, open_parts: ExitStack) -> DataSnapshot:
        snapshot = open_parts.enter_context(self._databases.snapshot(query.seconds))
        cancel.covers(snapshot.cancel)
        open_parts.callback(cancel.over)
        return snapshot

    def _record_accesses(self, query: Query, relations: Sequence[Relation], deadline: float) -> None:
        """Record that personal data is about to be read. Raises Unavailable, and nothing is read then."""
        accesses = [
            Access(relation.row.namespace, relation.row.asset, relation.version_ids(), relation.pii)
            for relation in relations
            if relation.pii and relation.read
        ]
        if accesses:
            with self._databases.audit_log(max(0.0, deadline - time.monotonic())) as log:
                log.record_accesses(query.caller, accesses)

    def _record_result(self, query: Query, answer: Answer, seconds: float) -> None:
        result = Result(
            format=query.form,
            rows=answer.rows,
            truncated=answer.truncated,
            bytes=answer.output.bytes if answer.output else len(answer.body),
            bytes_scanned=answer.bytes_scanned,
            duration_ms=round(seconds * 1000, 1),
            columns=[{"name": name, "type": kind} for name, kind in answer.columns],
            versions=answer.versions,
            as_of=answer.as_of,
        )
        with self._databases.audit_log() as log:
            log.record_result(query.caller, result, answer.output)
            if query.lease is not None:
                batch_queries.beside(log).complete(query.lease, "Succeeded")

    def _store(self, query: Query, body: bytes) -> Output:
        """Put an answer that would go inline into the bucket, where its user finds it later."""
        with self._export(query) as export:
            export.write(body)
        return export.output

    def _export(self, query: Query) -> AbstractContextManager[Export]:
        return self._bucket.export(self._org, query.caller.query)


def _interrupted(query: Query, cancel: Cancel, deadline: float) -> TraceError | None:
    """Why a database gave no answer, where that is not the database's own fault."""
    if cancel.event.is_set():
        return canceled()
    return out_of_time(query.limit) if time.monotonic() >= deadline else None
