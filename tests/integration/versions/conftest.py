"""Running parts over the test's own databases and bucket."""

from __future__ import annotations

import random
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests import services
from tests.integration.versions.chain import MadeUpChain
from tests.integration.versions.drill import Drill
from tests.integration.versions.parts import parts


@pytest.fixture
async def drill(
    databases: services.Databases, object_store: services.ObjectStore, bucket: str, tmp_path: Path
) -> AsyncIterator[Drill]:
    """A DAG at rest, and nothing random happens to it."""
    chain, chance = MadeUpChain(), random.Random(1)
    async with parts(databases, object_store, bucket, chain, tmp_path, chance) as made:
        drill = Drill(made, chain, chance)
        await drill.start()
        yield drill
