"""One of the two databases is away, the other is not: what can goes on, and afterwards all is as it has to be."""

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
from tests.integration.versions.parts import Fault, parts
from traceplane.errors import Unavailable

pytestmark = pytest.mark.services


@dataclass(frozen=True)
class Apart:
    """A pair of databases on two servers, of which `server` may be stopped."""

    databases: services.Databases
    server: services.Postgres


@pytest.fixture(params=["state", "data"])
def apart(request: pytest.FixtureRequest, databases: services.Databases) -> Iterator[Apart]:
    """The database that goes away has a server of its own."""
    with services.postgres() as server:
        own = server.databases()
        if request.param == "state":
            pair = replace(databases, state_dsn=own.state_dsn, query_state_dsn=own.query_state_dsn)
        else:
            pair = replace(databases, data_dsn=own.data_dsn, writer_dsn=own.writer_dsn, query_dsn=own.query_dsn)
        yield Apart(pair, server)


async def test_what_happened_while_it_was_away_is_made_good(
    apart: Apart, object_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> None:
    chain, chance = MadeUpChain(), random.Random(1)
    async with parts(apart.databases, object_store, bucket, chain, tmp_path, chance) as made:
        drill = Drill(made, chain, chance)
        await drill.start()
        made.patience = 0.5
        chain.grow(20)
        (source,) = made.queued(sources=True)
        await made.attempt(source, Fault.STALLS)
        apart.server.stop()
        away = "data database" if apart.databases.state_dsn not in str(apart.server.dsn("")) else "state database"
        assert made.ask(READ["tagged"]).status_code == 503
        await made.wake()  # it writes no row, or cannot say that it did
        with pytest.raises(Unavailable):
            await made.turn("relay")
        assert away
        apart.server.restart()
        await drill.rest()
