"""New heads by `eth_subscribe`, from the WebSocket URLs of an rpcPool.

A notification only wakes the follower, which then requests the head over HTTP as ever: nothing that arrives here is
believed, and a subscription that is silent, wrong or lost costs no row, since polling goes on beside it.

Source: Geth, "Real-time events" (https://geth.ethereum.org/docs/interacting-with-geth/rpc/pubsub).
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Callable, Sequence
from typing import Any

import msgspec
from websockets.exceptions import WebSocketException
from websockets.sync.client import ClientConnection, connect

from traceplane_sdk.patience import backoff

SCHEMES = ("ws://", "wss://")
_SUBSCRIBE = '{"jsonrpc":"2.0","id":1,"method":"eth_subscribe","params":["newHeads"]}'
_OPEN_SECONDS = 10.0
_PING_SECONDS = 20.0
"""A connection whose other end is gone is noticed within twice this."""
_MAX_MESSAGE = 1 << 20
"""Bytes; a header has about a thousand."""
_WAKE_SECONDS = 0.05
"""Shortest time between two wake-ups: what arrives meanwhile is the same news."""
_RETRY_BASE, _RETRY_LIMIT = 1.0, 60.0

Log = Callable[..., None]
"""`Context.log`."""


def requested(urls: Sequence[str]) -> list[str]:
    """Those of `urls` that blocks are requested from; the others announce heads."""
    return [url for url in urls if not url.startswith(SCHEMES)]


class HeadSubscription:
    """Calls `wake` when a head is announced, until `close`; goes around `urls` as connections are lost.

    `wake` and `log` are called from a thread of its own.
    """

    def __init__(self, urls: Sequence[str], wake: Callable[[], None], log: Log) -> None:
        self._urls = list(urls)
        self._wake = wake
        self._log = log
        self._stop = threading.Event()
        self._connection: ClientConnection | None = None
        self._subscribed = False
        self._lock = threading.Lock()
        if self._urls:
            threading.Thread(target=self._run, name="heads", daemon=True).start()

    def close(self) -> None:
        """End the thread and its connection."""
        with self._lock:
            self._stop.set()
            connection = self._connection
        if connection is not None:
            connection.close()

    def _run(self) -> None:
        failures = 0
        for number, url in itertools.cycle(enumerate(self._urls)):
            reason = self._listen(url)
            if self._stop.is_set():
                return
            failures = 1 if self._subscribed else failures + 1
            self._subscribed = False
            if failures == 1:  # one line for an outage, not for each attempt to end it
                self._log("no subscription to heads, polling", level="warning", url=number, reason=reason)
            if self._stop.wait(backoff(failures, base=_RETRY_BASE, limit=_RETRY_LIMIT)):
                return

    def _listen(self, url: str) -> str:
        """Subscribe and wake until the connection ends; returns why it did, without the URL, which holds a key."""
        try:
            with connect(
                url, open_timeout=_OPEN_SECONDS, close_timeout=1, max_size=_MAX_MESSAGE,
                ping_interval=_PING_SECONDS, ping_timeout=_PING_SECONDS,
            ) as connection:  # fmt: skip
                with self._lock:
                    self._connection = connection
                    if self._stop.is_set():
                        return "closed"
                connection.send(_SUBSCRIBE)
                for message in connection:
                    if not self._take(message):
                        return "the subscription was refused"
        except (WebSocketException, OSError, ValueError, TimeoutError) as error:
            return type(error).__name__
        return "the connection was closed"

    def _take(self, message: str | bytes) -> bool:
        """Act on one message; False where it refuses the subscription."""
        answer = _decoded(message)
        if "error" in answer:
            return False
        if answer.get("method") == "eth_subscription":
            self._wake()
            self._stop.wait(_WAKE_SECONDS)
        elif "result" in answer and not self._subscribed:
            self._subscribed = True
            self._log("subscribed to heads")
        return True


def _decoded(message: str | bytes) -> dict[str, Any]:
    try:
        answer = msgspec.json.decode(message)
    except (msgspec.DecodeError, RecursionError):
        return {}
    return answer if isinstance(answer, dict) else {}
