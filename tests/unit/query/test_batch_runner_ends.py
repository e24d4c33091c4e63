"""What becomes of the service when its runner of batch queries fails."""

from __future__ import annotations

import asyncio
from typing import Any

from traceplane.errors import GiveUp, InvalidSettings
from traceplane.query.api import app


class Failing:
    """A runner that fails with each error in turn, and then stops."""

    def __init__(self, *errors: Exception) -> None:
        self.errors = list(errors)
        self.stopping = asyncio.Event()

    async def run(self) -> None:
        if self.errors:
            raise self.errors.pop(0)
        self.stopping.set()


async def test_an_error_after_which_it_must_not_go_on_ends_the_process() -> None:
    fatal, given_up = InvalidSettings("a setting is wrong"), list[GiveUp]()
    runner: Any = Failing(fatal)
    await app._run_batches(runner, given_up.append)
    assert given_up == [fatal]


async def test_a_defect_that_ends_it_ends_the_process_too() -> None:
    given_up = list[GiveUp]()
    runner: Any = Failing(ValueError("a defect"))
    await app._run_batches(runner, given_up.append)
    assert [type(error) for error in given_up] == [GiveUp]
    assert "a defect" not in given_up[0].message
