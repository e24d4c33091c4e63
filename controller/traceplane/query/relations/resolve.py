"""From names in a statement to rows of the catalog, under what the caller may read.

A user reads published assets that its roles allow. A task reads exactly the dataset versions that its token is for,
each under its asset's name and as `<job>_<output>`, and a Federated asset where the token is for both halves.

A user may say which version of a DAG is meant: `"blocks@staged"`, `"blocks@v3"`, `"blocks@v3-1f0c9a2e"`. A name
without one means the active version, or the one that the request names for all of them.

Pure.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Any
from uuid import UUID

from traceplane.errors import Refused
from traceplane.query.gate.statement import Refusal, RelationName
from traceplane.query.relations.rows import AT, CatalogRow, catalog_row
from traceplane_sdk.columns import FORMS
from traceplane_sdk.where import Where

STAGED = "staged"
"""The version of a DAG that is built beside the active one."""

RESERVED_SCHEMAS = frozenset({"main", "memory", "system", "temp", "information_schema", "pg_catalog"})
"""Schemas that DuckDB has; the relations of a namespace of such a name are found by unqualified names only."""

_NO_NAMES: Mapping[UUID, str] = {}


@dataclass(frozen=True, slots=True)
class Reader:
    """The caller whose rights count: a user by `roles`, or a task by the `versions` its token is for, of which it
    sees the rows that `filters` let through. `assets` are those of its versions that other DAGs make, by the names
    that they were published under when its job was made. `at` is the DAG version that names without one mean; None:
    the active one."""

    roles: frozenset[str] = frozenset()
    versions: frozenset[UUID] | None = None
    at: str | None = None
    filters: Mapping[UUID, Where] = field(default_factory=dict)
    assets: Mapping[UUID, str] = field(default_factory=dict)

    def meant(self, name: RelationName) -> tuple[str, str | None]:
        """The asset and the DAG version that a name means."""
        asset, mark, version = name.table.partition(AT)
        return asset, version if mark else self.at


def match(
    names: Sequence[RelationName], namespace: str, rows: Iterable[CatalogRow], reader: Reader
) -> list[tuple[CatalogRow, list[RelationName]]]:
    """The catalog row of each name, names of one row together.

    Raises Refusal for a name that is not there, is not ready, or means two things.
    """
    known = _known(rows, reader)
    found: dict[tuple[str, str], tuple[CatalogRow, list[RelationName]]] = {}
    for name in names:
        row = _filtered(name, _granted(name, namespace, known, reader), reader)
        found.setdefault(_key(name, namespace, reader), (row, []))[1].append(name)
    return list(found.values())


def readable_names(
    namespace: str, rows: Iterable[CatalogRow], reader: Reader
) -> list[tuple[RelationName, CatalogRow]]:
    """Every name that `match` has a row for, with that row; of the names in `namespace` those without a schema."""
    known = _known(rows, reader)
    found = []
    for schema, table in sorted(known):
        name = RelationName(None if schema == _sql(namespace) else schema, table)
        try:
            row = _granted(name, namespace, known, reader)
            check_columns(row)
        except Refused:
            continue  # a statement with this name is refused, so it is none that can be read
        found.append((name, row))
    return found


_Known = Mapping[tuple[str, str], Sequence[CatalogRow]]


def _known(rows: Iterable[CatalogRow], reader: Reader) -> _Known:
    """What may be read, by its name in SQL."""
    known: dict[tuple[str, str], list[CatalogRow]] = {}
    for row in rows:
        # A relation that the reader may not read is answered exactly as one that does not exist.
        if readable(row, reader):
            known.setdefault((_sql(row.namespace), _sql(row.name)), []).append(row)
    return known


def _key(name: RelationName, namespace: str, reader: Reader) -> tuple[str, str]:
    asset, version = reader.meant(name)
    return _sql(name.schema or namespace), asset if version is None else f"{asset}{AT}{version}"


def _granted(name: RelationName, namespace: str, known: _Known, reader: Reader) -> CatalogRow:
    """The row that a name means. Raises Refusal."""
    # In a cell these schemas are DuckDB's own: they hold its catalog, or the views of unqualified names.
    named = known.get(_key(name, namespace, reader)) if name.schema not in RESERVED_SCHEMAS else None
    if not named:
        version = reader.meant(name)[1]
        where = f" in version {version!r} of a DAG" if version else ""
        raise Refusal(
            "RelationNotFound", f"no relation {name.text!r}{where}", position=name.position, name=name.text
        )
    row = _meant(name, named)
    if not _ready(row):
        raise Refusal(
            "RelationNotReady", f"{name.text!r} holds no data yet", position=name.position, name=name.text
        )
    return row


def _filtered(name: RelationName, row: CatalogRow, reader: Reader) -> CatalogRow:
    """The row with the `where` of the reader's. Raises Refusal where a name's halves have two."""
    halves = [reader.filters.get(version, {}) for version in (row.hot_version, row.cold_version) if version]
    if any(half != halves[0] for half in halves):
        raise Refusal(
            "WhereDiffers",
            f"{name.text!r} is one relation over two inputs of the job, whose where differs: give both the same",
            position=name.position,
            name=name.text,
        )
    return replace(row, where=halves[0]) if halves and halves[0] else row


def _meant(name: RelationName, named: Sequence[CatalogRow]) -> CatalogRow:
    """The one of those with its name that a name means. Raises Refusal."""
    candidates = [row for row in named if row.output is None] or named  # an asset's name counts before an output's
    first = candidates[0]
    other = next((row for row in candidates if _versions(row) != _versions(first)), None)
    if other is None:
        return first
    # `-` is `_` in SQL, so that two names may be one here: either would be the wrong data for somebody.
    raise Refusal(
        "RelationAmbiguous",
        f"{name.text!r} means two things: {_title(first)}, and {_title(other)}; use the name of an asset that only "
        "one of them has (publish it as one where there is none)",
        position=name.position,
        name=name.text,
    )


def _versions(row: CatalogRow) -> tuple[UUID | None, UUID | None]:
    return row.hot_version, row.cold_version


def _title(row: CatalogRow) -> str:
    what = row.output or f"{row.storage} asset {row.namespace}/{row.name}"
    return f"{what} (version {row.hot_version or row.cold_version})"


def readable(row: CatalogRow, reader: Reader) -> bool:
    """Whether all that it is made of may be read; no readRoles means every user."""
    if reader.versions is not None:
        return all(version in reader.versions for version in (row.hot_version, row.cold_version) if version)
    return all(not needed or needed & reader.roles for needed in row.read_roles)


def task_rows(versions: Iterable[Mapping[str, Any]], assets: Mapping[UUID, str] = _NO_NAMES) -> list[CatalogRow]:
    """Rows for a task's versions (rows of `catalog.versions`): each by job and output, and by asset; `assets` as
    a Reader has them."""
    found = []
    for row in versions:
        version = {**row, "asset": assets.get(row["dataset_version_id"], row["asset"])}
        # No roles: the token is the right to read. They would be the asset's, for users.
        bare = {**version, "read_roles": (), "hot_read_roles": (), "cold_read_roles": ()}
        by_job = catalog_row({**bare, "name": f"{version['job']}_{version['output']}"})
        found.append(replace(by_job, output=_output(version)))
        if version["asset"]:
            found.append(catalog_row({**bare, "name": version["asset"]}))
    return found


def _output(version: Mapping[str, Any]) -> str:
    asset = f"asset {version['asset']!r}" if version["asset"] else "no asset"
    return f"output {version['output']!r} of job {version['job']!r}, {asset}"


def _ready(row: CatalogRow) -> bool:
    if row.storage == "Postgres":
        return row.provisioned and row.hot_version is not None
    return row.cold_version is not None and (row.storage == "S3" or row.hot_version is not None)


def _sql(name: str) -> str:
    asset, mark, version = name.partition(AT)
    return asset.replace("-", "_").lower() + mark + version


def check_columns(row: CatalogRow) -> None:
    """Raise Refused for a relation with a column type this release does not know."""
    for name, kind in row.columns:
        if kind not in FORMS:
            raise Refused(f"column {name!r} has the unknown type {kind!r}", code="TypeNotSupported")
