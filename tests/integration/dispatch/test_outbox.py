"""The outbox loop: what one row's effect comes to is that row's affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from traceplane.dispatch.loops.outbox import Outbox
from traceplane.errors import GiveUp, Refused, Unavailable
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.store.statements.outbox import OutboxRow

pytestmark = pytest.mark.services

Sql = Callable[..., list[dict[str, Any]]]


FAILURES = {
    "give up": GiveUp("the role lacks a right"),
    "refuse": Refused("no such table"),
    "wait": Unavailable("the database is away"),
    "break": ZeroDivisionError("secret"),
}


class Effect:
    """Fails for rows whose payload names a failure."""

    async def perform(self, row: OutboxRow) -> bool:
        if failure := FAILURES.get(row.payload["then"]):
            raise failure
        return True


async def test_a_row_whose_effect_fails_stops_no_other_row_and_not_the_process(
    settings: Settings, state: Database, sql: Sql
) -> None:
    for number, then in enumerate((*FAILURES, "succeed")):
        sql(
            "INSERT INTO outbox (org_id, kind, payload, dedupe_key, available_at) VALUES"
            " (%(org)s, 'provision_hot_table', jsonb_build_object('then', %(then)s::text), %(then)s,"
            " now() - interval '1 h' + make_interval(secs => %(number)s))",
            org=settings.org_id,
            then=then,
            number=number,
        )
    loop = Outbox(settings, state, {"provision_hot_table": Effect()})
    assert await loop.run_once() == len(FAILURES) + 1
    found = {row["dedupe_key"]: (row["status"], row["last_error"]) for row in sql("SELECT * FROM outbox")}
    assert found == {
        "give up": ("Pending", "the role lacks a right"),
        "refuse": ("Failed", "no such table"),
        "wait": ("Pending", "the database is away"),
        "break": ("Pending", "ZeroDivisionError"),
        "succeed": ("Done", None),
    }
    assert await loop.run_once() == 0, "they come back later"
