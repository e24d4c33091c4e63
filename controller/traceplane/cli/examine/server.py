"""What the user API shows of an installation: who answers and with which clock, and whether its parts work."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Any

from traceplane.cli.connection import Access, call
from traceplane.cli.examine.finding import Finding, Result
from traceplane.cli.version import of_server, own, skew
from traceplane.errors import TraceError, Unauthenticated

if TYPE_CHECKING:
    import httpx

ANSWER_SECONDS = 20.0
"""Of one request: the server gives each of its parts less."""
SKEW_SECONDS = 30.0
"""Clocks further apart make tokens count as not valid yet, or as expired."""


def findings(api: Access) -> Iterator[Finding]:
    """What is found. Without an answer it is one finding: that there is none."""
    try:
        with api.client(ANSWER_SECONDS) as http:
            yield from _reached(http)
    except TraceError as error:
        yield Finding("user API", Result.FAILED, error.message, _remedy(error))


def _reached(http: httpx.Client) -> Iterator[Finding]:
    before = datetime.now(UTC)
    server = of_server(http)
    after = datetime.now(UTC)
    different = skew(own(), server["version"])
    answers = f"version {server['version']} answers, and takes the token"
    yield Finding("user API", Result.WARNING if different else Result.OK, different or answers, "")
    yield clock(before + (after - before) / 2, datetime.fromisoformat(server["time"]))
    try:
        parts = call(http, "GET", "/v1/health").json()["items"]
    except TraceError as error:
        if error.code != "Forbidden":
            raise
        message = "its databases, object store, STS and queues are shown to admins"
        yield Finding("parts", Result.WARNING, message, "use a token of a user with the role admin")
        return
    yield from map(_of_part, parts)


def clock(here: datetime, there: datetime) -> Finding:
    """Whether two clocks agree."""
    apart = abs((there - here).total_seconds())
    if apart > SKEW_SECONDS:
        message = f"the server's clock and this machine's are {apart:.0f} s apart"
        return Finding("clock", Result.FAILED, message, "synchronise both by NTP: tokens depend on them")
    return Finding("clock", Result.OK, f"the server's and this machine's are {apart:.1f} s apart")


def _of_part(part: dict[str, Any]) -> Finding:
    return Finding(part["name"], Result(part["result"]), part["message"], part["remedy"])


def _remedy(error: TraceError) -> str:
    if isinstance(error, Unauthenticated) or error.code in ("Unauthenticated", "Forbidden"):
        return "give a token of a user of Trace with --as, --token-file or TRACE_TOKEN"
    return "see the findings of the dispatcher, or give the right --server or --release-namespace"
