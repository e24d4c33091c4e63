"""The key that signs capability tokens is changed while tasks are claimed and completed: no call is refused."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from uuid import UUID

import httpx
import pytest

from tests.integration.dispatch.callers import WORKER_TOKEN, signing_key
from tests.integration.dispatch.conftest import Feed
from tests.support.dispatcher import running
from traceplane.settings import Settings

pytestmark = pytest.mark.services

TASKS = 400
WORKERS = 4


async def test_no_call_is_refused_while_the_key_rotates(
    settings: Settings, jobs: dict[str, UUID], feed: Feed, tmp_path: Path
) -> None:
    await feed.partitions(TASKS)
    previous = tmp_path / "previous.pem"
    rotating = settings.model_copy(update={"capability_previous_key_file": previous})
    kids: set[str] = set()
    statuses: list[int] = []
    held = threading.Barrier(WORKERS + 1)

    with running(rotating, tmp_path) as dispatcher:
        dispatcher.wait_ready()

        def published() -> list[str]:
            found = httpx.get(f"{dispatcher.url}/internal/jwks/task", timeout=60).json()["keys"]
            return [key["kid"] for key in found]

        def work(name: int) -> None:
            with httpx.Client(base_url=dispatcher.url, timeout=30) as http:
                for turn in range(TASKS // WORKERS):
                    body = {"worker_id": f"w{name}", "job": str(jobs["compact"]), "max_tasks": 1}
                    claimed = http.post(
                        "/internal/task-claim", json=body, headers={"X-Trace-Worker-Token": WORKER_TOKEN}
                    )
                    (lease,) = claimed.json()["tasks"]
                    kids.add(lease["capability_token"].split(".")[0])
                    if turn == TASKS // WORKERS // 2:  # everybody holds a token of the old key while it is replaced
                        held.wait(30)
                        held.wait(30)
                    fence = {
                        "task_id": lease["task"]["task_id"],
                        "attempt": lease["attempt"],
                        "lease_token": lease["lease_token"],
                    }
                    call = {"X-Trace-Task-Capability": lease["capability_token"]}
                    for path, sent in (
                        ("heartbeat", {"leases": [fence]}),
                        (
                            "complete",
                            {
                                "completions": [
                                    {
                                        "fence": fence,
                                        "status": "Failed",
                                        "error": {
                                            "code": "Enough",
                                            "message": "as the test wanted",
                                            "retryable": False,
                                        },
                                    }
                                ]
                            },
                        ),
                    ):
                        statuses.append(http.post(f"/v1/task/{path}", json=sent, headers=call).status_code)

        with ThreadPoolExecutor(WORKERS) as pool:
            workers = [pool.submit(work, number) for number in range(WORKERS)]
            held.wait(60)
            (old,) = published()
            key = tmp_path / "key.pem"
            previous.write_bytes(key.read_bytes())
            key.write_bytes(signing_key())
            while len(now := published()) < 2 or now[0] == old:
                pass
            assert now[1] == old
            held.wait(30)
            for worker in workers:
                worker.result()
        assert set(statuses) == {200}
        assert len(statuses) == 2 * TASKS
        assert len(kids) == 2, "tokens of both keys were used"
        previous.unlink()
        while len(published()) > 1:
            pass
        assert published() == [now[0]]
