"""Requests that nobody wrote, made from the OpenAPI document: no 5xx, and every answer one that it tells of."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase, given, settings
from schemathesis.specs.openapi.checks import ignored_auth, negative_data_rejection, positive_data_acceptance

from hack.generate import user_openapi
from tests.integration.query.conftest import MANY, Client
from tests.integration.query.world import NAMESPACE, World
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

PLAIN = {"as_of": None, "timeout_seconds": 30, "namespace": NAMESPACE}
SEQUENCES = settings(QUIET, max_examples=40, derandomize=True)
"""The same sequences each time: that they follow links at all is asserted."""


@pytest.fixture
def addresses(
    world: World, oidc: Issuer, start_service: Callable[..., Client], serve: Callable[[Any], str]
) -> dict[str, str]:
    """Where each tag of the document is served, with something in it to be found."""
    hot, cold = world.federated()
    world.follow(hot, 0, 99)
    world.compact(hot, cold, 0, 49)
    world.user(oidc.url, "wanda", "writer", "admin")
    # Queries that are left stay so: what follows from an answer shall not depend on how fast a lane is.
    client = start_service(query_batch_concurrency=0, query_batch_queue=MANY, query_batch_queue_per_user=MANY)
    configured = Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url, user_rate_per_minute=MANY)
    return {"query": client.url, "users": serve(app(configured, pytest.fail))}


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


@pytest.mark.parametrize(
    ("tag", "steps", "followed"),
    [("query", 3, {"result"}), ("users", 6, {"dag", "dag_tasks", "asset", "asset_lineage"})],
)
def test_no_sequence_of_requests_is_a_server_error(
    tag: str, steps: int, followed: set[str], addresses: dict[str, str], oidc: Issuer, world: World
) -> None:
    """Requests that follow from answers, as the document's links tell: the id of a query that was left is asked for
    and canceled, a task that was listed is canceled and tried again."""
    world.state.execute(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, status, scope)"
        " SELECT org_id, namespace, id, 'g' || g, 'Event', 'Queued', '{}' FROM jobs, generate_series(1, 9) g"
    )
    found: set[str] = set()
    machine = schemathesis.openapi.from_dict(user_openapi.document())
    machine = machine.include(tag=tag).exclude(path="/v1/task/query").as_state_machine()

    class Sequence(machine):  # type: ignore[misc, valid-type]
        def get_call_kwargs(self, case: Any) -> dict[str, Any]:
            if isinstance(case.body, dict) and "sql" in case.body:
                case.body |= {"sql": "SELECT max(block_number) FROM blocks", **PLAIN}
            # What is made up beside is tried above, and would end most sequences at their first step.
            case.query = {name: case.query[name] for name in ("namespace",) if name in case.query}
            case.headers.pop("Authorization", None)
            proof = {"Authorization": f"Bearer {oidc.token('wanda')}"}
            return {"base_url": addresses[tag], "headers": proof, "allow_redirects": False}

        def validate_response(self, response: Any, case: Any, **_: Any) -> None:
            if response.status_code == 200:
                found.add(case.operation.definition.raw["operationId"])
            replaced = [positive_data_acceptance, negative_data_rejection, ignored_auth]
            case.validate_response(response, excluded_checks=replaced)

    Sequence.run(settings=settings(SEQUENCES, stateful_step_count=steps))
    assert found & followed, found
