"""What a person asks of the installation itself: which release runs, and whether its parts work."""

from __future__ import annotations

from dataclasses import asdict
from datetime import UTC, datetime
from importlib.metadata import version as version_of
from typing import Any

from traceplane.dispatch import health as dispatcher_health
from traceplane.kinds import API_VERSION
from traceplane.userapi.call import Call


async def version(_call: Call) -> Any:
    """The release that answers, the version of the kinds that it knows, and its clock."""
    now = datetime.now(UTC)
    return {"version": version_of("traceplane"), "api_version": API_VERSION, "time": now}


async def health(call: Call) -> Any:
    """Whether the parts that the dispatcher stands on work, each tried now."""
    found = await dispatcher_health.findings(call.parts)
    return {"items": [asdict(finding) for finding in found], "next_cursor": None}
