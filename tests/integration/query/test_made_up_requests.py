"""Requests that nobody wrote, made from the OpenAPI document: no 5xx, and every answer one that it tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import positive_data_acceptance

from hack.generate import user_openapi
from tests.integration.query.conftest import MANY, Client
from tests.integration.query.world import World
from tests.issuer import Issuer
from traceplane.settings import Settings
from traceplane.userapi.app import app

pytestmark = pytest.mark.services

EXAMPLES = 15
QUIET = settings(
    max_examples=EXAMPLES,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
    stateful_step_count=6,
)


@pytest.fixture
def addresses(
    world: World, oidc: Issuer, start_service: Callable[..., Client], serve: Callable[[Any], str]
) -> dict[str, str]:
    """Where each tag of the document is served, with something in it to be found."""
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    world.user(oidc.url, "wanda", "writer")
    client = start_service()
    configured = Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url, user_rate_per_minute=MANY)
    return {"query": client.url, "users": serve(app(configured))}


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(user_openapi.document())
    return [found.ok() for found in schema.get_all_operations()]


@pytest.mark.parametrize("tag", ["query", "users"])
def test_no_request_is_a_server_error(tag: str, addresses: dict[str, str], oidc: Issuer) -> None:
    for operation in operations():
        if operation.tags == [tag]:
            _ask(operation, addresses, oidc)


def _ask(operation: Any, addresses: dict[str, str], oidc: Issuer) -> None:
    url = addresses[operation.tags[0]]
    proof = {"Authorization": f"Bearer {oidc.token('wanda')}"}

    @QUIET
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        case.headers.pop("Authorization", None)
        refused = case.call(base_url=url, allow_redirects=False)
        assert refused.status_code in (401, 404, 405), refused.status_code
        for answer in (refused, case.call(base_url=url, headers=proof, allow_redirects=False)):
            # A cursor and a statement are valid by more than a schema says.
            case.validate_response(answer, excluded_checks=[positive_data_acceptance])

    ask()
