"""Writing hot tables: rows, fence and events in one transaction.

A worker can lose its lease without noticing: paused, partitioned, or simply slow. So nothing it knows about
itself may decide whether it still writes. The write fence does: the first statement of every writing transaction
raises the fence of each output to this lease's epoch. Events and invalidations of the rows go to
`trace.source_outbox` in the same transaction: a crash loses both or neither. A trigger notifies the dispatcher at
commit, which relays them by id, idempotently.

Rows come from outside, so what is written is proven: each row lies in the range that its batch replaces, and the
range holds as many rows as were sent. How far a writer has got is committed with the rows (`position`), so a row
that anything else put above it is found when the next run reads both, and so is what may not be replaced any more.
"""

from __future__ import annotations

import uuid
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from functools import lru_cache
from typing import TYPE_CHECKING, Any

from traceplane_sdk import crashpoints, source_outbox, wire
from traceplane_sdk import empty_ranges as empties
from traceplane_sdk.copyrows import Row, copy_rows
from traceplane_sdk.empty_ranges import empty_ranges as empty_ranges  # what a reader of hot tables looks for here
from traceplane_sdk.errors import OperatorError, StaleLease

if TYPE_CHECKING:
    import psycopg
    from psycopg import sql

_FENCE = """
insert into trace.write_fences as fence (dataset_version_id, writer, epoch)
select version, %(writer)s, %(epoch)s from unnest(%(versions)s::uuid[]) as version order by version
on conflict (dataset_version_id, writer)
-- No row where a newer lease was here before. The row stays locked until the transaction ends, so an older writer
-- either finished before or is refused.
do update set epoch = excluded.epoch, updated_at = now(),
    -- A release that keeps no position raises the epoch alone; of what it wrote then, the position knows nothing.
    position = case when fence.position_epoch = fence.epoch then fence.position end,
    position_epoch = case when fence.position_epoch = fence.epoch then excluded.epoch end
where fence.epoch <= excluded.epoch
returning dataset_version_id
"""
_POSITION = """
update trace.write_fences set position = %(position)s, position_epoch = epoch,
    final_value = greatest(final_value, %(final)s)  -- which ignores null
where writer = %(writer)s and dataset_version_id = any(%(versions)s::uuid[])
"""
_COMMITTED_POSITION = """
-- Null where any output has none: rows of a release that kept no position, or nothing written yet.
select case when count(position) = count(*) then min(position) end from trace.write_fences
where writer = %(writer)s and dataset_version_id = any(%(versions)s::uuid[])
"""
_COMMITTED_FINAL = """
select max(final_value) from trace.write_fences
where writer = %(writer)s and dataset_version_id = any(%(versions)s::uuid[])
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
        """Make `rows` all that `output` holds for scope values `start` to `end`, inclusive: see `replace_all`."""
        self.replace_all(start, end, {output: rows})

    def replace_all(self, start: int, end: int, rows: Mapping[str, Sequence[Row]]) -> None:
        """Make the rows of each output in `rows` all that it holds for scope values `start` to `end`, inclusive.

        Raises OperatorError: `RowOutsideRange` for a row of another value, `BadValue` for a value that its column
        does not take.
        """
        targets = [self._output(name) for name in rows]
        if not targets:
            return
        for target in targets:
            check_range(target, start, end, rows[target.name])
        self._delete(targets, start, end)
        copied = [
            copy_rows(self.connection, _identifier(target.location), target.columns, rows[target.name])
            for target in targets
        ]
        # The encoders let no value end its row, so this never fails; and if one did, this is where it ends. The
        # count costs 2 % of the write (32 blocks of 300 logs: 2.6 of 118 ms).
        _, count = _of_range(*_places(targets))
        held = self.connection.execute(count, {"start": start, "end": end}).fetchone() or ()
        for target, arrived, there in zip(targets, copied, held, strict=True):
            sent = len(rows[target.name])
            if not arrived == there == sent:
                what = f"{sent} rows were sent, {arrived} arrived, and {start}-{end} holds {there}"
                raise _outside(target, what)

    def delete(self, output: str, start: int, end: int) -> int:
        """Delete the rows of scope values `start` to `end`, inclusive; returns how many there were.

        Of a sparse output, what was recorded as empty there is forgotten as well.
        """
        return self._delete([self._output(output)], start, end)

    def _delete(self, targets: Sequence[wire.TaskOutput], start: int, end: int) -> int:
        for target in targets:
            if target.sparse:
                empties.clear(self.connection, target.version, start, end)
        delete, _ = _of_range(*_places(targets))
        return self.connection.execute(delete, {"start": start, "end": end}).rowcount

    def record_gaps(self, output: str, start: int, end: int) -> None:
        """Record which scope values from `start` to `end`, inclusive, have no row in a sparse output now."""
        from psycopg import sql

        target = self._output(output)
        empties.clear(self.connection, target.version, start, end)
        column, table = sql.Identifier(target.scope_column), _identifier(target.location)
        statement = sql.SQL("select {} from {} where {} between %s and %s order by 1").format(column, table, column)
        values = (value for (value,) in self.connection.execute(statement, (start, end)).fetchall())
        for low, high in empties.between(start, end, values):
            self.record_empty(output, low, high)

    def record_empty(self, output: str, low: int, high: int) -> None:
        """Record that no scope value from `low` to `high`, inclusive, has a row in a sparse output.

        After `replace`, which forgets what was recorded of its range. Raises OperatorError for another output.
        """
        target = self._output(output)
        if not target.sparse or low > high:
            raise OperatorError("NotSparse", f"{output}: {low}-{high} cannot be recorded as empty", retryable=False)
        empties.record(self.connection, target.version, low, high)

    def position(self, value: int | None, final: int | None = None) -> None:
        """Commit how far this writer has got in all its outputs, with whatever else the transaction writes.

        `final`: up to there it will replace no row any more. It never goes back; None says nothing new.
        """
        self.connection.execute(_POSITION, {"position": value, "final": final, **_writer(self._task)})

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

    def event(self, *events: wire.Event) -> None:
        """Announce new data of outputs, if and when this transaction commits."""
        self._record("Event", events)

    def invalidate(self, invalidation: wire.Invalidation) -> None:
        """Announce that a range of an output was rewritten, if and when this transaction commits."""
        self._record("Invalidation", [invalidation])

    def _record(self, kind: str, announced: Sequence[wire.Event | wire.Invalidation]) -> None:
        self._crash_point(crashpoints.HOT_WRITTEN)
        rows = [(self._output(one.output).version, source_outbox.payload(one)) for one in announced]
        source_outbox.insert(self.connection, self._task, kind, rows)

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
    writer = _writer(task)
    with connection.transaction():
        held = connection.execute(_FENCE, {"epoch": task.lease_epoch, **writer}).fetchall()
        if len(held) != len(writer["versions"]):
            raise StaleLease(f"a newer lease than {task.lease_epoch} writes the outputs of task {task.task_id}")
        crash_point(crashpoints.HOT_FENCED)
        transaction = HotTransaction(connection, task, crash_point)
        yield transaction
        crash_point(crashpoints.HOT_BEFORE_COMMIT)
    crash_point(crashpoints.HOT_COMMITTED)


def committed_position(connection: psycopg.Connection[Any], task: wire.TaskPayload) -> int | None:
    """What the task's writer committed last by `position`; None where nothing did, or rows are older than that."""
    row = connection.execute(_COMMITTED_POSITION, _writer(task)).fetchone()
    return None if row is None else row[0]


