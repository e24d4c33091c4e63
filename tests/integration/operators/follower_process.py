"""A follower as a process of its own, so that a test can kill it. Arguments: one JSON document.

    {"claim": <ClaimedTask as JSON>, "dsn": ..., "urls": [...], "crash_at": "hot.fenced:3" or null}

Prints `at N` for every block reached.
"""

from __future__ import annotations

import json
import sys
from collections.abc import Mapping

import msgspec

from traceplane.kit import crash
from traceplane_sdk import crashpoints, wire
from traceplane_sdk.context import TaskIO
from traceplane_sdk.runner import run_task


def main() -> None:
    given = json.loads(sys.argv[1])
    for name in crashpoints.ALL:
        crash.declare(name)
    if given["crash_at"]:
        crash.arm(given["crash_at"])
    claimed = msgspec.json.decode(json.dumps(given["claim"]), type=wire.ClaimedTask)

    def measure(name: str, value: float, _labels: Mapping[str, str]) -> None:
        if name == "source_cursor_block":
            print(f"at {int(value)}", flush=True)

    run_task(
        claimed,
        TaskIO(
            data_dsn=lambda: given["dsn"],
            rpc_urls=lambda _pool: given["urls"],
            crash_point=crash.point,
            measure=measure,
        ),
    )


if __name__ == "__main__":
    main()
