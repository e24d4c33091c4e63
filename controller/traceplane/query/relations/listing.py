"""What there is, as a statement may know it: from rows of the catalog to the messages a cell makes its tables of.

Which rows these are is decided where names are resolved (`resolve.readable_names`). Pure.
"""

from __future__ import annotations

from collections.abc import Iterable

import msgspec

from traceplane.errors import Refused
from traceplane.query import wire
from traceplane.query.gate.statement import Admitted, Lists, Refusal, RelationName
from traceplane.query.relations import pins
from traceplane.query.relations.rows import CatalogRow
from traceplane_sdk.columns import FORMS

MAX_BYTES = 3 * 1024 * 1024
"""Of a listing, which goes into one frame with the statement."""
MAX_RELATIONS = 5_000
"""Of a listing: each takes time, whatever its size."""
REMEDY = "GET /v1/assets and `tracectl get assets` page through them, and DESCRIBE shows one"


def of(namespace: str, found: Iterable[tuple[RelationName, CatalogRow]]) -> wire.Catalog:
    """The listing of these relations. Raises Refusal where it is too large."""
    schema = namespace.replace("-", "_").lower()
    listed = wire.Catalog(schema, [_relation(name.schema or schema, name.table, row) for name, row in found])
    if len(listed.relations) > MAX_RELATIONS or len(msgspec.msgpack.encode(listed)) > MAX_BYTES:
        raise too_large()
    return listed


def too_large() -> Refusal:
    """There is more than one statement may list."""
    return Refusal("CatalogTooLarge", f"you may read more relations than one statement lists: {REMEDY}")


def refuse_as_of(admitted: Admitted, pin: pins.Pin | None) -> None:
    """Refuse a listing of the past: which roles, names and descriptions there were then is not kept."""
    if pin is not None and admitted.lists is Lists.READABLE:
        raise Refused("as_of: what there is can be listed as of now only; leave it out", code="InvalidRequest")


def _relation(schema: str, table: str, row: CatalogRow) -> wire.CatalogRelation:
    columns = [
        wire.CatalogColumn(
            name, FORMS[kind].duckdb, kind, note.nullable, name == row.scope_column, note.pii, note.description
        )
        for (name, kind), note in zip(row.columns, row.notes, strict=True)
    ]
    return wire.CatalogRelation(schema, table, row.storage, row.description, columns)
