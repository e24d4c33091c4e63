"""A JSON-RPC proxy between a follower and its node, which may tamper with what passes: faults of real providers."""

from __future__ import annotations

import contextlib
import json
import threading
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

Tamper = Callable[[dict[str, Any], dict[str, Any]], dict[str, Any]]
"""(call, honest answer) -> answer."""


class Proxy:
    """A running proxy. `tamper` may be exchanged while it runs; `calls` counts calls by method."""

    def __init__(self, target: str) -> None:
        self.target = target
        self.tamper: Tamper = lambda _call, answer: answer
        self.calls: dict[str, int] = {}
        self.max_batch: int | None = None
        self._lock = threading.Lock()
        self.gate = threading.Lock()
        """Held during each request to the node; a test that holds it changes the chain between two requests."""
        proxy = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                sent = json.loads(body)
                status, answer = proxy.answer(sent if isinstance(sent, list) else [sent])
                if isinstance(sent, dict) and isinstance(answer, list):
                    answer = answer[0]
                content = json.dumps(answer).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(content)))
                self.end_headers()
                with contextlib.suppress(BrokenPipeError):  # a follower that was ended waits for no answer
                    self.wfile.write(content)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.server.daemon_threads = True

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.server.server_port}"

    def answer(self, calls: list[dict[str, Any]]) -> tuple[int, Any]:
        """What the node answers, tampered with; reversed, since a batch's order means nothing."""
        if self.max_batch is not None and len(calls) > self.max_batch:
            return 413, {"jsonrpc": "2.0", "id": None, "error": {"code": -32600, "message": "batch too large"}}
        request = urllib.request.Request(
            self.target, json.dumps(calls).encode(), {"Content-Type": "application/json"}
        )
        with self.gate, urllib.request.urlopen(request, timeout=30) as response:
            answers = {answer["id"]: answer for answer in json.load(response)}
        with self._lock:
            for call in calls:
                self.calls[call["method"]] = self.calls.get(call["method"], 0) + 1
            return 200, [self.tamper(call, answers[call["id"]]) for call in reversed(calls)]


@contextmanager
def proxy_of(target: str) -> Iterator[Proxy]:
    """A proxy in front of `target`."""
    proxy = Proxy(target)
    thread = threading.Thread(target=proxy.server.serve_forever, args=(0.05,), daemon=True)
    thread.start()
    try:
        yield proxy
    finally:
        proxy.server.shutdown()
        proxy.server.server_close()
