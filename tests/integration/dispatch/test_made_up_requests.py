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
from hypothesis import strategies as st
from hypothesis.stateful import (
    Bundle,
    MultipleResults,
    RuleBasedStateMachine,
    multiple,
    rule,
    run_state_machine_as_test,
)
from schemathesis.specs.openapi.checks import ignored_auth, positive_data_acceptance

from hack.generate import openapi
from tests.integration.dispatch.callers import WORKER_TOKEN
from tests.integration.dispatch.conftest import Feed
from tests.support.dispatcher import claim, running
from traceplane.settings import Settings
from traceplane.taskapi.routes import ROUTES
from traceplane.web.authentication import Scheme

pytestmark = pytest.mark.services

QUIET = hypothesis_settings(
    max_examples=15,
    deadline=None,
    database=None,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
EXAMPLES, STEPS, CLAIMED = 30, 12, 3
SEQUENCES = hypothesis_settings(QUIET, max_examples=EXAMPLES, stateful_step_count=STEPS, derandomize=True)
"""The same sequences each time: that they complete tasks at all is asserted."""
TASKS = EXAMPLES * STEPS * CLAIMED
"""As many as could be claimed: with none left a sequence would go on in another way than when it was made up."""
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
    scheme = BY_CALL[operation.definition.raw["operationId"]].scheme
    proof = {}
    if scheme is Scheme.WORKER:
        proof = {scheme.value: WORKER_TOKEN}
    elif scheme is Scheme.TASK:
        (lease,) = claim(url, job, wait_seconds=10)
        proof = {scheme.value: lease["capability_token"]}

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


def made_up(call: str) -> Any:
    """Requests of one call that nobody wrote."""
    return next(one for one in operations() if one.definition.raw["operationId"] == call).as_strategy()


async def test_no_sequence_of_calls_is_a_server_error(url: str, jobs: dict[str, UUID], feed: Feed) -> None:
    """Tasks are claimed, then everything is said about them, under their own, another's and an ended lease: no 5xx,
    and an attempt ends once, as it was told first."""
    await feed.partitions(TASKS)
    ended: dict[tuple[str, int], str] = {}
    told: set[tuple[str, int]] = set()

    class Sequence(RuleBasedStateMachine):
        leases = Bundle("leases")

        @rule(target=leases, count=st.integers(1, CLAIMED))
        def claims(self, count: int) -> MultipleResults[Any]:
            return multiple(*claim(url, jobs["compact"], max_tasks=count))

        @rule(lease=leases, other=leases, case=made_up("heartbeat"))
        def heartbeats(self, lease: Any, other: Any, case: Any) -> None:
            self.ask(case, {"leases": [fence(lease), *([fence(other)] if other is not lease else [])]}, lease)

        @rule(lease=leases, case=made_up("events"))
        def tells(self, lease: Any, case: Any) -> None:
            self.ask(case, {"fence": fence(lease)}, lease)

        @rule(lease=leases, case=made_up("credentials"))
        def asks_for_credentials(self, lease: Any, case: Any) -> None:
            self.ask(case, {"fence": fence(lease)}, lease)

        @rule(lease=leases, case=made_up("complete"), status=st.sampled_from(["Completed", "Failed", "Released"]))
        def completes(self, lease: Any, case: Any, status: str) -> None:
            plain = {"fence": fence(lease), "status": status, "outputs": [], "events": [], "relocations": []}
            self.ends(case, plain | {"error": None, "state": {}}, lease)

        @rule(lease=leases, case=made_up("complete"))
        def says_anything_at_the_end(self, lease: Any, case: Any) -> None:
            ends = case.body["completions"] if isinstance(case.body, dict) else []
            if isinstance(ends, list) and ends and isinstance(ends[0], dict):
                self.ends(case, ends[0] | {"fence": fence(lease)}, lease)

        @rule(lease=leases, other=leases, case=made_up("events"))
        def tells_under_the_token_of_another(self, lease: Any, other: Any, case: Any) -> None:
            if other["capability_token"] != lease["capability_token"]:  # tasks of one claim share theirs
                answer = self.ask(case, {"fence": fence(lease)}, other)
                assert answer.status_code != 200

        def ends(self, case: Any, completion: dict[str, Any], lease: Any) -> None:
            answer = self.ask(case, {"completions": [completion]}, lease)
            if answer.status_code == 200 and answer.json()["completions"][0]["accepted"]:
                attempt = (lease["task"]["task_id"], lease["attempt"])
                assert ended.setdefault(attempt, completion["status"]) == completion["status"]

        def ask(self, case: Any, replaced: dict[str, Any], lease: Any) -> Any:
            if not isinstance(case.body, dict):
                case.body = {}
            case.body |= replaced
            headers = {"X-Trace-Task-Capability": lease["capability_token"]}
            answer = case.call(base_url=url, headers=headers)
            case.validate_response(answer, excluded_checks=[positive_data_acceptance, ignored_auth])
            told.add((case.operation.definition.raw["operationId"], answer.status_code))
            return answer

    run_state_machine_as_test(Sequence, settings=SEQUENCES)
    assert {call for call, status in told if status == 200} == {"heartbeat", "events", "complete", "credentials"}
    assert not [status for _, status in told if status >= 500]
    assert len(set(ended.values())) > 1


def fence(lease: Any) -> dict[str, Any]:
    return {
        "task_id": lease["task"]["task_id"],
        "attempt": lease["attempt"],
        "lease_token": lease["lease_token"],
    }
