"""What rows from outside must hold before they are committed: this partition only, none twice, columns as declared.

Rows are sorted by their whole key, where they have one, so equal keys are neighbours: one pass over row groups in
constant memory sees everything.
"""

from __future__ import annotations

from collections.abc import Sequence

import pyarrow as pa
import pyarrow.compute as pc

from traceplane_sdk import wire
from traceplane_sdk.columns import FORMS
from traceplane_sdk.errors import OperatorError


class RowCheck:
    """Takes the tables of one partition in their order. Raises OperatorError.

    `key`: the columns that they are sorted by and that identify a row; none where nothing does. `remedy` says what
    to do about a row of another partition. `retryable`: whether another attempt may get other rows.
    """

    def __init__(
        self,
        output: wire.TaskOutput,
        partition: wire.Partition,
        key: Sequence[str],
        *,
        remedy: str = "",
        retryable: bool = False,
    ) -> None:
        self._scope = output.scope_column
        self._key = list(key)
        forms = {column.name: FORMS[column.type].text for column in output.columns}
        self._text = {name: text for name, text in forms.items() if text is not None}
        self._required = [column.name for column in output.columns if not column.nullable]
        self._partition = partition
        self._retryable = retryable
        self._remedy = f"; {remedy}" if remedy else ""
        self._last: pa.Table | None = None

    def take(self, table: pa.Table) -> None:
        """The next rows."""
        if not table.num_rows:
            return
        for name in self._required:
            if table.column(name).null_count:
                raise self._wrong("NullInAnswer", f"column {name!r} holds NULL and is not declared nullable")
        for name, (form, meaning) in self._text.items():
            if pc.any(pc.invert(pc.match_substring_regex(table.column(name), form))).as_py():
                raise self._wrong("TextOutOfForm", f"column {name!r} must hold {meaning}")
        self._inside(table)
        if self._key:
            self._once(table.select(self._key))

    def _wrong(self, code: str, message: str) -> OperatorError:
        return OperatorError(code, message, retryable=self._retryable)

    def _inside(self, table: pa.Table) -> None:
        least, most = (pc.min_max(table.column(self._scope))[end].as_py() for end in ("min", "max"))
        if least < self._partition.start or most > self._partition.end:
            raise self._wrong(
                "RowOutsidePartition",
                f"{self._scope!r} runs from {least} to {most}, outside of the partition {self._partition.key}"
                f"{self._remedy}",
            )

    def _once(self, keys: pa.Table) -> None:
        if self._last is not None:  # the twin may be the last row of the table before
            keys = pa.concat_tables([self._last, keys])
        self._last = keys.slice(keys.num_rows - 1)
        if keys.num_rows > 1 and _some_row_equals_the_next(keys, self._key):
            raise self._wrong("RowTwice", f"two rows have the same key ({', '.join(self._key)})")


def _some_row_equals_the_next(keys: pa.Table, names: Sequence[str]) -> bool:
    same = None
    for name in names:
        column = keys.column(name).combine_chunks()
        equal = pc.equal(column.slice(1), column.slice(0, len(column) - 1))
        same = equal if same is None else pc.and_(same, equal)
    return bool(pc.any(same).as_py())
