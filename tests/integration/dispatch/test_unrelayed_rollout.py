"""A staged version is not ready while events of what it reads wait in the data database for the relay."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import graphs, services
from tests.integration.dispatch.blocks import write_blocks
from tests.integration.dispatch.callers import Caller
from tests.integration.dispatch.views import DAG
from traceplane.dispatch.dispatcher import Dispatcher
from traceplane.dispatch.loops import relay
from traceplane.store.statements import controller_facts
from traceplane.versions import rollout
from traceplane.versions.readiness import Phase, Rollout

pytestmark = pytest.mark.services


async def look(dispatcher: Dispatcher) -> Rollout:
    async with dispatcher.state.transaction() as conn:
        facts = await controller_facts.dag_facts(conn, DAG)
        assert facts is not None
        assert facts.staged_version_id is not None
        return await rollout.look(conn, active=facts.active_version_id, staged=facts.staged_version_id)


async def test_a_backlog_of_the_relay_is_work_that_a_staged_version_has_before_it(
    caller: Caller,
    jobs: dict[str, UUID],
    deploy: Callable[..., Any],
    dispatcher: Dispatcher,
    databases: services.Databases,
    loop_of: Any,
    sql: Any,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    changed = graphs.chain()
    graphs.job(changed, "ranges")["config"]["rangeSize"] = 50
    staged = await deploy(changed)
    (source,) = await caller.claim(jobs["follow"])
    for first in (0, 10, 20):
        write_blocks(databases.writer_dsn, source.task, first, first + 9)
    with psycopg.connect(databases.data_dsn, autocommit=True) as data:
        data.execute("UPDATE trace.source_outbox SET created_at = created_at - interval '1 minute'")
    monkeypatch.setattr(relay, "BATCH", 1)
    assert await loop_of("relay")() == 1
    sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %(job)s", job=staged["ranges"])
    found = await look(dispatcher)
    assert found.phase is Phase.REBUILDING
    assert "ranges: events of hot tables, of all DAGs, are relayed up to 6" in found.message
    while await loop_of("relay")():
        pass
    assert (await look(dispatcher)).phase is Phase.READY
    # What the running version has done, and this one has not.
    sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE job_id = %(job)s", job=jobs["ranges"])
    sql("UPDATE events SET created_at = now() - interval '1 minute'")
    assert (await look(dispatcher)).message == "ranges: 1 of 3 tasks are done"
    sql("UPDATE relay_progress SET caught_up_at = now() - interval '5 minutes'")
    assert "relayed up to 300 s ago only" in (await look(dispatcher)).message, "no dispatcher relays any more"
