"""The catalog: everything state knows about the relations of one query, read in one snapshot of it.

The statements read the views of schema `catalog`, which is all the query service may see of state. Pure decisions
on what they give are in `relations.resolve` and `relations.relation`.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import replace
from typing import Any
from uuid import UUID

import psycopg
from psycopg.rows import TupleRow, dict_row

from traceplane.query import wire
from traceplane.query.gate.statement import Refusal, RelationName
from traceplane.query.relations import as_of, listing, pins, ranges
from traceplane.query.relations.relation import Relation
from traceplane.query.relations.resolve import (
    STAGED,
    Reader,
    check_columns,
    match,
    readable,
    readable_names,
    task_rows,
)
from traceplane.query.relations.rows import AT, CatalogRow, PartitionRow, catalog_row, version_row
from traceplane.query.relations.seam import Holdings, answering, pinned_now

Connection = psycopg.Connection[TupleRow]
_Rows = psycopg.Cursor[dict[str, Any]]
_Asset = tuple[str, str]
"""Namespace and name, as SQL spells them."""
_NOTHING: Mapping[_Asset, str] = {}

MAX_PARTITIONS = 200_000
"""Partitions of one query; more would be read into memory for nothing, since no cache holds that many files."""
MAX_INVALIDATIONS = 10_000
"""Invalidations looked at for one repetition; after more, it is certain enough that nothing is as it was."""

_RELATION_COLUMNS = """
SELECT namespace, name, storage, read_roles, hot_read_roles, cold_read_roles, columns, scope_column, dataset_id,
       dataset_version_id, location, provisioned, hot_version_id, hot_location, cold_version_id, d.description
FROM catalog.relations r LEFT JOIN catalog.descriptions d USING (org_id, namespace, name)
"""

# Names as SQL can write them: `my-asset` is `my_asset` in a statement.
_RELATIONS = f"""{_RELATION_COLUMNS}
WHERE org_id = %(org)s
  AND (replace(namespace, '-', '_'), replace(name, '-', '_')) IN
      (SELECT unnest(%(namespaces)s::text[]), unnest(%(names)s::text[]))
"""

# The same of versions of DAGs, each under the name that it was asked for by.
_VERSION_RELATIONS = """
SELECT r.namespace, r.name || '@' || asked.spelled AS name, r.version, r.storage, r.read_roles,
       r.hot_read_roles, r.cold_read_roles, r.columns, r.scope_column, r.dataset_id, r.dataset_version_id,
       r.location, r.provisioned, r.hot_version_id, r.hot_location, r.cold_version_id, d.description
FROM unnest(%(namespaces)s::text[], %(names)s::text[], %(spelled)s::text[], %(versions)s::text[])
     asked (namespace, name, spelled, version)
JOIN catalog.version_relations r
  ON r.org_id = %(org)s
 AND (replace(r.namespace, '-', '_'), replace(r.name, '-', '_')) = (asked.namespace, asked.name)
 AND (asked.version IN (r.version, r.number) OR asked.version = 'staged' AND r.staged)
LEFT JOIN catalog.descriptions d ON d.org_id = r.org_id AND d.namespace = r.namespace AND d.name = r.name
"""

# Every relation, in pages: which of them a reader may read is decided on the rows.
_RELATIONS_PAGE = f"""{_RELATION_COLUMNS}
WHERE org_id = %(org)s AND (namespace, name) > (%(after_namespace)s, %(after_name)s)
ORDER BY namespace, name
LIMIT %(limit)s
"""

# A task names dataset versions, not assets: it may read the federation of two of them, and no other. They are those
# that it was given, which need not be active ones.
_FEDERATED = """
SELECT r.namespace, r.name, r.storage, r.read_roles, r.hot_read_roles, r.cold_read_roles, h.columns, r.scope_column,
       h.dataset_id, NULL::uuid AS dataset_version_id, h.location, h.provisioned AND c.provisioned AS provisioned,
       h.dataset_version_id AS hot_version_id, h.location AS hot_location, c.dataset_version_id AS cold_version_id,
       d.description
FROM catalog.relations r
JOIN catalog.versions h ON h.org_id = r.org_id AND h.namespace = r.namespace AND h.asset = r.hot_name
JOIN catalog.versions c ON c.org_id = r.org_id AND c.namespace = r.namespace AND c.asset = r.cold_name
LEFT JOIN catalog.descriptions d ON d.org_id = r.org_id AND d.namespace = r.namespace AND d.name = r.name
-- second guard: the versions are those of the task's claim, which is of the organisation.
WHERE r.org_id = %(org)s
  AND r.storage = 'Federated'
  AND h.dataset_version_id = ANY (%(versions)s::uuid[]) AND c.dataset_version_id = ANY (%(versions)s::uuid[])
