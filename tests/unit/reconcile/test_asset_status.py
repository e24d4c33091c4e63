"""How far a Federated asset is: what its status takes of each half."""

from __future__ import annotations

from dataclasses import replace
from datetime import UTC, datetime
from uuid import UUID

from traceplane.reconcile import asset
from traceplane.store.statements.controller_facts import AssetFacts

HOT = AssetFacts(
    dag="chain",
    job="follow",
    output="blocks",
    dataset_id=UUID(int=1),
    dataset_version_id=UUID(int=2),
    storage="Postgres",
    provisioned=True,
    cursor=2500,
    partitions=0,
    rows=None,
    bytes=None,
    last_materialised_at=datetime(2026, 1, 2, tzinfo=UTC),
    columns=(),
    scope_column="block_number",
    unverified=(),
)
COLD = replace(
    HOT,
    storage="S3",
    cursor=None,
    partitions=2,
    rows=2000,
    bytes=9000,
    last_materialised_at=datetime(2026, 1, 1, tzinfo=UTC),
)


def test_the_cursor_is_the_hot_halfs_and_the_rest_the_colds() -> None:
    assert asset._federated(HOT, COLD) == {
        "cursor": 2500,
        "partitions": 2,
        "rows": 2000,
        "bytes": 9000,
        "lastMaterialization": "2026-01-02T00:00:00Z",
    }


def test_a_half_that_is_not_published_says_nothing() -> None:
    assert asset._federated(None, None) == {}
    assert asset._federated(None, COLD)["rows"] == 2000
    assert asset._federated(HOT, None) == {"cursor": 2500, "lastMaterialization": "2026-01-02T00:00:00Z"}
