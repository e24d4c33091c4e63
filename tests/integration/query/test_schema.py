"""A query service beside a schema of state that its release does not know."""

from __future__ import annotations

import httpx
import pytest

from tests.integration.query.command import tracectl
from tests.integration.query.conftest import Client
from tests.integration.query.world import World

pytestmark = pytest.mark.services

NEWER = "UPDATE trace_schema_state SET version_num = 's9999'"


def test_it_does_not_start(world: World) -> None:
    world.state.execute(NEWER)
    refused = tracectl(
        "run",
        "query",
        TRACE_STATE_DSN=world.databases.query_state_dsn,
        TRACE_DATA_DSN=world.databases.query_dsn,
        TRACE_OIDC_ISSUER="http://127.0.0.1:1",
        TRACE_QUERY_PORT="1",
    )
    assert refused.returncode == 1
    assert "s9999" in refused.stderr
    assert "(UnknownSchema)" in refused.stderr


def test_it_is_ready_with_its_own_schema_only(world: World, client: Client) -> None:
    assert httpx.get(f"{client.url}/readyz", timeout=20).status_code == 200
    world.state.execute(NEWER)
    answer = httpx.get(f"{client.url}/readyz", timeout=20)
    assert (answer.status_code, answer.json()["code"]) == (503, "UnknownSchema")
