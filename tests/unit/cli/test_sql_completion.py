"""What Tab offers, from a catalog of a few relations."""

from __future__ import annotations

import pytest

from traceplane.cli.prompt.catalog import Catalog, Relation
from traceplane.cli.prompt.completion import candidates

CATALOG = Catalog(
    (
        Relation("default", "blocks", "Federated", "", (("block_number", "Int64", False), ("hash", "Hex", False))),
        Relation("default", "cold_blocks", "S3", "", (("block_number", "Int64", False),)),
        Relation("other", "logs", "Postgres", "", (("data", "Text", True), ("Odd name", "Text", True))),
    ),
    "default",
)


@pytest.mark.parametrize(
    ("before", "after", "offered"),
    [
        ("SELECT * FROM ", "", ["blocks", "cold_blocks", "other.logs"]),
        ("SELECT * FROM BL", "", ["blocks"]),
        ("SELECT * FROM other.", "", ["other.logs"]),
        ("SELECT * FROM blocks b, co", "", ["cold_blocks"]),
        ("SELECT * FROM blocks\nJOIN o", "", ["other.logs"]),
        ("DESCRIBE b", "", ["blocks"]),
        ("SELECT ha", " FROM blocks", ["hash", "HAVING"][:1]),
        ("SELECT ", " FROM blocks", ["block_number", "hash"]),
        ("SELECT b.", " FROM blocks AS b JOIN other.logs", ["b.block_number", "b.hash"]),
        ("SELECT l.", " FROM blocks b JOIN other.logs l", ["l.data", 'l."Odd name"']),
        ("SELECT cold_blocks.", " FROM cold_blocks", ["cold_blocks.block_number"]),
        ("SELECT da", " FROM default.blocks", []),
        ("SELECT * FROM blocks WHERE block_n", "", ["block_number"]),
        ("sel", "", ["SELECT"]),
        ("\\d ", "", ["blocks", "cold_blocks", "other.logs"]),
        ("\\t", "", ["timing"]),
        ("SELECT 'x", "", []),
    ],
)
def test_what_fits_is_offered(before: str, after: str, offered: list[str]) -> None:
    found = [text for text, _ in candidates(before, before + after, CATALOG)]
    assert [text for text in found if text != "HAVING"] == offered


def test_a_relation_is_found_as_people_write_it() -> None:
    for name in ("cold-blocks", "COLD_BLOCKS", "default.cold_blocks", '"cold_blocks"'):
        assert [each.name for each in CATALOG.find(name)] == ["cold_blocks"]
    assert CATALOG.find("other.blocks") == []
