"""The receiver of run events: one POST for each, within a time and with a bounded answer.

The events' library brings a transport of its own. It blocks, follows its own environment variables and reads any
answer whole, so the platform's HTTP client does it.
"""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import httpx

from traceplane.errors import InvalidSettings, TraceError
from traceplane.settings.parts import OpenLineage

PATH = "/api/v1/lineage"
CALL_SECONDS = 10.0
MAX_ANSWER_BYTES = 64 * 1024
REFUSALS = frozenset({400, 413, 422})
"""It will never take this event. Any other failure is the receiver's own, or of its address or the key."""


class Away(TraceError):
    """The receiver did not take an event, and may take it later."""


class Receiver:
    """Open for a batch of events."""

    def __init__(self, client: httpx.AsyncClient, url: str) -> None:
        self._client = client
        self._url = url

    async def take(self, event: bytes) -> bool:
        """Whether it was taken; False where it is refused for good. Raises Away."""
        try:
            async with (
                asyncio.timeout(CALL_SECONDS),
                self._client.stream("POST", self._url, content=event) as answer,
            ):
                await _read(answer)
        except (httpx.HTTPError, OSError) as error:  # TimeoutError is an OSError
            raise Away(type(error).__name__) from error
        if answer.status_code in REFUSALS:
            return False
        if not answer.is_success:
            raise Away(f"HTTP status {answer.status_code}")
        return True


@asynccontextmanager
async def opened(settings: OpenLineage) -> AsyncIterator[Receiver]:
    """A receiver, with the key and the CA certificates as their files say now. Raises InvalidSettings."""
    assert settings.openlineage_url is not None
    headers = {"Content-Type": "application/json"}
    if (key := settings.read_openlineage_key()) is not None:
        headers["Authorization"] = f"Bearer {key}"
    trust = _trust(settings.openlineage_api_key_file)
    async with httpx.AsyncClient(
        headers=headers, verify=trust, timeout=CALL_SECONDS, follow_redirects=False, trust_env=False
    ) as client:
        yield Receiver(client, settings.openlineage_url.rstrip("/") + PATH)


def _trust(key_file: Path | None) -> bool | ssl.SSLContext:
    if key_file is None or not (ca := key_file.with_name("ca.crt")).exists():
        return True
    try:
        return ssl.create_default_context(cafile=str(ca))
    except OSError as error:  # what is no certificate, too
        raise InvalidSettings(f"{ca}: no CA certificates that can be read (PEM)") from error


async def _read(answer: httpx.Response) -> None:
    """Read the answer, so that its connection is used again; one that is too long ends with its connection."""
    size = 0
    async for piece in answer.aiter_raw():
        size += len(piece)
        if size > MAX_ANSWER_BYTES:
            return
