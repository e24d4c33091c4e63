"""What becomes of the service when its runner of batch queries fails."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

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


async def test_any_other_error_lets_it_begin_again(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(app, "RESTART_SECONDS", 0.0)
    runner: Any = Failing(ValueError("a defect"), ValueError("another"))
    await app._run_batches(runner, pytest.fail)
    assert runner.errors == []
