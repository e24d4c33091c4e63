"""Which former versions the policies of Assets keep."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import pytest

from traceplane.store.statements.retention import Held
from traceplane.versions.retention import assess

NOW = datetime(2026, 6, 1, tzinfo=UTC)
DAY = 86_400
Policy = Mapping[str, Any] | None


def held(
    number: int,
    *policies: Policy,
    job: int | None = None,
    dataset: int = 1,
    days: float | None = None,
    built: bool = True,
    reads: Sequence[int] = (),
) -> Held:
    """A generation that was left `days` ago; None: it is active."""
    return Held(
        job_id=UUID(int=job or number),
        version_id=UUID(int=100 + number),
        dataset_id=UUID(int=dataset),
        name=f"v{number}",
        active=days is None,
        staged=False,
        built=built,
        left_at=None if days is None else NOW - timedelta(days=days),
        left_seconds=None if days is None else days * DAY,
        policies=policies,
        assets=("a",) * len(policies),
        reads=tuple(UUID(int=one) for one in reads),
    )


def fate(outputs: Sequence[Held]) -> dict[str, str]:
    return {verdict.output.name or "": str(verdict) for verdict in assess(outputs).verdicts}


@pytest.mark.parametrize(
    ("policies", "former"),
    [
        pytest.param([], ["until tracectl gc"] * 3, id="an output that nobody publishes"),
        pytest.param([None], ["until tracectl gc"] * 3, id="an Asset that says nothing"),
        pytest.param([{"versions": 1}], ["is purged next"] * 3, id="the current version alone"),
        pytest.param(
            [{"versions": 3}],
            ["as one of the newest", "until another version takes over", "is purged next"],
            id="the newest three",
        ),
        pytest.param(
            [{"age_seconds": 10 * DAY}],
            ["until 2026-06-10T00:00:00Z", "until 2026-06-06T00:00:00Z", "is purged next"],
            id="an age",
        ),
        pytest.param(
            [{"versions": 2, "age_seconds": 10 * DAY}],
            ["as one of the newest", "until 2026-06-06T00:00:00Z", "is purged next"],
            id="what either keeps",
        ),
        pytest.param(
            [{"versions": 1}, {"age_seconds": 7 * DAY}],
            ["until 2026-06-07T00:00:00Z", "until 2026-06-03T00:00:00Z", "is purged next"],
            id="the most generous of two Assets",
        ),
        pytest.param([{"versions": 1}, None], ["until tracectl gc"] * 3, id="an Asset that keeps all is the most"),
    ],
)
def test_each_policy_keeps(policies: list[Policy], former: list[str]) -> None:
    outputs = [held(4, *policies), *(held(n, *policies, days=d) for n, d in ((3, 1), (2, 5), (1, 30)))]
    assert fate(outputs) == {"v4": "active"} | dict(zip(("v3", "v2", "v1"), former, strict=True))


def test_what_never_took_over_is_kept_by_an_age_alone_and_counts_as_no_version() -> None:
    by_count = [
        held(4, {"versions": 2}),
        held(3, {"versions": 2}, days=0, built=False),
        held(2, {"versions": 2}, days=1),
    ]
    assert fate(by_count) == {"v4": "active", "v3": "is purged next", "v2": "until another version takes over"}
    policy = {"age_seconds": DAY}
    assert fate([held(2, policy), held(1, policy, days=0, built=False)])["v1"] == "until 2026-06-02T00:00:00Z"


def test_what_is_kept_keeps_what_it_reads_and_nothing_else() -> None:
    goes, stays = {"versions": 1}, {"versions": 9}
    middle = held(3, goes, days=1, dataset=2)
    outputs = [
        held(9, stays, dataset=3),
        held(1, stays, dataset=3, days=1, reads=[3]),
        held(8, goes, dataset=2),
        middle,
    ]
    found = assess(outputs)
    assert (found.due, middle.job_id in found.kept) == (frozenset(), True)
    assert fate(outputs)["v3"] == "what is kept reads it"
    alone = assess(
        [held(9, goes, dataset=3), held(1, goes, dataset=3, days=1, reads=[3]), held(8, goes, dataset=2), middle]
    )
    assert alone.due == {UUID(int=1), UUID(int=3)}


def test_outputs_of_a_job_go_together() -> None:
    goes, stays = {"versions": 1}, {"versions": 2}
    outputs = [held(9, goes), held(1, goes, days=1), held(8, stays, dataset=2, job=9)]
    sibling = held(2, stays, dataset=2, job=1, days=1)
    assert assess(outputs).due == {UUID(int=1)}
    assert assess([*outputs, sibling]).due == frozenset()
    assert fate([*outputs, sibling])["v1"] == "another output of its job is kept"


def test_an_output_that_nobody_published_follows_its_readers() -> None:
    outputs = [held(9, {"versions": 1}), held(1, {"versions": 1}, days=1, reads=[5]), held(5, days=1, dataset=2)]
    found = assess(outputs)
    assert (found.due, UUID(int=5) in found.kept) == ({UUID(int=1)}, False)
