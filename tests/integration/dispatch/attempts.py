"""What tests of attempts share: a host, a port that can be watched, and an operator that does as the test says."""

from __future__ import annotations

import asyncio
import concurrent.futures
import threading
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ConfigDict

from traceplane.identity.capability import Capabilities
from traceplane.runtime.attempt import Attempt, Ending
from traceplane.runtime.host import Host, Times
from traceplane.runtime.port import TaskPort
from traceplane_sdk import runner, wire
from traceplane_sdk.context import Context, Result
from traceplane_sdk.operator import Operator

PATIENCE_SECONDS = 60.0
HEARTBEAT_SECONDS = 0.05

Run = Callable[[Context], Result | None]


class AnyConfig(BaseModel):
    """Takes the config of whichever job the task is of."""

    model_config = ConfigDict(extra="allow")


OPERATOR = Operator(
    name="scripted",
    output_revision=1,
    summary="",
    config_model=AnyConfig,
    activations=frozenset({"Source", "Reactive"}),
    runtimes=frozenset({"Pod", "Dispatcher"}),
    execution_strategies=frozenset(),
    update_strategies=frozenset({"Append"}),
    declare_outputs=lambda *_: {},
    entrypoint="scripted:run",
)


def operate(monkeypatch: pytest.MonkeyPatch, run: Run) -> None:
    """Make `run` what every operator does."""
    monkeypatch.setattr(runner, "load_operator", lambda _name: OPERATOR)
    monkeypatch.setattr(runner, "_entrypoint", lambda _operator: run)


@dataclass
class WatchedPort:
    """A port that remembers the token of every answered heartbeat."""

    port: TaskPort
    changed: threading.Condition = field(default_factory=threading.Condition)
    tokens: list[str] = field(default_factory=list)

    def heartbeat(self, leases: Sequence[wire.Fence], token: str, patience: float) -> wire.HeartbeatResponse:
        answer = self.port.heartbeat(leases, token, patience)
        with self.changed:
            self.tokens.append(token)
            self.changed.notify_all()
        return answer

    def events(self, request: wire.EventsRequest, token: str) -> int:
        return self.port.events(request, token)

    def credentials(self, fence: wire.Fence, token: str) -> wire.CredentialsResponse:
        return self.port.credentials(fence, token)

    def complete(self, completion: wire.Completion, token: str, patience: float) -> wire.CompletionState:
        return self.port.complete(completion, token, patience)

    def wait_for(self, true: Callable[[list[str]], bool]) -> None:
        """Wait until `true` of the tokens so far."""
        with self.changed:
            assert self.changed.wait_for(lambda: true(self.tokens), PATIENCE_SECONDS), self.tokens

    def wait_beats(self, more: int = 3) -> None:
        """Wait for `more` heartbeats. All answers but the last have then been acted on."""
        seen = len(self.tokens)
        self.wait_for(lambda tokens: len(tokens) >= seen + more)


def host(**changes: Any) -> Host:
    """A host with quick heartbeats, whose runs are asked to stop as soon as it drains."""
    times = Times(heartbeat=HEARTBEAT_SECONDS, lease=60.0, finish=0.0, hand_back=changes.pop("hand_back", 30.0))
    given: dict[str, Any] = {
        "worker_id": "worker-1",
        "times": times,
        "data_dsn": lambda: "",
        "rpc_dir": Path("/nonexistent"),
        "query_url": None,
        "scratch_dir": None,
    }
    return Host(**{**given, **changes})


class Process:
    """The process around one attempt: it runs it, and may begin to drain."""

    def __init__(self, port: TaskPort, claimed: wire.ClaimedTask, host: Host) -> None:
        self._wake = threading.Event()
        self._drain_started: float | None = None
        self.attempt = Attempt(port, host, claimed, self._wake)

    def start(self) -> asyncio.Future[Ending]:
        """Run the attempt in a thread that does not outlive the tests, whatever becomes of it."""
        ended: concurrent.futures.Future[Ending] = concurrent.futures.Future()

        def run() -> None:
            try:
                ended.set_result(self.attempt.run(lambda: self._drain_started))
            except BaseException as error:
                ended.set_exception(error)

        threading.Thread(target=run, daemon=True).start()
        return asyncio.wrap_future(ended)

    def drain(self) -> None:
        """Begin to drain, as long ago as the clock goes: every time that a drain allows is used up."""
        self._drain_started = float("-inf")
        self._wake.set()


class LateClock:
    """The clock of capability tokens, `late` seconds ahead of the real one."""

    def __init__(self, capabilities: Capabilities, monkeypatch: pytest.MonkeyPatch) -> None:
        self.late = 0.0
        monkeypatch.setattr(capabilities, "_clock", lambda: time.time() + self.late)


class Counting:
    """A run that counts until it is stopped or let go, looking at its control each time."""

    def __init__(self) -> None:
        self.number = 0
        self.started = threading.Event()
        self.moved = threading.Event()
        self.finish = threading.Event()

    def __call__(self, ctx: Context) -> None:
        self.started.set()
        while not self.finish.is_set():
            ctx.control.wait(0.001)
            self.number += 1
            self.moved.set()

    def wait_started(self) -> None:
        assert self.started.wait(PATIENCE_SECONDS)

    def wait_moved(self) -> None:
        """Wait for one count from now on."""
        self.moved.clear()
        assert self.moved.wait(PATIENCE_SECONDS)
