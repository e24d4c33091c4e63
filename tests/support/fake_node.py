"""A node that serves a `FakeChain` over HTTP, with the manners of real providers.

    with fake_node(chain) as node:
        node.manners.lag = 3                                       # changed while it runs
        node.manners.refuse = arrays(over=3, refusal=Refusal(400, -32600, "batch too large"))
        ...
        until(lambda: node.calls["eth_getBlockReceipts"] > 2)

Counts are of what arrived, whether it was answered or refused; `requests` has the time of each.
"""

from __future__ import annotations

import json
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from tests.support.fake_chain import FakeChain, NoSuchMethod

Json = Any
Lie = Callable[[str, list[Json], Json], Json]
"""(method, parameters, honest result) -> result."""


@dataclass(frozen=True)
class Refusal:
    """An answer that is no result: a JSON-RPC error under an HTTP status, or any `body`, such as a page or a
    redirect.
    """

    status: int = 200
    code: int | None = None
    message: str = ""
    data: Json = None
    headers: dict[str, str] = field(default_factory=dict)
    body: str | None = None

    def of(self, request_id: Json) -> Json:
        """The error as JSON-RPC has it."""
        error = {"code": self.code, "message": self.message}
        return {
            "jsonrpc": "2.0",
            "id": request_id,
            "error": error if self.data is None else error | {"data": self.data},
        }


Refuse = Callable[[list[Json], bool], Refusal | None]
"""(calls of one HTTP request, whether they came as an array) -> how the whole request is refused, or None."""


@dataclass
class Manners:
    """How a node behaves. Every field may be set while it runs; what is not set is well behaved."""

    lag: int = 0
    """Blocks that the node is behind its chain."""
    stalled_at: int | None = None
    """A height beyond which the node does not go."""
    beyond: Refusal | None = None
    """The error for a block beyond the node's head; None: null, as the execution API has it."""
    no_block: Refusal | None = None
    """The error for a height below the head that has no block; None: null."""
    pruned_below: int | None = None
    """The height below which blocks are not there any more."""
    pruned: Refusal = field(default_factory=lambda: Refusal(code=4444, message="pruned history unavailable"))
    chain_id: int | None = None
    lie: Lie | None = None
    refuse: Refuse | None = None
    refuse_methods: dict[str, Refusal] = field(default_factory=dict)
    """Method to the error of each such call, within its array."""
    requests_per_second: int | None = None
    limited: Refusal = field(default_factory=lambda: Refusal(429, 429, "Too many requests"))
    """The answer beyond `requests_per_second`."""
    max_response: int | None = None
    """Bytes of a body; beyond them the answer is `too_large`."""
    too_large: Refusal = field(default_factory=lambda: Refusal(200, -32003, "response too large"))
    reversed_order: bool = False
    drop_last: bool = False
    """Leave out the last entry of an array."""
    one_object: bool = False
    """Answer an array by its first entry alone."""
    array_of_one: bool = False
    """Answer a single object by an array."""
    close: bool = False
    """End the connection without an answer."""
    seconds_per_call: float = 0


def arrays(refusal: Refusal, over: int = 0) -> Refuse:
    """Refuse arrays of more than `over` calls; `over=0`: every array."""
    return lambda calls, array: refusal if array and len(calls) > over else None


def everything(refusal: Refusal) -> Refuse:
    """Refuse every request."""
    return lambda _calls, _array: refusal


@dataclass(frozen=True)
class Request:
    """One HTTP request as it arrived; `at` by time.monotonic."""

    at: float
    methods: tuple[str, ...]
    array: bool
    status: int


