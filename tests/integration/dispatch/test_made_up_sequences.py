"""Sequences of calls of the task API that nobody wrote: tasks claimed, then everything that bodies made from the
document can say about them, under their own, another's and an ended lease. No 5xx, no answer that the document does
not tell of, and an attempt ends once, as it was told first.
"""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
import schemathesis
from hypothesis import HealthCheck, Phase
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
from tests.integration.dispatch.conftest import Feed
from tests.integration.dispatch.test_process import claim, running
from traceplane.settings import Settings

pytestmark = pytest.mark.services

TASKS = 200
SEQUENCES = hypothesis_settings(
    max_examples=20,
    stateful_step_count=12,
    deadline=None,
    database=None,
    derandomize=True,
    phases=(Phase.explicit, Phase.generate),
    suppress_health_check=list(HealthCheck),
)
"""The same sequences each time: that they complete tasks at all is asserted."""


@pytest.fixture
def url(settings: Settings, jobs: dict[str, UUID], tmp_path: Path) -> Iterator[str]:
    """A dispatcher as a process of its own."""
    with running(settings, tmp_path) as process:
        process.wait_ready()
        yield process.url


def bodies(call: str) -> Any:
    """Made-up requests of one call."""
    schema = schemathesis.openapi.from_dict(openapi.document())
    operations = [found.ok() for found in schema.get_all_operations()]
    return next(one for one in operations if one.definition.raw["operationId"] == call).as_strategy()


async def test_no_sequence_of_calls_is_a_server_error(url: str, jobs: dict[str, UUID], feed: Feed) -> None:
    await feed.partitions(TASKS)
    ended: dict[tuple[str, int], str] = {}
    told: set[tuple[str, int]] = set()

    class Sequence(RuleBasedStateMachine):
        leases = Bundle("leases")

        @rule(target=leases, count=st.integers(1, 3))
        def claims(self, count: int) -> MultipleResults[Any]:
            return multiple(*claim(url, jobs["compact"], max_tasks=count))

        @rule(lease=leases, other=leases, case=bodies("heartbeat"))
        def heartbeats(self, lease: Any, other: Any, case: Any) -> None:
            self.ask(case, {"leases": [fence(lease), *([fence(other)] if other is not lease else [])]}, lease)

        @rule(lease=leases, case=bodies("events"))
        def tells(self, lease: Any, case: Any) -> None:
            self.ask(case, {"fence": fence(lease)}, lease)

        @rule(lease=leases, case=bodies("credentials"))
        def asks_for_credentials(self, lease: Any, case: Any) -> None:
            self.ask(case, {"fence": fence(lease)}, lease)

        @rule(lease=leases, case=bodies("complete"), status=st.sampled_from(["Completed", "Failed", "Released"]))
        def completes(self, lease: Any, case: Any, status: str) -> None:
            plain = {"fence": fence(lease), "status": status, "outputs": [], "events": [], "relocations": []}
            self.ends(case, plain | {"error": None, "state": {}}, lease)

        @rule(lease=leases, case=bodies("complete"))
        def says_anything_at_the_end(self, lease: Any, case: Any) -> None:
            made_up = case.body["completions"] if isinstance(case.body, dict) else []
            if isinstance(made_up, list) and made_up and isinstance(made_up[0], dict):
                self.ends(case, made_up[0] | {"fence": fence(lease)}, lease)

        @rule(lease=leases, other=leases, case=bodies("events"))
        def tells_under_the_token_of_another(self, lease: Any, other: Any, case: Any) -> None:
            if other["task"]["task_id"] != lease["task"]["task_id"]:
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