def committed_final(connection: psycopg.Connection[Any], task: wire.TaskPayload) -> int | None:
    """The highest `final` that the task's writer ever committed with a position; None where it never did."""
    row = connection.execute(_COMMITTED_FINAL, _writer(task)).fetchone()
    return None if row is None else row[0]


def check_range(target: wire.TaskOutput, start: int, end: int, rows: Sequence[Row]) -> None:
    """Raise OperatorError `RowOutsideRange` unless each row's scope value is an int from `start` to `end`."""
    scope = [column.name for column in target.columns].index(target.scope_column)
    for row in rows:
        value = row[scope]
        if type(value) is not int:
            raise _outside(target, f"{target.scope_column} of a row of {start}-{end} is a {type(value).__name__}")
        if not start <= value <= end:
            raise _outside(target, f"a row of {target.scope_column} {value} is no part of {start}-{end}")


def _outside(target: wire.TaskOutput, what: str) -> OperatorError:
    # Retryable: nothing was written, and the rows came from outside. Another answer may be right.
    return OperatorError("RowOutsideRange", f"{target.name}: {what}; nothing was written")


def _writer(task: wire.TaskPayload) -> dict[str, Any]:
    """The task's rows of `write_fences`, as parameters."""
    # Sorted, as in the statement: two attempts lock the fences in one order, and cannot deadlock.
    versions = sorted(output.version for output in task.outputs if output.storage == "Postgres")
    return {"writer": task.writer, "versions": versions}


def _places(targets: Sequence[wire.TaskOutput]) -> Iterator[tuple[str, str]]:
    return ((target.location, target.scope_column) for target in targets)


@lru_cache(maxsize=256)
def _of_range(*places: tuple[str, str]) -> tuple[bytes, bytes]:
    """For (location, scope column) of some outputs: to delete a range of each, to count what each holds of it."""
    from psycopg import sql

    # One for all outputs: where other threads compute, who waits for an answer waits for the interpreter as well.
    found = sql.SQL("from {} where {} between %(start)s and %(end)s")
    ranges = [found.format(_identifier(table), sql.Identifier(column)).as_string() for table, column in places]
    others = ", ".join(f"of_{n} as (delete {text})" for n, text in enumerate(ranges[1:]))
    counts = ", ".join(f"(select count(*) {text})" for text in ranges)
    return f"{'with ' if others else ''}{others} delete {ranges[0]}".encode(), f"select {counts}".encode()


def _identifier(location: str) -> sql.Composable:
    """`hot.d_<hex>` as a quoted, qualified name."""
    from psycopg import sql

    return sql.Identifier(*location.split("."))