class FakeNode:
    """A running node. Thread-safe, except that a test sets `manners` field by field."""

    def __init__(self, chain: FakeChain, manners: Manners | None = None) -> None:
        self.chain = chain
        self.manners = manners or Manners()
        self.calls: Counter[str] = Counter()
        self.requests: list[Request] = []
        self._lock = threading.Lock()
        self._ended = threading.Event()
        node = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                status, headers, content = node.respond(self.rfile.read(int(self.headers["Content-Length"])))
                if status == 0:
                    self.close_connection = True
                    return
                self.send_response(status)
                for name, value in headers.items():
                    self.send_header(name, value)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        threading.Thread(target=self._server.serve_forever, args=(0.02,), daemon=True).start()

    @property
    def url(self) -> str:
        """Where it listens."""
        return f"http://127.0.0.1:{self._server.server_port}"

    @property
    def head(self) -> int:
        """The highest height that this node shows."""
        head = self.chain.head - self.manners.lag
        return head if self.manners.stalled_at is None else min(head, self.manners.stalled_at)

    def close(self) -> None:
        """Stop listening, and end what waits."""
        self._ended.set()
        self._server.shutdown()
        self._server.server_close()

    def respond(self, content: bytes) -> tuple[int, dict[str, str], bytes]:
        """Status, headers and body for a request's body; status 0 closes the connection."""
        sent = json.loads(content)
        array = isinstance(sent, list)
        calls = sent if array else [sent]
        if self.manners.seconds_per_call:
            self._ended.wait(self.manners.seconds_per_call * len(calls))
        answer = self._answer(calls, array)
        status = answer.status if isinstance(answer, Refusal) else 200
        with self._lock:
            self.calls.update(call["method"] for call in calls)
            methods = tuple(call["method"] for call in calls)
            self.requests.append(Request(time.monotonic(), methods, array, status))
        if not isinstance(answer, Refusal):
            return 200, {"Content-Type": "application/json"}, answer
        body = answer.body if answer.body is not None else json.dumps(answer.of(None if array else sent["id"]))
        kind = "application/json" if answer.body is None else "text/html" if body.startswith("<") else "text/plain"
        return status, {"Content-Type": kind} | answer.headers, body.encode()

    def _answer(self, calls: list[Json], array: bool) -> bytes | Refusal:
        manners = self.manners
        if manners.close:
            return Refusal(status=0)
        if manners.requests_per_second is not None and self._recent() >= manners.requests_per_second:
            return manners.limited
        if manners.refuse is not None and (refusal := manners.refuse(calls, array)) is not None:
            return refusal
        entries = [self._entry(call) for call in calls]
        if manners.reversed_order:
            entries.reverse()
        if manners.drop_last and array:
            entries.pop()
        whole = (array and not manners.one_object) or manners.array_of_one
        body = json.dumps(entries if whole else entries[0]).encode()
        return manners.too_large if manners.max_response and len(body) > manners.max_response else body

    def _recent(self) -> int:
        """Requests of the last second that were answered."""
        since = time.monotonic() - 1
        with self._lock:
            return sum(request.at > since and request.status == 200 for request in self.requests[-1000:])

    def _entry(self, call: Json) -> Json:
        method, params = call["method"], call["params"]
        if method in self.manners.refuse_methods:
            return self.manners.refuse_methods[method].of(call["id"])
        try:
            result, height = self._result(method, params)
        except NoSuchMethod:
            return Refusal(code=-32601, message=f"the method {method} does not exist").of(call["id"])
        if height is not None and height > self.head:
            result = None
            if self.manners.beyond is not None:
                return self.manners.beyond.of(call["id"])
        if height is not None and self.manners.pruned_below is not None and height < self.manners.pruned_below:
            return self.manners.pruned.of(call["id"])
        if height is not None and height < self.head and result is None and self.manners.no_block is not None:
            return self.manners.no_block.of(call["id"])
        if self.manners.lie is not None:
            result = self.manners.lie(method, params, result)
        return {"jsonrpc": "2.0", "id": call["id"], "result": result}

    def _result(self, method: str, params: list[Json]) -> tuple[Json, int | None]:
        """The chain's answer, and the height that it is about."""
        if method == "eth_chainId" and self.manners.chain_id is not None:
            return hex(self.manners.chain_id), None
        if method == "eth_blockNumber":
            return hex(self.head), None
        if params and params[0] in ("latest", "pending"):
            params = [hex(self.head), *params[1:]]
        result = self.chain.answer(method, params)
        if params and str(params[0]).startswith("0x") and len(params[0]) < 66:
            return result, int(params[0], 16)
        if params and self.chain.was_left(str(params[0])):
            return result, None  # its height says nothing of the node's head
        shown = result[0] if isinstance(result, list) and result else result
        height = (shown.get("number") or shown.get("blockNumber")) if isinstance(shown, dict) else None
        return result, None if height is None else int(height, 16)


@contextmanager
def fake_node(chain: FakeChain, manners: Manners | None = None) -> Iterator[FakeNode]:
    """A node that serves `chain` while the block runs."""
    node = FakeNode(chain, manners)
    try:
        yield node
    finally:
        node.close()
