"""Tasks of one claim go to the claimant whose claim id the statement gave them."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Any
from uuid import UUID

import pytest

from traceplane.dispatch.claim import Claims
from traceplane.store.statements.claims import Claimant, Claimed, ClaimedRow

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def claimed(*numbers: int) -> Claimed:
    rows = tuple(ClaimedRow(n, f"task-{n}", 1, "token", n, "Event", "{}", NOW, NOW) for n in numbers)
    return Claimed(False, rows, NOW, NOW, None, 0, None)


@pytest.mark.parametrize(
    ("numbers", "expected"),
    [
        ((1, 2, 3, 4), [["task-1", "task-2"], ["task-3", "task-4"]]),
        ((1, 2, 3), [["task-1", "task-2"], ["task-3"]]),
        # Number 1 changed between the statement's snapshot and its lock, and was left out.
        ((2, 3, 4), [["task-2"], ["task-3", "task-4"]]),
        ((3, 4), [None, ["task-3", "task-4"]]),
    ],
)
def test_tasks_are_dealt_by_their_number(
    numbers: tuple[int, ...], expected: list[Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(
        Claims, "_lease", lambda _self, _job, _claimant, _claimed, _context, rows: [r[1] for r in rows]
    )
    service, job = object.__new__(Claims), object()
    claimants = [Claimant(UUID(int=n), f"worker-{n}", 2) for n in (1, 2)]
    assert service.deal(job, claimants, claimed(*numbers)) == expected  # type: ignore[arg-type]
