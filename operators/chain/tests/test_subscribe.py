"""A subscription wakes at new heads, comes back when it is lost, and believes nothing."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from websockets.exceptions import ConnectionClosed
from websockets.sync.server import ServerConnection, serve

from operators.chain import subscribe
from operators.chain.subscribe import HeadSubscription

PATIENCE_SECONDS = 20.0
SUBSCRIBED = json.dumps({"jsonrpc": "2.0", "id": 1, "result": "0x1"})
HEAD = json.dumps(
    {"jsonrpc": "2.0", "method": "eth_subscription", "params": {"subscription": "0x1", "result": {"number": "0x7"}}}
)


class Heard:
    """What a subscription called."""

    def __init__(self) -> None:
        self.wakes = 0
        self.lines: list[tuple[str, dict[str, Any]]] = []
        self._changed = threading.Condition()

    def wake(self) -> None:
        with self._changed:
            self.wakes += 1
            self._changed.notify_all()

    def log(self, event: str, **fields: Any) -> None:
        with self._changed:
            self.lines.append((event, fields))
            self._changed.notify_all()

    def wait_for(self, true: Callable[[Heard], bool]) -> None:
        with self._changed:
            assert self._changed.wait_for(lambda: true(self), PATIENCE_SECONDS), (self.wakes, self.lines)


Serve = Callable[[Callable[[ServerConnection], Any]], str]


@pytest.fixture
def server() -> Iterator[Serve]:
    """Serves connections by a function and gives the URL, with something like a key in it."""
    with ExitStack() as stack:

        def start(handle: Callable[[ServerConnection], Any]) -> str:
            made = stack.enter_context(serve(handle, "127.0.0.1", 0))
            threading.Thread(target=made.serve_forever, daemon=True).start()
            stack.callback(made.shutdown)
            return f"ws://127.0.0.1:{made.socket.getsockname()[1]}/a-secret-key"

        yield start


@pytest.fixture
def subscribed(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Heard]]:
    """Subscribes, with quick retries."""
    monkeypatch.setattr(subscribe, "_RETRY_BASE", 0.01)
    with ExitStack() as stack:

        def start(*urls: str) -> Heard:
            heard = Heard()
            stack.callback(HeadSubscription(urls, heard.wake, heard.log).close)
            return heard

        yield start


def hold(connection: ServerConnection) -> None:
    """Keep a connection open until its other end closes it."""
    try:
        while True:
            connection.recv()
    except ConnectionClosed:
        return


def test_each_head_that_is_announced_wakes(server: Serve, subscribed: Callable[..., Heard]) -> None:
    asked = []

    def handle(connection: ServerConnection) -> None:
        asked.append(json.loads(connection.recv()))
        connection.send(SUBSCRIBED)
        for _ in range(3):
            connection.send(HEAD)
        hold(connection)

    heard = subscribed(server(handle))
    heard.wait_for(lambda one: one.wakes == 3)
    assert (asked[0]["method"], asked[0]["params"]) == ("eth_subscribe", ["newHeads"])
    assert [event for event, _ in heard.lines] == ["subscribed to heads"]


@pytest.mark.parametrize(
    "message",
    ["", "no JSON", "[" * 100_000, "[]", "7", '{"method": []}', '{"result": {}}', "null", b"\xff"],
    ids=str,
)
def test_whatever_else_arrives_wakes_nobody_and_ends_nothing(
    server: Serve, subscribed: Callable[..., Heard], message: str | bytes
) -> None:
    def handle(connection: ServerConnection) -> None:
        connection.send(message)
        connection.send(HEAD)
        hold(connection)

    subscribed(server(handle)).wait_for(lambda one: one.wakes == 1)


def test_a_lost_connection_is_logged_once_and_made_again(server: Serve, subscribed: Callable[..., Heard]) -> None:
    connections: list[ServerConnection] = []

    def handle(connection: ServerConnection) -> None:
        connections.append(connection)
        if 1 < len(connections) < 4:
            return  # closed at once
        connection.recv()  # else it may be closed before the other end has subscribed
        connection.send(SUBSCRIBED)
        connection.send(HEAD)
        if len(connections) > 1:
            hold(connection)

    heard = subscribed(server(handle))
    heard.wait_for(lambda one: one.wakes == 2)
    assert [event for event, _ in heard.lines] == [
        "subscribed to heads",
        "no subscription to heads, polling",
        "subscribed to heads",
    ]
    assert "secret" not in str(heard.lines)


def test_a_provider_that_refuses_is_left_for_the_next(server: Serve, subscribed: Callable[..., Heard]) -> None:
    def refuse(connection: ServerConnection) -> None:
        connection.send('{"jsonrpc": "2.0", "id": 1, "error": {"code": -32601, "message": "no"}}')
        hold(connection)

    def announce(connection: ServerConnection) -> None:
        connection.send(HEAD)
        hold(connection)

    heard = subscribed("ws://127.0.0.1:1/a-secret-key", server(refuse), server(announce))
    heard.wait_for(lambda one: one.wakes == 1)
    assert heard.lines[0] == (
        "no subscription to heads, polling",
        {"level": "warning", "url": 0, "reason": "ConnectionRefusedError"},
    )
    assert len(heard.lines) == 1


def test_closing_ends_the_connection(server: Serve) -> None:
    ended, heard = threading.Event(), Heard()

    def handle(connection: ServerConnection) -> None:
        connection.send(HEAD)
        hold(connection)
        ended.set()

    subscription = HeadSubscription([server(handle)], heard.wake, heard.log)
    heard.wait_for(lambda one: one.wakes == 1)
    subscription.close()
    assert ended.wait(PATIENCE_SECONDS)
