"""Checks the SELECT of a job before the job is deployed, as the query service will when the job's tasks run.

The same gate checks it, the same resolution gives its names a meaning, and DuckDB binds it over empty tables of the
inputs' columns. DuckDB is loaded in the gate's process only, which is confined and bounded, and ends when there has
been nothing to check for a while.
"""

from __future__ import annotations

import hashlib
import re
import threading
from collections import OrderedDict
from collections.abc import Sequence
from types import TracebackType
from typing import Self
from uuid import NAMESPACE_OID, UUID, uuid5

from traceplane.graph import Fault, JobStatement
from traceplane.graph.statements import INVALID_STATEMENT, Relation
from traceplane.graph.wording import suggestion
from traceplane.query.gate import text
from traceplane.query.gate.messages import Shape, Table
from traceplane.query.gate.statement import Refusal, RelationName
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations.resolve import Reader, match, task_rows
from traceplane.query.relations.rows import CatalogRow, catalog_row
from traceplane_sdk.columns import FORMS, ColumnType
from traceplane_sdk.operator import Statement

IDLE_SECONDS = 30.0
"""The process is kept so long for the next statement."""
REMEMBERED = 4096
"""Statements whose faults, or that they have none, are remembered."""
_QUOTED = "\n\nLINE "
"""From here on DuckDB's messages quote the statement; its place is said in words instead."""
_STAND_IN = re.compile(r" \(version [0-9a-f-]{36}\)")
"""Of a message: an id that stands for one that there is not yet."""
_NAMES_COLUMN = frozenset({"ColumnMissing", "ColumnTypeMismatch"})


class StatementChecker:
    """A `graph.Checker`; safe to call from several threads."""

    def __init__(self) -> None:
        self._gate = GateSupervisor()
        self._rest: threading.Timer | None = None
        self._lock = threading.Lock()
        self._found: OrderedDict[bytes, Fault | None] = OrderedDict()

    def __call__(self, job: JobStatement) -> Fault | None:
        """What is wrong with a statement. Raises Unavailable."""
        # All that decides is in it, and nothing else: an edit of one job's limits asks the gate nothing again.
        key = hashlib.sha256(repr(job).encode()).digest()
        with self._lock:
            if key in self._found:
                self._found.move_to_end(key)
                return self._found[key]
            fault = self._ask(job)
            if fault is None or not fault.fatal:  # one that took too much may take less on an idle machine
                self._found[key] = fault
            if len(self._found) > REMEMBERED:
                self._found.popitem(last=False)
        return fault

    def _ask(self, job: JobStatement) -> Fault | None:
        """What the gate says. The lock is held."""
        if self._rest is not None:
            self._rest.cancel()
        try:
            self._check(job)
        except Refusal as refusal:
            return _fault(job.statement, refusal)
        finally:
            self._rest = threading.Timer(IDLE_SECONDS, self._gate.rest)
            self._rest.daemon = True
            self._rest.start()
        return None

    def close(self) -> None:
        """End the process."""
        with self._lock:
            if self._rest is not None:
                self._rest.cancel()
            self._gate.close()

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, _kind: type[BaseException] | None, _error: BaseException | None, _trace: TracebackType | None
    ) -> None:
        self.close()

    def _check(self, job: JobStatement) -> None:
        wanted = job.statement
        shape = Shape(
            # A small number is of every type that a large one is, so no right statement is refused for it. And 0 is
            # no column's number, where a large one is none either: ORDER BY $partition_start.
            parameters=tuple((name, 0) for name in wanted.parameters),
            columns=tuple((column.name, FORMS[column.type].duckdb_at_rest) for column in wanted.output.columns),
            order=wanted.output.sort_by,
        )
        admitted = self._gate.check(wanted.sql, shape)
        if job.relations is not None:
            self._gate.bind(wanted.sql, shape, _tables(job, job.relations, admitted.relations))


def _tables(job: JobStatement, inputs: Sequence[Relation], names: Sequence[RelationName]) -> list[Table]:
    """The relations that the statement's names mean. Raises Refusal."""
    rows = _rows(job, inputs)
    ids = {_version_id(one): one.where for one in inputs}
    reader = Reader(versions=frozenset(ids), filters=ids)
    try:
        matched = match(names, job.namespace, rows, reader)
    except Refusal as refusal:
        if refusal.code == "RelationNotFound" and refusal.name is not None:
            known = {row.name.replace("-", "_") for row in rows}
            refusal.message = f"no input of the job is called {refusal.name!r}; {suggestion(refusal.name, known)}"
        raise
    return [
        Table(
            tuple((name.schema or "", name.table) for name in spelled),
            tuple((name, FORMS[kind].duckdb) for name, kind in row.columns),
            tuple(name for name, kind in row.columns if kind == ColumnType.HEX),
        )
        for row, spelled in matched
    ]


def _rows(job: JobStatement, inputs: Sequence[Relation]) -> list[CatalogRow]:
    """The job's inputs as the catalog shows them to its tasks. Their ids stand for those that they will have."""
    found = task_rows(_version(job.namespace, one, asset) for one in inputs for asset in one.assets or (None,))
    schemas = {(one.job, one.output): one for one in inputs if one.asset is None}
    for asset, (hot, cold) in job.federated.items():
        halves = {"hot_version_id": _id(*hot), "hot_location": "", "cold_version_id": _id(*cold)}
        own = {**_version(job.namespace, schemas[hot], None), "name": asset, "storage": "Federated", **halves}
        found.append(catalog_row({**own, "read_roles": (), "hot_read_roles": (), "cold_read_roles": ()}))
    return found


def _version(namespace: str, one: Relation, asset: str | None) -> dict[str, object]:
    """A row of `catalog.versions`."""
    version = _version_id(one)
    return {
        "namespace": (one.asset.namespace if one.asset else "") or namespace,
        "job": one.job,
        "output": one.output,
        "asset": asset,
        "dataset_id": version,
        "dataset_version_id": version,
        "storage": one.schema.storage.value,
        "location": "",
        "columns": [{"name": column.name, "type": column.type.value} for column in one.schema.columns],
        "scope_column": one.schema.scope_column,
        "provisioned": True,
    }


def _version_id(one: Relation) -> UUID:
    return _id(one.job, one.output) if one.asset is None else _id("asset", one.asset.version_id)


def _id(*output: str) -> UUID:
    return uuid5(NAMESPACE_OID, "/".join(output))


def _fault(statement: Statement, refusal: Refusal) -> Fault:
    field, place = statement.field, ""
    if refusal.code in _NAMES_COLUMN:
        names = [column.name for column in statement.output.columns]
        field = f"{statement.columns_field}[{names.index(refusal.name or '')}]"
    elif refusal.position is not None:
        before = statement.sql[: refusal.position]
        line, column = before.count("\n") + 1, len(before) - (before.rfind("\n") + 1) + 1
        place = f"line {line}, column {column}: "
    message = " ".join(refusal.message.partition(_QUOTED)[0].removeprefix("Parser Error: ").split())
    message = _STAND_IN.sub("", message)
    code = INVALID_STATEMENT if refusal.code == "InvalidQuery" else refusal.code
    return Fault(field, code, place + message, fatal=refusal.code == text.TOO_COMPLEX)
