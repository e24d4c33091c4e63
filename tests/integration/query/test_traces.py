"""The trace of a query: a user's, that of a user who names a trace, a task's, and a batch query's."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any
from uuid import UUID

import httpx
import pytest
from structlog.testing import capture_logs

from tests.integration.query.batches import ended, submit
from tests.integration.query.conftest import Client
from tests.integration.query.signer import CLAIM, LEASE, TASK, Signer
from tests.integration.query.world import World
from tests.support.waiting import until
from traceplane.kit import spans
from traceplane.kit.spans import Span
from traceplane_sdk import tracing
from traceplane_sdk.tracing import TraceContext

pytestmark = pytest.mark.services

SQL = "SELECT count(*), 'canary' FROM hot_blocks"
SERVED = "POST /v1/query"
PARTS = ["queue", "gate", "catalog", "plan", "files", "cell"]


@pytest.fixture
def recorded() -> Iterator[list[Span]]:
    found: list[Span] = []
    spans.install(found.append)
    yield found
    spans.install(None)


def named(found: list[Span], name: str) -> Span:
    """The one span of this name, once it is there."""
    until(lambda: any(span.name == name for span in found), f"a span {name}", detail=lambda: found)
    (one,) = (span for span in found if span.name == name)
    return one


def parts_of(found: list[Span], query: Span) -> list[str]:
    """What a query did, in order; all of it in its trace."""
    below = [span for span in found if span.parent == query.context.span_id]
    assert {span.context.trace_id for span in below} == {query.context.trace_id}
    assert all(query.start <= span.start <= span.end <= query.end for span in below)
    return [span.name for span in sorted(below, key=lambda span: span.start)]


def post(client: Client, sql: str, header: str | None = None, **body: Any) -> httpx.Response:
    headers = {"Authorization": f"Bearer {client.token}"} | ({"traceparent": header} if header else {})
    return httpx.post(f"{client.url}/v1/query", json={"sql": sql, **body}, headers=headers, timeout=60)


def test_a_query_has_a_trace_with_each_part_of_it(blocks: World, client: Client, recorded: list[Span]) -> None:
    answer = post(client, SQL)
    assert answer.json()["rows"] == [[25_000, "canary"]]
    server, query = named(recorded, SERVED), named(recorded, "query")
    assert (server.kind, server.parent) == (spans.SERVER, None)
    assert server.attributes == {
        "http.request.method": "POST",
        "http.route": "/v1/query",
        "http.response.status_code": 200,
    }
    assert query.parent == server.context.span_id
    assert query.attributes["trace.query_id"] == answer.json()["query_id"]
    assert query.attributes["trace.rows"] == 1
    assert parts_of(recorded, query) == PARTS
    assert "canary" not in repr(recorded)


@pytest.mark.parametrize("sampled", [True, False])
def test_a_user_who_names_a_trace_finds_the_query_there(
    sampled: bool, blocks: World, client: Client, recorded: list[Span]
) -> None:
    above = TraceContext("0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331", sampled)
    with capture_logs() as lines:
        assert post(client, "SELECT nothing FROM hot_blocks", above.traceparent).status_code == 400
    assert [line["trace_id"] for line in lines if line["event"] == "query"] == [above.trace_id]
    if not sampled:
        assert recorded == []
        return
    server, query = named(recorded, SERVED), named(recorded, "query")
    assert (server.context.trace_id, server.parent) == above[:2]
    assert (query.context.trace_id, query.parent) == (above.trace_id, server.context.span_id)
    assert [query.attributes["error.type"], query.failed] == ["InvalidQuery", None], "that is the user's fault"
    assert {span.name for span in recorded} <= {SERVED, "query", *PARTS}


def test_without_a_right_token_nothing_is_recorded(client: Client, recorded: list[Span]) -> None:
    stranger = Client(client.url, "no token", client.service)
    assert post(stranger, SQL, TraceContext("a" * 32, "b" * 16, True).traceparent).status_code == 401
    assert recorded == []


@pytest.mark.parametrize("named_by_header", [True, False])
def test_a_query_of_a_task_is_in_the_trace_of_the_task(
    named_by_header: bool,
    world: World,
    start_service: Callable[..., Client],
    signer: Signer,
    recorded: list[Span],
) -> None:
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 9)
    world.running(TASK, LEASE, CLAIM)
    client = start_service(dispatcher_url=signer.url)
    asked = spans.of_task(TASK, 1, "asked")
    answer = httpx.post(
        f"{client.url}/v1/task/query",
        json={"fence": {"task_id": str(TASK), "attempt": 1, "lease_token": str(LEASE)}, "sql": SQL},
        headers={
            "X-Trace-Task-Capability": signer.token(hot),
            **({"traceparent": asked.traceparent} if named_by_header else {}),
        },
        timeout=60,
    )
    assert answer.status_code == 200, answer.text
    query = named(recorded, "query")
    assert query.context.trace_id == TASK.hex
    parent = named(recorded, "POST /v1/task/query") if named_by_header else None
    assert query.parent == (parent.context.span_id if parent else tracing.span_id(TASK.hex, 1, "run"))
    assert parent is None or parent.parent == asked.span_id
    assert parts_of(recorded, query) == PARTS


def test_a_batch_query_runs_in_a_trace_that_its_id_names_and_its_submission_is_linked(
    blocks: World, client: Client, recorded: list[Span]
) -> None:
    identity = submit(client, SQL)
    assert ended(client, identity).status_code == 200
    submission, run = named(recorded, "submit"), named(recorded, "query")
    assert (run.context.trace_id, run.parent) == (UUID(identity).hex, None)
    assert [link.trace_id for link in submission.links] == [run.context.trace_id]
    assert parts_of(recorded, run) == PARTS[2:], "it waited in the database"
