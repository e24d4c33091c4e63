"""Rows of the catalog's views, as the rest of the query service knows them. Pure."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any
from uuid import UUID

from traceplane_sdk.where import Where

AT = "@"
"""Between the name of an asset and that of a DAG version."""


@dataclass(frozen=True, slots=True)
class ColumnNote:
    """What a column's declaration says besides its name and type."""

    nullable: bool = False
    pii: bool = False
    description: str = ""


@dataclass(frozen=True, slots=True)
class CatalogRow:
    """One row of `catalog.relations`. For a plain asset the `hot_*` or `cold_*` half is None."""

    namespace: str
    name: str
    storage: str
    read_roles: tuple[frozenset[str], ...]
    """Its own and, for a Federated asset, those of its two halves: a reader needs one of each."""
    columns: tuple[tuple[str, str], ...]
    scope_column: str
    dataset: UUID | None
    """Of its hot half where it has one, else of its cold half."""
    provisioned: bool
    hot_version: UUID | None
    hot_location: str | None
    cold_version: UUID | None
    output: str | None = None
    """Where it is named as an output and not as an asset: that output, in words."""
    notes: tuple[ColumnNote, ...] = ()
    """Of each of `columns`, in their order."""
    description: str = ""
    where: Where = field(default_factory=dict)
    """Of its rows those that the reader sees."""

    version: str | None = None
    """Where the name says a version of the DAG: that version's own name, which never means another one."""

    @property
    def asset(self) -> str:
        """The asset, whichever of its versions the name means."""
        return self.name.partition(AT)[0]


@dataclass(frozen=True, slots=True)
class VersionRow:
    """One row of `catalog.versions`, current or not. `pii` are its columns with personal data; `scope_column` is
    its own, which the next version need not share."""

    dataset: UUID
    version: UUID
    location: str
    columns: tuple[tuple[str, str], ...]
    scope_column: str
    notes: tuple[ColumnNote, ...]

    @property
    def pii(self) -> tuple[str, ...]:
        return tuple(name for (name, _), note in zip(self.columns, self.notes, strict=True) if note.pii)


@dataclass(frozen=True, slots=True)
class PartitionRow:
    """One partition of a cold dataset version."""

    id: UUID
    dataset: UUID
    version: UUID
    start: int
    end: int
    location: str
    files: tuple[Mapping[str, Any], ...]


def catalog_row(row: Mapping[str, Any]) -> CatalogRow:
    """A row of `catalog.relations`. For a plain asset the view gives one version, hot or cold by its storage."""
    federated, hot = row["storage"] == "Federated", row["storage"] == "Postgres"
    own = row["dataset_version_id"]
    return CatalogRow(
        namespace=row["namespace"],
        name=row["name"],
        storage=row["storage"],
        read_roles=tuple(frozenset(row[f"{half}read_roles"]) for half in ("", "hot_", "cold_")),
        columns=_columns(row),
        notes=_notes(row),
        description=row.get("description") or "",
        version=row.get("version"),
        scope_column=row["scope_column"] or "",
        dataset=row["dataset_id"],
        provisioned=row["provisioned"],
        hot_version=row["hot_version_id"] if federated else own if hot else None,
        hot_location=row["hot_location"] if federated else row["location"] if hot else None,
        cold_version=row["cold_version_id"] if federated else None if hot else own,
    )


def version_row(row: Mapping[str, Any]) -> VersionRow:
    """A row of `catalog.versions`."""
    return VersionRow(
        dataset=row["dataset_id"],
        version=row["dataset_version_id"],
        location=row["location"],
        columns=_columns(row),
        scope_column=row["scope_column"] or "",
        notes=_notes(row),
    )


def _columns(row: Mapping[str, Any]) -> tuple[tuple[str, str], ...]:
    return tuple((column["name"], column["type"]) for column in row["columns"] or ())


def _notes(row: Mapping[str, Any]) -> tuple[ColumnNote, ...]:
    return tuple(
        ColumnNote(bool(column.get("nullable")), bool(column.get("pii")), column.get("description", ""))
        for column in row["columns"] or ()
    )
