"""What becomes of a run that is asked to stop depends on why."""

from __future__ import annotations

from types import SimpleNamespace

import pytest
from pydantic import BaseModel

from tests.support.tasks import ID, payload
from traceplane_sdk import runner, wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.errors import StaleLease, StopReason


class Config(BaseModel):
    """Of no operator."""


def ended(reason: StopReason, monkeypatch: pytest.MonkeyPatch) -> wire.Completion:
    """How a task ends whose run was asked to stop before it began."""
    monkeypatch.setattr(runner, "load_operator", lambda _name: SimpleNamespace(config_model=Config))
    monkeypatch.setattr(runner, "_entrypoint", lambda _operator: lambda _ctx: pytest.fail("it ran all the same"))
    task = payload()
    io = TaskIO(data_dsn=lambda: "")
    io.control.stop(reason)
    claimed = wire.ClaimedTask(task=task, attempt=1, lease_token=ID, lease_expires_at="", capability_token="")
    return runner.run_task(claimed, io)


def test_a_run_that_lost_its_lease_completes_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(StaleLease):
        ended(StopReason.LEASE_LOST, monkeypatch)


def test_a_drained_run_is_handed_back_and_a_canceled_one_fails(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    assert ended(StopReason.DRAINING, monkeypatch).status == "Released"
    canceled = ended(StopReason.CANCELED, monkeypatch)
    assert canceled.error is not None
    assert (canceled.status, canceled.error.code) == ("Failed", "Canceled")
