"""State is restored to an earlier time; data, object store and resources are newer: nothing is there twice."""

from __future__ import annotations

import copy

import psycopg
import pytest

from tests import services
from tests.integration.versions.definitions import Definition
from tests.integration.versions.drill import Drill
from tests.integration.versions.workers import Fault

pytestmark = pytest.mark.services


def copied(postgres: services.Postgres, source: str, target: str) -> None:
    """Make `target` what `source` is now, whoever is connected."""
    with postgres.admin() as admin:
        admin.execute(f"DROP DATABASE IF EXISTS {target} WITH (FORCE)")
        admin.execute("SELECT pg_terminate_backend(pid) FROM pg_stat_activity WHERE datname = %s", (source,))
        admin.execute(f"CREATE DATABASE {target} TEMPLATE {source} STRATEGY file_copy")


async def test_what_a_restored_state_forgot_is_made_again_once(
    drill: Drill, postgres: services.Postgres, databases: services.Databases
) -> None:
    parts, state = drill.parts, psycopg.conninfo.conninfo_to_dict(databases.state_dsn)["dbname"]
    await parts.close()
    copied(postgres, str(state), "earlier")
    parts.open()
    before = copy.deepcopy(drill.model)

    drill.chain.grow(20)
    await drill.apply(Definition(plus=3))
    await drill.rest()
    drill.chain.grow(8)
    for job in parts.queued(sources=True):
        await parts.workers.attempt(job, Fault.STALLS_LATE)
    assert await parts.turn("epochs") == 0
    await parts.close()
    copied(postgres, "earlier", str(state))
    parts.open()

    assert await parts.turn("epochs") == 1, "it is detected"
    assert await parts.turn("epochs") == 0, "and mended"
    drill.restored(before)
    await parts.workers.wake()
    drill.chain.grow(1)  # the source announces all that it wrote with its next block
    await drill.rest()
    assert drill.model.active == drill.model.applied
