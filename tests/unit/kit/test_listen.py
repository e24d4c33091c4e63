"""Servers answer in clusters of IPv6, of IPv4 and of both, and say what keeps them from it."""

from __future__ import annotations

import asyncio
import errno
import http.client
import socket
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from traceplane.cli import dispatcher
from traceplane.errors import GiveUp
from traceplane.kit import listen
from traceplane.reconcile import health as controller_health
from traceplane.worker import health as worker_health

BOTH = ("::1", "127.0.0.1")


def reached(port: int, host: str) -> bool:
    """Whether somebody listens there."""
    try:
        socket.create_connection((host, port), timeout=5).close()
    except ConnectionRefusedError:
        return False
    return True


def got(port: int, host: str, path: str = "/healthz") -> int:
    """Status of a GET."""
    connection = http.client.HTTPConnection(host, port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().status
    finally:
        connection.close()


@pytest.mark.parametrize(
    ("host", "answers"),
    [("::", (True, True)), ("::1", (True, False)), ("127.0.0.1", (False, True)), ("0.0.0.0", (False, True))],
)
def test_a_listener_answers_at_its_address(host: str, answers: tuple[bool, bool]) -> None:
    with listen.listener(host, 0) as sock:
        port = sock.getsockname()[1]
        assert tuple(reached(port, at) for at in BOTH) == answers


def test_where_the_kernel_has_no_ipv6_every_ipv4_address_answers(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(socket, "has_dualstack_ipv6", lambda: False)
    with listen.listener("::", 0) as sock:
        assert tuple(reached(sock.getsockname()[1], at) for at in BOTH) == (False, True)


@pytest.mark.parametrize("number", [errno.EADDRNOTAVAIL, errno.EAFNOSUPPORT])
def test_where_the_node_gives_no_ipv6_address_every_ipv4_address_answers(
    monkeypatch: pytest.MonkeyPatch, number: int
) -> None:
    real = socket.create_server

    def disabled(address: tuple[str, int], **options: Any) -> socket.socket:
        if options.get("family") == socket.AF_INET6:
            raise OSError(number, "disabled")
        return real(address, **options)

    monkeypatch.setattr(socket, "create_server", disabled)
    with listen.listener("::", 0) as sock:
        assert sock.family == socket.AF_INET


@pytest.mark.parametrize("host", ["::", "::1", "127.0.0.1"])
def test_a_port_that_is_taken_is_named(host: str) -> None:
    with listen.listener("::", 0) as taken:
        port = taken.getsockname()[1]
        with pytest.raises(GiveUp, match=f"cannot listen on {host} port {port}: Address already in use"):
            listen.listener(host, port)


@pytest.mark.parametrize("host", BOTH)
def test_a_worker_answers_its_probe(host: str) -> None:
    server = worker_health.serve(worker_health.Health(), "::", 0)
    try:
        assert got(server.server_port, host) == 200
    finally:
        server.shutdown()
        server.server_close()


@pytest.mark.parametrize("host", BOTH)
async def test_the_controller_answers_its_probe(host: str) -> None:
    shown: Any = SimpleNamespace(silent=list)
    runner = await controller_health.serve("::", 0, shown)
    try:
        port = runner.addresses[0][1]
        assert await asyncio.to_thread(got, port, host) == 200
    finally:
        await runner.cleanup()


async def application(_scope: Any, _receive: Any, send: Callable[[dict[str, Any]], Any]) -> None:
    """Answers everything."""
    await send({"type": "http.response.start", "status": 204, "headers": []})
    await send({"type": "http.response.body", "body": b""})


@pytest.mark.parametrize("host", BOTH)
async def test_the_dispatcher_answers_on_the_socket_that_it_is_given(host: str) -> None:
    server = dispatcher._server(application)
    server.config.lifespan = "off"
    sock = listen.listener("::", 0)
    port = sock.getsockname()[1]
    running = asyncio.create_task(server.serve([sock]))
    try:
        assert await asyncio.to_thread(got, port, host) == 204
    finally:
        server.should_exit = True
        await running
