"""The outbox loop: what one row's effect comes to is that row's affair."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import services
from tests.integration.dispatch.conftest import Feed
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.effects.delete_hot_rows import DeleteHotRows
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
    sql(
        "INSERT INTO outbox (org_id, kind, payload, dedupe_key, available_at)"
        " VALUES (%(org)s, 'delete_hot_rows', '{}', 'unknown', now())",
        org=settings.org_id,
    )
    loop = Outbox(settings, state, {"provision_hot_table": Effect()})
    assert await loop.run_once() == len(FAILURES) + 2
    found = {row["dedupe_key"]: (row["status"], row["last_error"]) for row in sql("SELECT * FROM outbox")}
    assert found == {
        "give up": ("Pending", "the role lacks a right"),
        "refuse": ("Failed", "no such table"),
        "wait": ("Pending", "the database is away"),
        "break": ("Pending", "ZeroDivisionError"),
        "succeed": ("Done", None),
        "unknown": ("Failed", "no effect for outbox rows of kind delete_hot_rows"),
    }
    assert await loop.run_once() == 0, "they come back later"


async def test_rows_that_are_not_relocated_stay_whatever_asked_for_their_deletion(
    dispatcher: Dispatcher, jobs: dict[str, UUID], feed: Feed, databases: services.Databases, sql: Sql
) -> None:
    """The relocation may have been undone since it was asked: then they are the only copy."""
    hot, cold = feed.version("ranges", "ranges"), feed.version("compact", "blocks")
    delete = DeleteHotRows(dispatcher.state, dispatcher.data)

    def asked(version: UUID) -> OutboxRow:
        payload = {"dataset_version_id": str(version), "start": 0, "end": 19}
        return OutboxRow(1, dispatcher.settings.org_id, "delete_hot_rows", payload, 1)

    with psycopg.connect(databases.data_dsn, autocommit=True) as data:
        rows = f"SELECT count(*) FROM hot.d_{hot.hex}"
        data.execute(f"INSERT INTO hot.d_{hot.hex} (dedupe_key, range_start, range_end) VALUES ('a', 0, 19)")
        with pytest.raises(Refused, match=r"rows 0 to 19 of hot.* are not relocated; they stay"):
            await delete.perform(asked(hot))
        assert data.execute(rows).fetchone() == (1,)
        sql(
            "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges)"
            " VALUES (%(hot)s, %(cold)s, %(org)s, '{[0,20)}')",
            hot=hot,
            cold=cold,
            org=dispatcher.settings.org_id,
        )
        assert await delete.perform(asked(hot))
        assert data.execute(rows).fetchone() == (0,)
    with pytest.raises(Refused, match="has no hot table"):
        await delete.perform(asked(cold))
