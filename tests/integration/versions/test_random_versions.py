"""Random edits, faults, cutovers and rollbacks: at rest each asset is its definition, computed from scratch."""

from __future__ import annotations

import random
from pathlib import Path

import pytest

from tests import services
from tests.integration.versions.chain import MadeUpChain
from tests.integration.versions.drill import Drill
from tests.integration.versions.parts import parts
from tests.support.seeds import seeds

pytestmark = pytest.mark.services

STEPS = 40
BETWEEN_RESTS = 13


@pytest.mark.parametrize("seed", seeds(1, 100))
async def test_at_rest_each_asset_is_its_definition_computed_from_scratch(
    databases: services.Databases, object_store: services.ObjectStore, bucket: str, tmp_path: Path, seed: int
) -> None:
    chain, chance = MadeUpChain(), random.Random(seed)
    async with parts(databases, object_store, bucket, chain, tmp_path, chance) as made:
        drill = Drill(made, chain, chance)
        try:
            await drill.start()
            for number in range(STEPS):
                await drill.step()
                if number % BETWEEN_RESTS == BETWEEN_RESTS - 1:
                    await drill.rest()
            await drill.rest()
        except BaseException as error:
            error.add_note(f"seed {seed}:\n" + "\n".join(drill.history))
            raise
