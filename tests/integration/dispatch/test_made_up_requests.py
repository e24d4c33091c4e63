"""Requests that nobody wrote, made from the task API's OpenAPI document: no 5xx, no answer it does not tell of."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given
from hypothesis import settings as hypothesis_settings
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from hack.generate import openapi
from tests.integration.dispatch.conftest import WORKER_TOKEN, Feed
from tests.integration.dispatch.test_process import claim, running
from traceplane.settings import Settings
from traceplane.taskapi.routes import ROUTES, Principal

pytestmark = pytest.mark.services

QUIET = hypothesis_settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
BY_CALL = {route.call: route for route in ROUTES}


def operations() -> list[Any]:
    schema = schemathesis.openapi.from_dict(openapi.document())
    return [found.ok() for found in schema.get_all_operations()]


@pytest.fixture
def url(settings: Settings, jobs: dict[str, UUID], tmp_path: Path) -> Iterator[str]:
    """A dispatcher as a process of its own."""
    with running(settings, tmp_path) as process:
        process.wait_ready()
        yield process.url


async def test_no_request_is_a_server_error(url: str, jobs: dict[str, UUID], feed: Feed) -> None:
    await feed.partitions(4)  # the dispatcher runs no task of that job itself
    for operation in operations():
        _ask(operation, url, jobs["compact"])


def _ask(operation: Any, url: str, job: UUID) -> None:
    principal = BY_CALL[operation.definition.raw["operationId"]].principal
    proof = {}
    if principal is Principal.WORKER:
        proof = {principal.value: WORKER_TOKEN}
    elif principal is Principal.TASK:
        (lease,) = claim(url, job, wait_seconds=10)
        proof = {principal.value: lease["capability_token"]}

    @QUIET
    @given(case=operation.as_strategy())
    def ask(case: Any) -> None:
        for header in ("X-Trace-Worker-Token", "X-Trace-Task-Capability"):
            case.headers.pop(header, None)
        if isinstance(case.body, dict) and "wait_seconds" in case.body:
            case.body["wait_seconds"] = 0  # an empty queue would be waited for
        if proof:
            refused = case.call(base_url=url)
            case.validate_response(refused, excluded_checks=[positive_data_acceptance, ignored_auth])
            assert refused.status_code in (401, 404, 405), refused.status_code
        answer = case.call(base_url=url, headers=proof)
        # An id is valid by more than a schema says; who may ask what is asked here itself.
        case.validate_response(answer, excluded_checks=[positive_data_acceptance, ignored_auth])

    ask()