"""

_VERSIONS = """
SELECT v.namespace, job, output, asset, dataset_id, dataset_version_id, storage, location, columns, scope_column,
       provisioned, d.description
FROM catalog.versions v
LEFT JOIN catalog.descriptions d ON d.org_id = v.org_id AND d.namespace = v.namespace AND d.name = v.asset
-- second guard: a task's versions are those of its claim, and a pin's must be of datasets that were found here.
WHERE v.org_id = %(org)s
  AND dataset_version_id = ANY (%(versions)s::uuid[])
"""

# Ranges whose rows the cold dataset has now, and the hot table may still have.
_RELOCATED = """
SELECT hot_version_id, cold_version_id, ranges::text AS ranges
FROM catalog.relocations
-- second guard: the versions are those of relations that were found in the organisation.
WHERE org_id = %(org)s
  AND hot_version_id = ANY (%(versions)s::uuid[]) AND NOT isempty(ranges)
"""

_PARTITION_COLUMNS = """
SELECT id, dataset_id, dataset_version_id, range_start, range_end, location, files
FROM catalog.partition_history
-- second guard: the versions are those of relations that were found in the organisation.
WHERE org_id = %(org)s
  AND dataset_version_id = ANY (%(versions)s::uuid[])
"""

_PARTITIONS = f"""{_PARTITION_COLUMNS}
  AND superseded_at IS NULL
ORDER BY dataset_version_id, range_start
LIMIT %(limit)s
"""

# The partitions that were current in an older snapshot, by the transactions that committed and superseded
# them.
_PARTITIONS_IN_SNAPSHOT = f"""{_PARTITION_COLUMNS}
  AND pg_visible_in_snapshot(committed_xid, %(snapshot)s::pg_snapshot)
  AND (superseded_xid IS NULL OR NOT pg_visible_in_snapshot(superseded_xid, %(snapshot)s::pg_snapshot))
ORDER BY dataset_version_id, range_start
LIMIT %(limit)s
"""

_INVALIDATIONS = """
SELECT range_start, range_end, reason
FROM catalog.invalidations
-- second guard: the versions are those of relations that were found in the organisation.
WHERE org_id = %(org)s
  AND dataset_version_id = %(version)s AND sequence > %(sequence)s
