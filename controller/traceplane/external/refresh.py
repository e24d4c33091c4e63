"""One refresh: from what is declared to a version, or to nothing where the content is known.

Two transactions. The first looks whether the content is known, before its rows are typed and written; the second
commits, behind the lock of the pointer and the fence of the attempt. A process killed between them leaves files
nobody reads, and the next attempt begins anew; one killed after the second finds its own commit.
"""

from __future__ import annotations

import asyncio
import hashlib
import json
import tempfile
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import TimeoutError as FutureTimeout
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, TypeVar
from uuid import UUID

from traceplane.drivers.commit_objects import CommitObjects
from traceplane.drivers.source_objects import SourceObjects
from traceplane.errors import Refused, Stale, TraceError
from traceplane.external import reader, sources
from traceplane.external.sources import Fetched
from traceplane.kit import crash
from traceplane.query.reading.messages import Read, ReadColumn
from traceplane.settings import DispatcherSettings
from traceplane.store.engine import Connection, Database
from traceplane.store.statements import external as statements
from traceplane.store.statements.external import Committed
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import external
from traceplane.versions.external import Attempt, Found, Outcome, Place
from traceplane.versions.external_sources import Files, NotAllowed, Table, parse
from traceplane_sdk.columns import FORMS
from traceplane_sdk.commit import PartitionCommit
from traceplane_sdk.context import Context, Result
from traceplane_sdk.errors import OperatorError, StaleLease
from traceplane_sdk.wire import ColumnDef, Partition, TaskOutput

READING = crash.declare("external.fetched")
WRITTEN = crash.declare("external.written")
COMMITTED = crash.declare("external.committed")

REVISION = 1
"""Rises when the same bytes would be read as other rows."""
WHOLE = Partition(key="0-0", start=0, end=0)
"""The one partition of a content."""
STATE_SECONDS = 30.0
"""Longest wait for a transaction in the state database."""

Answer = TypeVar("Answer")


