"""Columns and their descriptions."""

from __future__ import annotations

from operators.chain import schemas
from operators.chain.descriptions import DESCRIPTIONS


def test_every_column_is_described_and_every_description_is_of_a_column() -> None:
    tables = (schemas.BLOCKS, schemas.TRANSACTIONS, schemas.LOGS)
    described = {column.description for table in tables for column in table}
    assert described == set(DESCRIPTIONS.values())
    assert "" not in described
