"""Writing hot tables: rows, fence and events in one transaction.

A worker can lose its lease without noticing: paused, partitioned, or simply slow. So nothing it knows about
itself may decide whether it still writes. The write fence does: the first statement of every writing transaction
raises the fence of each output to this lease's epoch. Events and invalidations of the rows go to
`trace.source_outbox` in the same transaction: a crash loses both or neither. A trigger notifies the dispatcher at
commit, which relays them by id, idempotently.

Rows are written by COPY in its text format, many times faster than INSERT; the table of column types (`columns`)
says how each value is encoded.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

from traceplane_sdk import crashpoints, source_outbox, wire
from traceplane_sdk.columns import FORMS
from traceplane_sdk.errors import OperatorError, StaleLease

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

Row = Sequence[Any]
"""Values in the order of the output's columns: int, str, bool, datetime, float, JSON-able, or None."""

_COPY_CHUNK = 1 << 20
"""Characters handed to one COPY message; bounds the memory of encoding."""

_FENCE = """
insert into trace.write_fences as fence (dataset_version_id, writer, epoch)
select version, %(writer)s, %(epoch)s from unnest(%(versions)s::uuid[]) as version order by version
on conflict (dataset_version_id, writer)
-- No row where a newer lease was here before. The row stays locked until the transaction ends, so an older writer
-- either finished before or is refused.
do update set epoch = excluded.epoch, updated_at = now() where fence.epoch <= excluded.epoch
returning dataset_version_id
"""
_OUTBOX = """
insert into trace.source_outbox (id, org_id, dataset_version_id, kind, payload, task_id, attempt, lease_epoch)
values (%s, %s, %s, %s, %s::jsonb, %s, %s, %s)
"""


class HotTransaction:
    """One open, fenced transaction. Made by `fenced`; every method is a statement or two."""

    def __init__(
        self, connection: psycopg.Connection[Any], task: wire.TaskPayload, crash_point: Callable[[str], None]
    ) -> None:
        self.connection = connection
        self._crash_point = crash_point
        self._task = task
        self._outputs = {output.name: output for output in task.outputs}

    def replace(self, output: str, start: int, end: int, rows: Sequence[Row]) -> None:
        """Make `rows` all that `output` holds for scope values `start` to `end`, inclusive."""
        self.delete(output, start, end)
        target = self._output(output)
        copy_rows(self.connection, _identifier(target.location), target.columns, rows)

    def delete(self, output: str, start: int, end: int) -> int:
        """Delete the rows of scope values `start` to `end`, inclusive; returns how many there were."""
        from psycopg import sql

        target = self._output(output)
        statement = sql.SQL("delete from {} where {} between %s and %s").format(
            _identifier(target.location), sql.Identifier(target.scope_column)
        )
        return self.connection.execute(statement, (start, end)).rowcount

    def append(self, output: str, rows: Sequence[Row]) -> int:
        """Add rows whose unique key is not there yet; returns how many were new."""
        from psycopg import sql

        if not rows:
            return 0
        target = self._output(output)
        # COPY knows no ON CONFLICT, so rows take a detour.
        table, staging = _identifier(target.location), sql.Identifier(f"staging_{uuid.uuid4().hex}")
        self.connection.execute(sql.SQL("create temp table {} (like {}) on commit drop").format(staging, table))
        copy_rows(self.connection, staging, target.columns, rows)
        names = sql.SQL(", ").join(sql.Identifier(column.name) for column in target.columns)
        key = sql.SQL(", ").join(map(sql.Identifier, target.unique_key))
        statement = sql.SQL("insert into {} ({}) select {} from {} on conflict ({}) do nothing").format(
            table, names, names, staging, key
        )
        return self.connection.execute(statement).rowcount

    def event(self, event: wire.Event) -> None:
        """Announce new data of an output, if and when this transaction commits."""
        self._record("Event", event)

    def invalidate(self, invalidation: wire.Invalidation) -> None:
        """Announce that a range of an output was rewritten, if and when this transaction commits."""
        self._record("Invalidation", invalidation)

    def _record(self, kind: str, announced: wire.Event | wire.Invalidation) -> None:
        self._crash_point(crashpoints.HOT_WRITTEN)
        task = self._task
        self.connection.execute(
            _OUTBOX,
            (
                uuid.uuid4(),
                task.org_id,
                self._output(announced.output).version,
                kind,
                source_outbox.payload(announced),
                task.task_id,
                task.attempt,
                task.lease_epoch,
            ),
        )

    def _output(self, name: str) -> wire.TaskOutput:
        try:
            return self._outputs[name]
        except KeyError:
            raise OperatorError("UnknownOutput", f"the task has no output {name!r}", retryable=False) from None


@contextmanager
def fenced(
    connection: psycopg.Connection[Any],
    task: wire.TaskPayload,
    crash_point: Callable[[str], None] = crashpoints.no_crash,
) -> Iterator[HotTransaction]:
    """A transaction that commits only for the newest lease. Raises StaleLease for an older one."""
    # Sorted, as in the statement: two attempts lock the fences in one order, and cannot deadlock.
    versions = sorted(output.version for output in task.outputs if output.storage == "Postgres")
    with connection.transaction():
        held = connection.execute(
            _FENCE, {"writer": task.writer, "epoch": task.lease_epoch, "versions": versions}
        ).fetchall()
        if len(held) != len(versions):
            raise StaleLease(f"a newer lease than {task.lease_epoch} writes the outputs of task {task.task_id}")
        crash_point(crashpoints.HOT_FENCED)
        transaction = HotTransaction(connection, task, crash_point)
        yield transaction
        crash_point(crashpoints.HOT_BEFORE_COMMIT)
    crash_point(crashpoints.HOT_COMMITTED)


def copy_rows(
    connection: psycopg.Connection[Any],
    table: sql.Composable,
    columns: Sequence[wire.ColumnDef],
    rows: Sequence[Row],
) -> None:
    """COPY `rows` into `table`. Raises psycopg's UniqueViolation for a key that is there already."""
    from psycopg import sql

    if not rows:
        return
    names = sql.SQL(", ").join(sql.Identifier(column.name) for column in columns)
    with (
        connection.cursor() as cursor,
        cursor.copy(sql.SQL("copy {} ({}) from stdin").format(table, names)) as copy,
    ):
        for chunk in encode_rows(columns, rows):
            copy.write(chunk)


def encode_rows(columns: Sequence[wire.ColumnDef], rows: Sequence[Row]) -> Iterator[str]:
    """COPY text of `rows`, in chunks of about a million characters."""
    encoders = [FORMS[column.type].copy for column in columns]
    pending: list[str] = []
    size = 0
    for row in rows:
        line = "\t".join(
            "\\N" if value is None else encode(value) for encode, value in zip(encoders, row, strict=True)
        )
        pending.append(line)
        size += len(line)
        if size >= _COPY_CHUNK:
            yield "\n".join(pending) + "\n"
            pending, size = [], 0
    if pending:
        yield "\n".join(pending) + "\n"


def _identifier(location: str) -> sql.Composable:
    """`hot.d_<hex>` as a quoted, qualified name."""
    from psycopg import sql

    return sql.Identifier(*location.split("."))
