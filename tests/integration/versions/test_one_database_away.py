"""One of the two databases is away and the other is not: it is named, and afterwards all is as it has to be."""

from __future__ import annotations

import random
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from tests import services
from tests.integration.versions.chain import MadeUpChain
from tests.integration.versions.definitions import READ
from tests.integration.versions.drill import Drill
from tests.integration.versions.parts import parts
from tests.integration.versions.workers import Fault
from traceplane.dispatch import health
from traceplane.errors import Unavailable

pytestmark = pytest.mark.services


@dataclass(frozen=True)
class Apart:
    """A pair of databases on two servers; `server` has the one that goes away."""

    databases: services.Databases
    server: services.Postgres
    away: str
    there: str


@pytest.fixture(params=["state", "data"])
def apart(request: pytest.FixtureRequest, databases: services.Databases) -> Iterator[Apart]:
    with services.postgres() as server:
        own = server.databases()
        if request.param == "state":
            pair = replace(databases, state_dsn=own.state_dsn, query_state_dsn=own.query_state_dsn)
            yield Apart(pair, server, "state database", "data database")
        else:
            pair = replace(databases, data_dsn=own.data_dsn, writer_dsn=own.writer_dsn, query_dsn=own.query_dsn)
            yield Apart(pair, server, "data database", "state database")


async def test_what_was_begun_while_one_database_was_away_is_made_good(
    apart: Apart, object_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> None:
    chain, chance = MadeUpChain(), random.Random(1)
    async with parts(apart.databases, object_store, bucket, chain, tmp_path, chance) as made:
        drill = Drill(made, chain, chance)
        await drill.start()
        made.workers.patience = 0.5
        chain.grow(20)
        (source,) = made.queued(sources=True)
        await made.workers.attempt(source, Fault.STALLS)
        apart.server.stop()
        assert made.ask(READ["tagged"]).status_code == 503
        await made.workers.wake()  # it can write no row, or cannot say that it did
        with pytest.raises(Unavailable):
            await made.turn("outbox" if apart.away == "state database" else "relay")
        found = {one.name: one.result for one in await health.findings(made.dispatcher.health.parts())}
        assert (found[apart.away], found[apart.there]) == ("failed", "ok")
        apart.server.restart()
        await drill.rest()
