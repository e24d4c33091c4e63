"""The worker token: what proves that a claim comes from one of the installation's workers.

One token a line, two during a rotation: put the new one beside the old, roll the workers, take the old one away.
Compared in constant time, against every line, so that timing tells nothing.
"""

from __future__ import annotations

import hashlib
import hmac
from pathlib import Path

from traceplane.errors import InvalidSettings, Unauthenticated
from traceplane.identity.mounted import Mounted

MIN_LENGTH = 16
MAX_TOKENS = 2


class WorkerTokens:
    """The valid worker tokens, read from a file that may change."""

    def __init__(self, path: Path) -> None:
        self._tokens = Mounted(path, parse)

    def check(self, presented: str | None) -> None:
        """Return for a valid token; raises Unauthenticated."""
        digest = _digest(presented.encode()) if presented else b""
        matches = [hmac.compare_digest(digest, token) for token in self._tokens.value]
        if not any(matches):
            raise Unauthenticated("present the worker token in X-Trace-Worker-Token", code="BadWorkerToken")


def parse(content: bytes) -> tuple[bytes, ...]:
    """Digests of the tokens in a token file. Raises InvalidSettings."""
    lines = [line.strip() for line in content.splitlines() if line.strip()]
    if not 1 <= len(lines) <= MAX_TOKENS or any(len(line) < MIN_LENGTH for line in lines):
        raise InvalidSettings(
            f"TRACE_WORKER_TOKEN_FILE: write one token a line, at most {MAX_TOKENS}, "
            f"each of at least {MIN_LENGTH} characters"
        )
    return tuple(_digest(line) for line in lines)


def _digest(token: bytes) -> bytes:
    return hashlib.sha256(token).digest()
