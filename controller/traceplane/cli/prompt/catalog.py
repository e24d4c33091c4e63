"""What may be asked about: the assets of the user API, as relations of SQL. Loaded once, and again by `\\d`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import TYPE_CHECKING, Any

from traceplane.cli.get import pages

if TYPE_CHECKING:
    import httpx

MAX_ASSETS = 5000


@dataclass(frozen=True, slots=True)
class Relation:
    """An asset as SQL names it: with `_` for `-`."""

    schema: str
    name: str
    storage: str
    description: str
    columns: tuple[tuple[str, str, bool], ...]
    """Name, type, and whether it may be NULL."""


@dataclass(frozen=True, slots=True)
class Catalog:
    """Relations by name. Unqualified names are those of `namespace`, which is None where the service chooses."""

    relations: tuple[Relation, ...] = ()
    namespace: str | None = None

    def find(self, name: str) -> list[Relation]:
        """The relations that `name` may mean, with or without its schema, in any case of letters."""
        schema, _, table = name.lower().replace('"', "").replace("-", "_").rpartition(".")
        return [each for each in self.relations if each.name == table and schema in ("", each.schema)]

    def title(self, relation: Relation) -> str:
        """How a statement names it: with its schema, unless that is where unqualified names are looked up."""
        own = self.namespace is not None and _identifier(self.namespace) == relation.schema
        return relation.name if own else f"{relation.schema}.{relation.name}"


def load(client: httpx.Client, namespace: str | None) -> Catalog:
    """The assets that the caller may read, MAX_ASSETS at most. Raises TraceError."""
    assets = islice(pages(client, "/v1/assets"), MAX_ASSETS)
    return Catalog(tuple(_relation(asset) for asset in assets), namespace)


def _relation(asset: Mapping[str, Any]) -> Relation:
    columns: Sequence[Mapping[str, Any]] = asset["columns"] or ()
    return Relation(
        _identifier(asset["namespace"]),
        _identifier(asset["name"]),
        asset["storage"],
        asset["description"],
        tuple((column["name"], column["type"], column.get("nullable", True)) for column in columns),
    )


def _identifier(name: str) -> str:
    return name.replace("-", "_").lower()