ORDER BY sequence
LIMIT %(limit)s
"""

PAGE = 500
"""Relations that are read at once for a listing."""

SNAPSHOT = "SELECT pg_current_snapshot()::text"
LAST_INVALIDATION = "SELECT coalesce(max(sequence), 0) FROM catalog.invalidations"


class Catalog:
    """Reads state for one query. `connection` is in a transaction that holds one snapshot, and in a pipeline:
    statements that do not need one another's rows share a round trip."""

    def __init__(self, connection: Connection, org: UUID, bucket: str) -> None:
        self._connection = connection
        self._org = org
        self._bucket = bucket
        self._snapshot = connection.execute(SNAPSHOT)

    def resolve(self, names: Sequence[RelationName], namespace: str, reader: Reader) -> list[Relation]:
        """Every relation of a statement, pinned to what is current. Raises Refusal."""
        matched = self._matched(names, namespace, reader)
        held = self._holdings([row for row, _ in matched], ())
        return [pinned_now(row, spelled, held, self._bucket) for row, spelled in matched]

    def resolve_as_of(
        self, names: Sequence[RelationName], namespace: str, reader: Reader, pin: pins.Pin
    ) -> list[Relation]:
        """Every relation of a statement as `pin` saw it. Raises Refusal, or SnapshotUnavailable with the reason."""
        staged = _staged_then(pin, names, namespace, reader)
        pinned = [
            (row, spelled, pin.of(row.namespace, row.name))
            for row, spelled in self._matched(names, namespace, reader, staged)
        ]
        held = self._holdings([row for row, _, _ in pinned], [then for _, _, then in pinned], pin.snapshot)
        found = []
        for row, spelled, then in pinned:
            old = as_of.row_of(row, then, held.versions)
            if not readable(old, reader):  # a token of a task lists versions, and this may be another one
                place = spelled[0]
                raise Refusal("RelationNotFound", f"no relation {place.text!r}", position=place.position)
            self._refuse_invalidated(then, pin.sequence)
            found.append(as_of.pinned_then(old, spelled, held, self._bucket, then))
        return found

    def readable(self, titles: Iterable[str], reader: Reader) -> bool:
        """Whether `reader` may read every relation of these titles (`namespace/name`) today."""
        parts = (title.partition(AT)[0].partition("/") for title in titles)  # a right is to all versions
        wanted = {(namespace, name) for namespace, _, name in parts}
        key = {
            "namespaces": [namespace.replace("-", "_") for namespace, _ in wanted],
            "names": [name.replace("-", "_") for _, name in wanted],
        }
        found = [catalog_row(row) for row in self._fetch(_RELATIONS, key)]
        return wanted <= {(row.namespace, row.name) for row in found if readable(row, reader)}

    def listed(self, namespace: str, reader: Reader) -> wire.Catalog:
        """Everything that `reader` may read today. Raises Refusal where it is too much."""
        found = self._readable_rows(reader) if reader.versions is None else self._task_rows(reader.versions, reader)
        # What there is, is listed of the active versions, whichever the names of a statement mean.
        return listing.of(namespace, readable_names(namespace, found, replace(reader, at=None)))

    def snapshot(self) -> str:
        """What this transaction sees of state, for a pin."""
        row = self._snapshot.fetchone()
        assert row is not None
        return str(row[0])

    def _matched(
        self, names: Sequence[RelationName], namespace: str, reader: Reader, staged: Mapping[_Asset, str] = _NOTHING
    ) -> list[tuple[CatalogRow, list[RelationName]]]:
        """The row of each name, where `staged` says what that meant; else it is what is staged now. From here on a
        version is known by its own name."""
        if reader.versions is not None:
            rows = self._task_rows(reader.versions, reader)
        else:
            rows = self._named_rows(names, namespace, reader, staged)
        matched = match(names, namespace, rows, reader)
        for row, _ in matched:
            check_columns(row)
        return [
            (row if row.version is None else replace(row, name=f"{row.asset}{AT}{row.version}"), spelled)
            for row, spelled in matched
        ]

    def _named_rows(
        self, names: Sequence[RelationName], namespace: str, reader: Reader, staged: Mapping[_Asset, str]
    ) -> list[CatalogRow]:
        """What these names may mean, also to those who may not read it."""
        meant = [_meant(name, namespace, reader) for name in names]
        sent = []
        for statement, key in (
            (_RELATIONS, [one for one in meant if one[1] is None]),
            (_VERSION_RELATIONS, [one for one in meant if one[1] is not None]),
        ):
            if key:
                columns = {
                    "namespaces": [place for (place, _), _ in key],
                    "names": [name for (_, name), _ in key],
                    "spelled": [version for _, version in key],
                    "versions": [staged.get(asset, STAGED) if said == STAGED else said for asset, said in key],
                }
                sent.append(self._send(statement, columns))
        return [catalog_row(row) for rows in sent for row in rows.fetchall()]

    def _task_rows(self, versions: Iterable[UUID], reader: Reader) -> list[CatalogRow]:
        listed = {"versions": list(versions)}
        federated = [catalog_row(row) for row in self._fetch(_FEDERATED, listed)]
        return [*task_rows(self._fetch(_VERSIONS, listed), reader.assets), *federated]

    def _readable_rows(self, reader: Reader) -> list[CatalogRow]:
        found: list[CatalogRow] = []
        after = ("", "")
        while True:
            page = {"after_namespace": after[0], "after_name": after[1], "limit": PAGE}
            rows = [catalog_row(row) for row in self._fetch(_RELATIONS_PAGE, page)]
            found.extend(row for row in rows if readable(row, reader))
            if len(found) > listing.MAX_RELATIONS:
                raise listing.too_large()
            if len(rows) < PAGE:
                return found
            after = (rows[-1].namespace, rows[-1].name)

    def _holdings(
        self, rows: Sequence[CatalogRow], then: Sequence[pins.PinnedRelation], snapshot: str | None = None
    ) -> Holdings:
        pairs = [(row.hot_version, row.cold_version) for row in rows]
        pairs += [(pinned.hot, row.cold_version) for pinned, row in zip(then, rows, strict=bool(then))]
        hot = {version for version, _ in pairs if version}
        moved = self._moved(hot)
        cold = {own for _, own in pairs if own}
        cold.update(v for version, own in pairs if version for v in answering(moved.get(version, {}), own))
        old = {part.version for pinned in then for part in pinned.cold}
        # All three are sent before the first is read.
        version_rows = self._send(_VERSIONS, {"versions": list(hot | cold | old)})
        pinned_rows = self._send_partitions(_PARTITIONS_IN_SNAPSHOT, old, snapshot)
        current_rows = self._send_partitions(_PARTITIONS, cold, None)
        versions = {row["dataset_version_id"]: version_row(row) for row in version_rows.fetchall()}
        pinned = _partitions(pinned_rows)
        return Holdings(versions, moved, _partitions(current_rows), pinned)

    def _moved(self, hot: Iterable[UUID]) -> dict[UUID, dict[UUID, tuple[ranges.Range, ...]]]:
        found: dict[UUID, dict[UUID, tuple[ranges.Range, ...]]] = defaultdict(dict)
        if versions := list(hot):
            for row in self._fetch(_RELOCATED, {"versions": versions}):
                found[row["hot_version_id"]][row["cold_version_id"]] = ranges.parse_multirange(row["ranges"])
        return found

    def _send_partitions(self, statement: str, versions: Iterable[UUID], snapshot: str | None) -> _Rows | None:
        if not (listed := list(versions)):
            return None
        return self._send(statement, {"versions": listed, "snapshot": snapshot, "limit": MAX_PARTITIONS + 1})

    def _refuse_invalidated(self, pin: pins.PinnedRelation, sequence: int) -> None:
        """Raise SnapshotUnavailable where hot rows that `pin` read were invalidated since."""
        if pin.hot is None:
            return
        key = {"version": pin.hot, "sequence": sequence, "limit": MAX_INVALIDATIONS}
        rows = self._fetch(_INVALIDATIONS, key)
        refuse_touched(pin, [(row["range_start"], row["range_end"], row["reason"]) for row in rows])
        if len(rows) >= MAX_INVALIDATIONS:
            raise pins.SnapshotUnavailable(
                f"as_of: too many ranges of {pin.namespace}/{pin.name} were invalidated since then"
            )

    def _fetch(self, statement: str, values: dict[str, Any]) -> list[dict[str, Any]]:
        return self._send(statement, values).fetchall()

    def _send(self, statement: str, values: dict[str, Any]) -> _Rows:
        """Send a statement, and do not wait for its rows."""
        return self._connection.cursor(row_factory=dict_row).execute(statement, {"org": self._org, **values})


