"""An application made from a table of routes: who gets in, what is read, and how every error is answered."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from typing import Any

import httpx
import msgspec
import pytest
from prometheus_client import CollectorRegistry, Counter, Histogram
from starlette.requests import Request
from starlette.responses import JSONResponse
from structlog.testing import capture_logs

from traceplane.errors import Forbidden, GiveUp, InvalidSettings, Stale, TraceError, Unauthenticated
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane.observe import dispatch_metrics
from traceplane.web.authentication import Scheme
from traceplane.web.bodies import Bodies
from traceplane.web.rates import RateLimited
from traceplane.web.routes import Call, Metrics, Route, Serving, application
from traceplane_sdk.tracing import TraceContext


class Body(msgspec.Struct, forbid_unknown_fields=True):
    name: str


OPEN = Route("GET", "/open", "open", Scheme.NONE, "")
CLOSED = Route("POST", "/closed", "closed", Scheme.USER, "", request=Body, role="writer")


class Api:
    """An API whose handlers do what a test says."""

    def __init__(self) -> None:
        self.given_up: list[GiveUp] = []
        self.calls: list[tuple[Any, Any]] = []
        self.error: Exception | None = None
        self.registry = CollectorRegistry()
        self.metrics = Metrics(
            Histogram("seconds", "", ["call"], registry=self.registry),
            Counter("refused", "", ["code"], registry=self.registry),
        )

    async def handle(self, call: Call[Any, Any]) -> JSONResponse:
        self.calls.append((call.caller, call.body))
        if self.error is not None:
            raise self.error
        return JSONResponse({})

    async def authenticate(self, request: Request, role: str) -> str:
        if request.headers.get("authorization") != "Bearer right":
            raise Unauthenticated("canary: wrong proof")
        return f"a {role}"

    def refused(self, code: str) -> float:
        return self.registry.get_sample_value("refused_total", {"code": code}) or 0.0

    @asynccontextmanager
    async def client(self) -> AsyncIterator[httpx.AsyncClient]:
        serving = Serving(
            authenticate={Scheme.USER: self.authenticate},
            on_give_up=self.given_up.append,
            bodies=Bodies(64, invalid="InvalidBody", too_large="BodyTooLarge"),
            metrics=self.metrics,
        )
        transport = httpx.ASGITransport(application([OPEN, CLOSED], lambda _: self.handle, serving))
        async with httpx.AsyncClient(transport=transport, base_url="http://api") as client:
            yield client


@pytest.fixture
def api() -> Api:
    return Api()


RIGHT = {"Authorization": "Bearer right"}


async def test_a_handler_gets_the_caller_and_the_body(api: Api) -> None:
    async with api.client() as client:
        assert (await client.post("/closed", json={"name": "x"}, headers=RIGHT)).status_code == 200
        assert (await client.get("/open")).status_code == 200
    assert api.calls == [("a writer", Body("x")), (None, None)]
    assert api.registry.get_sample_value("seconds_count", {"call": "closed"}) == 1


async def test_nothing_is_read_of_a_request_without_proof(api: Api) -> None:
    async def body() -> AsyncIterator[bytes]:
        raise AssertionError("it was read")
        yield b""

    async with api.client() as client:
        answer = await client.post("/closed", content=body())
    assert (answer.status_code, answer.json()["code"]) == (401, "Unauthenticated")
    assert api.calls == []


@pytest.mark.parametrize(
    ("content", "content_type", "status", "code"),
    [
        (b'{"name": "x"}', "text/plain", 415, "UnsupportedMediaType"),
        (b'{"name": "x"}', "", 415, "UnsupportedMediaType"),
        (b'{"name": "' + b"x" * 64 + b'"}', "application/json", 413, "BodyTooLarge"),
        (b'{"name": 1}', "application/json", 400, "InvalidBody"),
        (b'{"name": "x", "more": 1}', "application/json", 400, "InvalidBody"),
        (b'{"name": "\xff"}', "application/json", 400, "InvalidBody"),
        (b"", "application/json", 400, "InvalidBody"),
        (b'{"name": "x"}', "Application/JSON; charset=utf-8", 200, None),
    ],
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_bodies_are_typed_bounded_and_decoded(
    api: Api, content: bytes, content_type: str, status: int, code: str | None, chunked: bool
) -> None:
    async def pieces() -> AsyncIterator[bytes]:
        for start in range(0, len(content), 8):
            yield content[start : start + 8]

    async with api.client() as client:
        headers = {**RIGHT, "Content-Type": content_type}
        answer = await client.post("/closed", content=pieces() if chunked else content, headers=headers)
    assert (answer.status_code, answer.json().get("code")) == (status, code)
    assert len(api.calls) == (status == 200)


async def test_a_client_that_disconnects_in_its_body_calls_nothing(api: Api) -> None:
    serving = Serving({Scheme.USER: api.authenticate}, api.given_up.append, Bodies(64, "Invalid", "TooLarge"))
    app = application([CLOSED], lambda _: api.handle, serving)
    messages = [{"type": "http.request", "body": b"{", "more_body": True}, {"type": "http.disconnect"}]
    sent: list[Any] = []

    async def receive() -> Any:
        return messages.pop(0)

    async def send(message: Any) -> None:
        sent.append(message)

    headers = [(b"authorization", b"Bearer right"), (b"content-type", b"application/json")]
    scope = {"type": "http", "method": "POST", "path": "/closed", "headers": headers, "query_string": b""}
    await app(scope, receive, send)
    assert (sent[0]["status"], api.calls) == (499, [])


@pytest.mark.parametrize(
    ("method", "path", "status", "code"),
    [
        ("GET", "/open/", 404, "NotFound"),
        ("GET", "/", 404, "NotFound"),
        ("DELETE", "/open", 405, "MethodNotAllowed"),
        ("GET", "/closed", 405, "MethodNotAllowed"),
    ],
)
async def test_what_is_not_in_the_table_is_refused(
    api: Api, method: str, path: str, status: int, code: str
) -> None:
    async with api.client() as client:
        answer = await client.request(method, path)
    assert (answer.status_code, answer.json()["code"]) == (status, code)
    assert answer.headers["content-type"] == "application/problem+json"
    assert ("allow" in answer.headers) is (status == 405)
    assert api.refused(code) == 1


@pytest.mark.parametrize(
    ("error", "code"),
    [
        (ValueError("canary"), "Internal"),
        (TraceError("canary", code="DataCorrupt"), "DataCorrupt"),
        (InvalidSettings("canary"), "InvalidSettings"),
    ],
)
async def test_an_error_of_the_server_is_logged_and_keeps_its_text(api: Api, error: Exception, code: str) -> None:
    api.error = error
    with capture_logs() as lines:
        async with api.client() as client:
            answer = await client.get("/open")
    assert (answer.status_code, answer.json()["code"]) == (500, code)
    assert "canary" not in answer.text
    (line,) = [line for line in lines if line["event"] == "request failed"]
    assert "canary" in str(line)
    assert api.refused(code) == 1


async def test_a_caller_reads_what_was_wrong_with_its_request(api: Api) -> None:
    api.error = Stale("another attempt has the task")
    async with api.client() as client:
        answer = await client.get("/open")
    assert (answer.status_code, answer.json()["detail"]) == (409, "another attempt has the task")


async def test_a_request_may_end_the_process(api: Api) -> None:
    async with api.client() as client:
        for error in (ValueError("a defect"), TraceError("of ours"), Stale("of the caller")):
            api.error = error
            await client.get("/open")
        assert api.given_up == []
        api.error = InvalidSettings("the key is no key")
        assert (await client.get("/open")).status_code == 500
    assert api.given_up == [api.error]


@pytest.mark.parametrize(
    ("error", "denied"),
    [
        (Forbidden("no"), True),
        (Unauthenticated("no"), True),
        (RateLimited("often", 1), True),
        (Stale("late"), False),
    ],
)
async def test_a_denied_request_is_audited_and_counted(api: Api, error: TraceError, denied: bool) -> None:
    def count() -> float:
        return dispatch_metrics.REGISTRY.get_sample_value("trace_denied_total", {"code": error.code}) or 0.0

    api.error, before = error, count()
    error.caller = "issuer|alice"
    with capture_logs() as lines:
        async with api.client() as client:
            await client.get("/open")
    found = [(line["who"], line["code"], line["path"]) for line in lines if line["event"] == "denied"]
    assert found == ([("issuer|alice", error.code, "/open")] if denied else [])
    assert count() - before == denied


def test_a_table_that_lacks_its_authentication_fails_at_start(api: Api) -> None:
    with pytest.raises(KeyError):
        application([CLOSED], lambda _: api.handle, Serving({}, api.given_up.append))


@pytest.fixture
def recorded() -> Iterator[list[Span]]:
    found: list[Span] = []
    spans.install(found.append)
    yield found
    spans.install(None)


RIGHT = {"authorization": "Bearer right"}


async def test_a_request_of_a_user_is_a_span_in_the_trace_that_it_names(recorded: list[Span]) -> None:
    api, above = Api(), TraceContext("a" * 32, "b" * 16, True)
    async with api.client() as client:
        await client.post("/closed", json={"name": "x"}, headers=RIGHT | {"traceparent": above.traceparent})
        await client.post("/closed", json={"name": "x"}, headers=RIGHT | {"traceparent": "malformed"})
    one, other = recorded
    assert (one.name, one.kind, one.context.trace_id, one.parent) == ("POST /closed", "server", *above[:2])
    assert one.attributes["http.response.status_code"] == 200
    assert (other.parent, other.context.trace_id == above.trace_id) == (None, False)


async def test_a_request_without_proof_and_one_of_a_probe_are_no_spans(recorded: list[Span]) -> None:
    header = {"traceparent": TraceContext("a" * 32, "b" * 16, True).traceparent}
    async with Api().client() as client:
        await client.post("/closed", json={"name": "x"}, headers=header)
        await client.get("/open", headers=header)
    assert recorded == []


async def test_a_span_names_the_code_of_an_error_and_a_fault_of_ours_fails_it(recorded: list[Span]) -> None:
    api = Api()
    async with api.client() as client:
        for error in (Stale("canary"), ValueError("canary")):
            api.error = error
            await client.post("/closed", json={"name": "x"}, headers=RIGHT)
    assert [(span.attributes["error.type"], span.failed) for span in recorded] == [
        ("StaleLease", None),
        ("ValueError", "ValueError"),
    ]
    assert "canary" not in repr(recorded)