class Refresher:
    """Runs refreshes, one at a time in a process: each has a process that reads beside it, whose memory counts."""

    def __init__(self, settings: DispatcherSettings, state: Database, loop: asyncio.AbstractEventLoop) -> None:
        self._settings = settings
        self._state = state
        self._loop = loop
        self._one = threading.Lock()

    def run(self, ctx: Context) -> Result:
        """Refresh the asset of a task. Raises OperatorError: what is wrong with the content is for a person."""
        while not self._one.acquire(timeout=1.0):
            ctx.io.control.check()
        try:
            with tempfile.TemporaryDirectory(prefix="trace-external-") as folder:
                return Result(state={"last": self._refresh(ctx, Path(folder))})
        except Stale as error:
            raise StaleLease(error.message) from error
        except Refused as error:
            raise OperatorError(error.code, error.message, retryable=False) from error
        except NotAllowed as error:
            raise OperatorError("NotAllowed", str(error), retryable=False) from error
        except TraceError as error:
            raise OperatorError(error.code, error.message) from error
        finally:
            self._one.release()

    def _refresh(self, ctx: Context, folder: Path) -> dict[str, Any]:
        source = ctx.task.scope["source"]
        dag = DagKey(UUID(ctx.task.org_id), ctx.task.job.namespace, ctx.task.job.dag)
        fence = Attempt(UUID(ctx.task.task_id), ctx.task.attempt, ctx.task.lease_epoch)
        declared = _declared(source)
        named = _named(source)
        raw, parquet = folder / "raw", folder / "content.parquet"
        raw.mkdir()
        fetched = self._fetch(ctx, source, raw, declared)
        crash.point(READING)
        identity = _identity(fetched, declared)
        before = self._version(dag)
        outcome, place = self._in_transaction(lambda conn: self._decide(conn, dag, identity, fence))
        if place is not None:
            columns = list(declared or fetched.columns or ()) or None
            wanted = Read(
                files=list(fetched.files),
                columns=columns,
                forms={str(kind): form.text[0] for kind, form in FORMS.items() if form.text},
                quoted_nulls=fetched.quoted_nulls,
                max_rows=self._settings.external_max_rows,
            )
            check = ctx.io.control.check
            written = reader.read(wanted, raw, parquet, most=self._most, check=check)
            found = Found(
                identity,
                fetched.content,
                named,
                _columns(written.columns, source),
                self._upload(ctx, place, written, parquet),
            )
            crash.point(WRITTEN)
            self._in_transaction(lambda conn: external.commit(conn, dag, found, place, fence))
            outcome = Outcome.UPDATED
        crash.point(COMMITTED)
        return {
            "task": ctx.task.task_id,
            "at": datetime.now(UTC).strftime("%Y-%m-%dT%H:%M:%SZ"),
            "result": str(outcome),
            "before": before,
            "version": self._version(dag),
            "source": named,
            "content": fetched.content,
        }

    @property
    def _most(self) -> int:
        return self._settings.external_max_mb << 20

    def _fetch(
        self, ctx: Context, source: dict[str, Any], path: Path, declared: Sequence[ReadColumn] | None
    ) -> Fetched:
        settings, check = self._settings, ctx.io.control.check
        wanted = parse(source, buckets=settings.allowed_buckets(settings.s3_bucket), own_bucket=settings.s3_bucket)
        if isinstance(wanted, Files):
            objects = SourceObjects(settings, wanted.bucket)
            return sources.files(objects, wanted, path, most=self._most, check=check)
        assert isinstance(wanted, Table)
        return sources.table(
            ctx.connection(),
            wanted,
            path,
            declared=declared,
            most=self._most,
            most_rows=settings.external_max_rows,
            check=check,
        )

    async def _decide(
        self, conn: Connection, dag: DagKey, identity: str, fence: Attempt
    ) -> tuple[Outcome | None, Place | None]:
        """What comes of the content; a place where it is new."""
        outcome = await external.current(conn, dag, identity, fence.task_id)
        if outcome is None:
            return None, await external.place(conn, dag, self._settings.s3_bucket)
        if outcome is Outcome.RESTORED:
            await external.restore(conn, dag, identity, fence)
        return outcome, None

    def _upload(self, ctx: Context, place: Place, written: reader.Written, path: Path) -> Committed:
        """Write the content's file and what says that it is whole."""
        output = TaskOutput(
            name=place.output,
            dataset=str(place.dataset),
            version=str(place.version),
            storage="S3",
            location=place.location,
            columns=[ColumnDef(c.name, c.type, c.nullable) for c in written.columns],
            unique_key=[],
            scope_column="",
            sort_by=[],
        )
        store = CommitObjects(self._settings)
        commit = PartitionCommit(store, ctx.task, output, WHOLE, ctx.io.crash_point)
        commit.add(path, commit.file_name(None), written.rows)
        sealed = commit.seal()
        return Committed(
            key=WHOLE.key,
            start=WHOLE.start,
            end=WHOLE.end,
            location=sealed.location,
            files=[{"path": f.path, "rows": f.rows, "bytes": f.bytes, "sha256": f.sha256} for f in commit.files],
            rows=sealed.rows,
            bytes=sealed.bytes,
            manifest=sealed.manifest_sha256,
        )

    def _version(self, dag: DagKey) -> str | None:
        async def asked(conn: Connection) -> str | None:
            found = await statements.standing(conn, dag, job=external.REFRESH)
            return found.version if found else None

        return self._in_transaction(asked)

    def _in_transaction(self, work: Callable[[Connection], Awaitable[Answer]]) -> Answer:
        """Do `work` in a transaction of the state database, on the event loop that its pool belongs to."""

        async def transaction() -> Answer:
            async with self._state.transaction() as conn:
                return await work(conn)

        future = asyncio.run_coroutine_threadsafe(transaction(), self._loop)
        try:
            return future.result(STATE_SECONDS)
        except FutureTimeout as error:
            future.cancel()
            raise OperatorError("Unavailable", "the state database does not answer in time") from error


def _declared(source: dict[str, Any]) -> list[ReadColumn] | None:
    """The columns of spec.schema."""
    columns = source.get("columns")
    return [ReadColumn(c["name"], c["type"], bool(c.get("nullable"))) for c in columns] if columns else None


def _named(source: dict[str, Any]) -> str:
    """The source in words: its address, or the name of its table."""
    return str(source.get("uri") or source.get("table"))


def _columns(columns: Sequence[ReadColumn], source: dict[str, Any]) -> list[dict[str, Any]]:
    """The columns of a version, as state keeps them."""
    pii = {c["name"] for c in source.get("columns") or () if c.get("pii")}
    return [
        {"name": c.name, "type": c.type, "nullable": c.nullable, "pii": c.name in pii, "description": ""}
        for c in columns
    ]


def _identity(fetched: Fetched, declared: Sequence[ReadColumn] | None) -> str:
    """The hash of a content and of how it is read: the same bytes under another schema are other rows."""
    columns = declared or fetched.columns or ()
    read = [REVISION, fetched.content, [[c.name, c.type, c.nullable] for c in columns]]
    return hashlib.sha256(json.dumps(read).encode()).hexdigest()
