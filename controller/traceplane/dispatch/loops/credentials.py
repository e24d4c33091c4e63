"""Whether tasks can be given credentials, found out before one asks.

A store without STS would otherwise be noticed by the first task that writes, hours after the installation. Asked
until it was answered once: what comes later is for `tracectl doctor` and the tasks themselves.
"""

from __future__ import annotations

from dataclasses import dataclass

from traceplane.dispatch.health import ask_for_credentials
from traceplane.drivers.task_credentials import Credentials
from traceplane.settings.object_store import ObjectStore


@dataclass(frozen=True)
class ProvenCredentials:
    """Asks for credentials until some were had."""

    credentials: Credentials
    settings: ObjectStore

    async def run_once(self) -> int:
        """Ask once; always 0, so that the runner waits for the next interval. Raises Unavailable."""
        if not self.credentials.proven:
            await ask_for_credentials(self.credentials, self.settings)
        return 0
