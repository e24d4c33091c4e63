"""Every route of the query service, asked by everybody it is not for."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import httpx
import pytest
from starlette.applications import Starlette
from starlette.responses import JSONResponse
from starlette.routing import Route

from tests import services
from tests.integration.dispatch.callers import signing_key
from tests.integration.query.conftest import Client
from tests.issuer import Issuer
from traceplane.identity.capability import Capabilities
from traceplane.identity.grants import Grants, Prefixes
from traceplane.query.api.routes import ROUTES
from traceplane.web.authentication import Scheme

pytestmark = pytest.mark.services

HEADERS = ("Authorization", "X-Trace-Task-Capability", "X-Trace-Worker-Token")


@pytest.fixture
def principals(tmp_path: Path, oidc: Issuer) -> dict[str, tuple[str, str]]:
    """Proofs of identity: the header they belong to, and a valid value."""
    (tmp_path / "key.pem").write_bytes(signing_key())
    capability = Capabilities(tmp_path / "key.pem", issuer="trace").mint(
        claim_id=uuid4(),
        org_id=services.ORG_ID,
        job_id=uuid4(),
        tasks=[],
        grants=Grants([], Prefixes([], [])),
        seconds=60,
    )
    return {
        "user": ("Authorization", f"Bearer {oidc.token('alice')}"),
        "task": ("X-Trace-Task-Capability", capability),
        "worker": ("X-Trace-Worker-Token", "a-shared-worker-token-of-forty-characters"),
    }


@pytest.fixture
def client(
    start_service: Callable[..., Client], serve: Callable[[Any], str], tmp_path: Path, principals: Any
) -> Client:
    async def keys(request: Any) -> JSONResponse:
        return JSONResponse(Capabilities(tmp_path / "key.pem", issuer="trace").jwks())

    return start_service(dispatcher_url=serve(Starlette(routes=[Route("/internal/jwks/task", keys)])))


@pytest.mark.parametrize("route", ROUTES, ids=lambda route: f"{route.method} {route.path}")
def test_every_route_refuses_every_wrong_principal(route: Any, client: Client, principals: Any) -> None:
    """Every valid proof in every header: only the right one in its own header opens the door."""
    path = route.path.replace("{id:uuid}", str(uuid4()))

    def status(headers: dict[str, str]) -> int:
        return httpx.request(route.method, client.url + path, headers=headers, content=b"{", timeout=30).status_code

    if route.scheme is Scheme.NONE:
        assert status({}) == 200
        return
    assert status({}) == 401
    for header, (name, (own, value)) in itertools.product(HEADERS, principals.items()):
        bare = value.removeprefix("Bearer ")
        for spelled in (bare, f"Bearer {bare}"):
            opened = name == route.scheme.name.lower() and header == own and (spelled == value)
            assert (status({header: spelled}) == 401) is not opened, (header, name, spelled[:10])
