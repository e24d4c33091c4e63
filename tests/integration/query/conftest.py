"""A running query service over real HTTP, with its own databases, bucket, issuer and cache."""

from __future__ import annotations

import socket
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import httpx
import pytest
import uvicorn

from hack.generate import user_openapi
from tests import services
from tests.contract import Contract
from tests.integration.query.signer import Signer
from tests.integration.query.world import World
from tests.issuer import Issuer, issuer
from tests.support.fork_server import QueryProcesses, query_processes
from traceplane.query.api.app import create_app
from traceplane.query.api.service import Service
from traceplane.query.sandbox import spawn
from traceplane.settings import Settings
from traceplane.userapi.app import app as user_api

CONTRACT = Contract(user_openapi.document())
MANY = 1e6
"""Queries a minute: tests ask faster than people."""


@pytest.fixture
def oidc() -> Iterator[Issuer]:
    with issuer() as running:
        yield running


@pytest.fixture
def world(databases: services.Databases, object_store: services.ObjectStore, bucket: str) -> Iterator[World]:
    made = World(databases, object_store, bucket)
    yield made
    made.close()


@pytest.fixture
def blocks(world: World) -> World:
    """25,000 hot blocks: more than an answer holds inline."""
    hot = world.dataset("follow", "Postgres", "hot-blocks")
    world.follow(hot, 0, 24_999)
    return world


@dataclass
class Client:
    """A user of the service."""

    url: str
    token: str
    service: Service

    def post(self, sql: str, **body: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {self.token}"}
        answer = httpx.post(f"{self.url}/v1/query", json={"sql": sql, **body}, headers=headers, timeout=120)
        if answer.status_code != 500:  # what only a defect, or a test that makes one, brings about
            CONTRACT.check(answer)
        return answer

    def rows(self, sql: str, **body: Any) -> list[list[Any]]:
        answer = self.post(sql, **body)
        assert answer.status_code == 200, answer.text
        return answer.json()["rows"]

    def refused(self, sql: str, **body: Any) -> tuple[int, str]:
        """Status and code of a problem answer."""
        answer = self.post(sql, **body)
        assert answer.headers["content-type"] == "application/problem+json", answer.text
        return answer.status_code, answer.json()["code"]


@pytest.fixture(scope="session")
def forks() -> Iterator[QueryProcesses]:
    """What forks the processes of the run's query services."""
    with query_processes() as made:
        yield made


@pytest.fixture
def processes(forks: QueryProcesses, monkeypatch: pytest.MonkeyPatch) -> None:
    """How a service starts the processes that see SQL: by forks of warm ones. Modules that test those processes put
    a fixture in its place that changes nothing."""
    monkeypatch.setattr(spawn, "start", forks.start)


@pytest.fixture
def start_service(world: World, oidc: Issuer, tmp_path: Path, processes: None) -> Iterator[Callable[..., Client]]:
    """Starts a service with the given settings changed; its user `alice` is a reader."""
    world.user(oidc.url, "alice", "reader")
    with running() as started:
        yield lambda **changed: service_over(world, oidc, tmp_path / "cache", started, **changed)


def service_over(world: World, oidc: Issuer, cache: Path, started: Callable[[Any], str], **changed: Any) -> Client:
    """A service over what `world` holds, with the given settings changed, for its user `alice`."""
    settings = Settings(
        state_dsn=world.databases.query_state_dsn,
        data_dsn=world.databases.query_dsn,
        s3_bucket=world.bucket,
        oidc_issuer=oidc.url,
        query_cache_dir=cache,
        **world.store.settings() | {"query_rate_per_minute": MANY} | changed,
    )
    app = create_app(settings, pytest.fail)
    return Client(started(app), oidc.token("alice"), app.state.service)


@pytest.fixture
def client(start_service: Callable[..., Client]) -> Client:
    return start_service()


@pytest.fixture
def serve() -> Iterator[Callable[[Any], str]]:
    """Serves an ASGI application on loopback; returns its address."""
    with running() as started:
        yield started


@pytest.fixture
def signer(tmp_path: Path, serve: Callable[[Any], str]) -> Signer:
    """A dispatcher's key, and where its public half is fetched."""
    return Signer.serving(tmp_path, serve)


@contextmanager
def running() -> Iterator[Callable[[Any], str]]:
    """Serves applications on loopback, each on a thread and port of its own."""
    servers: list[tuple[uvicorn.Server, threading.Thread]] = []

    def serve(app: Any) -> str:
        listener = socket.create_server(("127.0.0.1", 0))
        server = uvicorn.Server(uvicorn.Config(app, log_level="warning", timeout_graceful_shutdown=2))
        thread = threading.Thread(target=server.run, kwargs={"sockets": [listener]}, daemon=True)
        thread.start()
        servers.append((server, thread))
        return f"http://127.0.0.1:{listener.getsockname()[1]}"

    try:
        yield serve
    finally:
        for server, thread in servers:
            server.should_exit = True
            thread.join(10)


Get = Callable[..., httpx.Response]


@pytest.fixture
def get(world: World, oidc: Issuer, serve: Callable[[Any], str]) -> Get:
    """GET (or another method) as `alice`, a reader, or with another token."""
    world.user(oidc.url, "alice", "reader")
    settings = Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url, jwks_min_refresh_seconds=0.001)
    url = serve(user_api(settings, pytest.fail))

    def fetch(path: str, token: str | None = None, method: str = "GET", **query: Any) -> httpx.Response:
        headers = {"Authorization": f"Bearer {token or oidc.token('alice')}"}
        sent = headers if token != "" else {}
        answer = httpx.request(method, f"{url}{path}", headers=sent, params=query, timeout=60)
        CONTRACT.check(answer)
        return answer

    return fetch
