"""The port of attempts in the dispatcher's own process refuses what the HTTP API would."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest

from traceplane.dispatch.in_process_port import InProcessPort
from traceplane_sdk import wire
from traceplane_sdk.errors import CallRefused, StaleLease

ID = "00000000-0000-7000-8000-000000000001"
FENCE = wire.Fence(task_id=ID, attempt=1, lease_token=ID)
NOTHING: Any = None


def rewritten(end: int, detail: str = "") -> wire.Invalidation:
    return wire.Invalidation(output="blocks", start=0, end=end, reason="Reorg", detail={"why": detail})


@pytest.mark.parametrize(
    ("wrong", "code"),
    [(rewritten(9, "x" * wire.MAX_BODY_BYTES), "BodyTooLarge"), (rewritten(2**64 - 1), "InvalidBody")],
    ids=["too large", "of another shape"],
)
def test_a_body_that_the_api_would_refuse_is_refused(wrong: wire.Invalidation, code: str):
    loop = asyncio.new_event_loop()
    loop.close()  # nothing is called on it
    port = InProcessPort(loop, NOTHING, NOTHING, NOTHING, NOTHING)
    with pytest.raises(CallRefused) as refused:
        port.events(wire.EventsRequest(fence=FENCE, id=ID, invalidations=[wrong]), "token")
    assert refused.value.code == code


class Ended:
    """Capabilities that know every token, and completions that accept none."""

    def verify(self, _token: str) -> None:
        return None

    async def complete(self, _token: None, given: list[wire.Completion]) -> list[wire.CompletionState]:
        return [wire.CompletionState(task_id=one.fence.task_id, accepted=False, status=None) for one in given]


async def test_an_attempt_that_lost_its_task_hears_so_when_it_completes():
    ended: Any = Ended()
    port = InProcessPort(asyncio.get_running_loop(), ended, NOTHING, ended, NOTHING)
    with pytest.raises(StaleLease, match=ID):
        await asyncio.to_thread(port.complete, wire.Completion(fence=FENCE, status="Completed"), "token", 1.0)
