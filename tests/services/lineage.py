"""A receiver of OpenLineage events on loopback, which reads each by the classes of OpenLineage's own client."""

from __future__ import annotations

import inspect
import json
import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

from openlineage.client import event_v2, facet_v2
from openlineage.client.generated.base import EventType

FACETS = {
    made._get_schema(): made
    for module in vars(facet_v2).values()
    if inspect.ismodule(module)
    for made in vars(module).values()
    if inspect.isclass(made) and hasattr(made, "_get_schema")
}
"""The client's classes of facets, by the address of their schema."""
OUR_FACET = "urn:trace:openlineage:TraceRunFacet:1"


def read(body: bytes) -> dict[str, Any]:
    """The event. ValueError, TypeError or KeyError for one that the classes of the client do not take."""
    found: dict[str, Any] = json.loads(body)
    given = dict(found)
    schema = given.pop("schemaURL")
    kind = EventType(given.pop("eventType"))
    made = event_v2.RunEvent(
        eventType=kind,
        eventTime=given.pop("eventTime"),
        producer=given.pop("producer"),
        run=event_v2.Run(given["run"]["runId"], _facets(given["run"], "facets")),
        job=event_v2.Job(given["job"]["namespace"], given["job"]["name"], _facets(given.pop("job"), "facets")),
        inputs=[
            event_v2.InputDataset(d["namespace"], d["name"], facets=_facets(d, "facets"))
            for d in given.pop("inputs")
        ],
        outputs=[
            event_v2.OutputDataset(
                d["namespace"], d["name"], facets=_facets(d, "facets"), outputFacets=_facets(d, "outputFacets")
            )
            for d in given.pop("outputs")
        ],
    )
    del given["run"]
    if given or made.schemaURL != schema:
        raise ValueError(f"no RunEvent: {sorted(given)}, {schema}")
    return found


def _facets(owner: dict[str, Any], name: str) -> dict[str, Any]:
    return {key: _facet(value) for key, value in owner.get(name, {}).items()}


def _facet(value: dict[str, Any]) -> Any:
    given = {key: part for key, part in value.items() if not key.startswith("_")}
    if value["_schemaURL"] == OUR_FACET:
        return facet_v2.RunFacet(producer=value["_producer"])
    return FACETS[value["_schemaURL"]](**given, producer=value["_producer"])


class LineageReceiver:
    """What came in, and what is answered."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.keys: list[str | None] = []
        self.status = 201
        self.answer = b""
        self.left = 0
        """Callers who left before they had read the whole answer."""
        receiver = self

        class Handler(BaseHTTPRequestHandler):
            protocol_version = "HTTP/1.1"

            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["content-length"]))
                status = receiver.status
                if status == 201:
                    status = receiver._take(self.path, self.headers["content-type"], body)
                    receiver.keys.append(self.headers["authorization"])
                self.send_response(status)
                self.send_header("content-length", str(len(receiver.answer)))
                self.end_headers()
                try:
                    self.wfile.write(receiver.answer)
                except ConnectionError:
                    receiver.left += 1

            def log_message(self, *_: object) -> None:
                """Say nothing."""

        self._server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self._server.daemon_threads = True
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        threading.Thread(target=self._server.serve_forever, args=(0.05,), daemon=True).start()

    def _take(self, path: str, kind: str, body: bytes) -> int:
        if (path, kind) != ("/api/v1/lineage", "application/json"):
            return 404
        try:
            self.events.append(read(body))
        except (ValueError, TypeError, KeyError):
            return 422
        return 201

    def kinds(self, run: str) -> list[str]:
        """The kinds of the events of a run, in the order in which they came."""
        return [event["eventType"] for event in self.events if event["run"]["runId"] == run]

    def close(self) -> None:
        """Answer nobody any more."""
        self._server.shutdown()
        self._server.server_close()


@contextmanager
def listening() -> Iterator[LineageReceiver]:
    """A running receiver."""
    made = LineageReceiver()
    try:
        yield made
    finally:
        made.close()
