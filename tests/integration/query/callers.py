"""Callers of the query service, and what they get from it."""

from __future__ import annotations

import hashlib
import io
import json
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any
from uuid import UUID

import httpx
import pyarrow.parquet as pq

from tests.integration.query.conftest import CONTRACT, Client
from tests.integration.query.signer import LEASE, TASK
from tests.integration.query.world import World
from tests.issuer import Issuer

ENDLESS = "SELECT sum(range % 7) FROM range(1000000000000)"


@contextmanager
def in_flight(client: Client, sql: str, capability: str | None = None, **more: Any) -> Iterator[None]:
    """A request in flight, with a capability one of a task; its caller disconnects, without having read a byte,
    when this ends."""
    host, port = client.url.removeprefix("http://").split(":")
    body = json.dumps({"sql": sql, **more})
    path = "/v1/query" if capability is None else "/v1/task/query"
    proof = (
        f"Authorization: Bearer {client.token}" if capability is None else f"X-Trace-Task-Capability: {capability}"
    )
    about = f"Content-Type: application/json\r\nContent-Length: {len(body)}"
    head = f"POST {path} HTTP/1.1\r\nHost: x\r\n{proof}\r\n{about}\r\n\r\n"
    with socket.create_connection((host, int(port))) as connection:
        connection.sendall((head + body).encode())
        yield


def reader(world: World, oidc: Issuer, client: Client, name: str) -> Client:
    """Another user of the same service."""
    world.user(oidc.url, name, "reader")
    return Client(client.url, oidc.token(name), client.service)


def ask(client: Client, method: str, query: str, **params: Any) -> httpx.Response:
    """One request about a query, held against the document."""
    headers = {"Authorization": f"Bearer {client.token}"}
    answer = httpx.request(method, f"{client.url}/v1/queries/{query}", params=params, headers=headers, timeout=60)
    CONTRACT.check(answer)
    return answer


def fetched(output: dict[str, Any]) -> Any:
    """The file behind a pre-signed URL, by who has no credential at all."""
    answer = httpx.get(output["url"], timeout=60)
    assert answer.status_code == 200, answer.text
    assert hashlib.sha256(answer.content).hexdigest() == output["sha256"]
    assert len(answer.content) == output["bytes"]
    return pq.read_table(io.BytesIO(answer.content))


def exports(world: World) -> list[str]:
    """Keys of what was exported."""
    return world.store.keys(world.bucket, "exports/")


def task_query(
    client: Client,
    token: str,
    sql: str,
    *,
    attempt: int = 1,
    task: UUID = TASK,
    lease_token: UUID = LEASE,
    **body: Any,
) -> httpx.Response:
    """A task's question, with the fence of its lease."""
    fence = {"task_id": str(task), "attempt": attempt, "lease_token": str(lease_token)}
    return httpx.post(
        f"{client.url}/v1/task/query",
        json={"fence": fence, "sql": sql, **body},
        headers={"X-Trace-Task-Capability": token},
        timeout=60,
    )