def _meant(name: RelationName, namespace: str, reader: Reader) -> tuple[_Asset, str | None]:
    """The asset and the DAG version that a name means."""
    asset, version = reader.meant(name)
    return ((name.schema or namespace).replace("-", "_"), asset), version


def _staged_then(
    pin: pins.Pin, names: Sequence[RelationName], namespace: str, reader: Reader
) -> Mapping[_Asset, str]:
    """What `staged` meant for each asset when `pin` was taken: of its versions the one that no name says itself."""
    pinned = [
        ((one.namespace.replace("-", "_"), one.name.partition(AT)[0].replace("-", "_")), one.name.partition(AT)[2])
        for one in pin.relations
        if AT in one.name
    ]
    said = {_meant(name, namespace, reader) for name in names}
    return dict(pinned) | {asset: version for asset, version in pinned if (asset, version) not in said}


def _partitions(cursor: _Rows | None) -> Mapping[UUID, list[PartitionRow]]:
    """The partitions of each version. Raises Refusal for too many."""
    found: dict[UUID, list[PartitionRow]] = defaultdict(list)
    rows = cursor.fetchall() if cursor else []
    if len(rows) > MAX_PARTITIONS:
        raise Refusal("ScanTooLarge", f"the relations have more than {MAX_PARTITIONS} partitions: query them apart")
    for row in rows:
        part = PartitionRow(
            row["id"],
            row["dataset_id"],
            row["dataset_version_id"],
            row["range_start"],
            row["range_end"],
            row["location"],
            tuple(row["files"]),
        )
        found[part.version].append(part)
    return found


def refuse_touched(pin: pins.PinnedRelation, invalidated: Iterable[tuple[int | None, int | None, str]]) -> None:
    """Raise SnapshotUnavailable where one of (start, end, reason) touches what `pin` read from the hot table."""
    read = as_of.hot_ranges(pin)
    for start, end, reason in invalidated:
        low, high = ranges.LOWEST if start is None else start, ranges.HIGHEST if end is None else end
        if ranges.touches((low, high), read):
            raise pins.SnapshotUnavailable(
                f"as_of: rows {low} to {high} of {pin.namespace}/{pin.name} were invalidated since ({reason})"
            )
