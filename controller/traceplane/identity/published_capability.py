"""Capability tokens, verified by who does not hold the key that signs them.

The dispatcher publishes its public keys (`/internal/jwks/task`); the query service needs nothing else of it. They
are fetched and cached as a user issuer's are (see `oidc`), and a token that was signed with a new key fetches them
at once: a rotation must not cost a task its queries.
"""

from __future__ import annotations

import msgspec

from traceplane.errors import Unauthenticated
from traceplane.identity import oidc
from traceplane.identity.capability import AUDIENCE, TaskToken
from traceplane.settings import QuerySettings

KEYS_PATH = "/internal/jwks/task"
MIN_REFRESH_SECONDS = 1.0


class PublishedCapabilities:
    """Verifies tokens with the keys that the dispatcher publishes."""

    def __init__(self, settings: QuerySettings) -> None:
        self._verifier = oidc.TokenVerifier(
            oidc.IssuerConfig(
                issuer=settings.capability_issuer,
                audience=AUDIENCE,
                jwks_url=settings.dispatcher_url.rstrip("/") + KEYS_PATH,
                ca_file=None,
                bearer_file=None,
                min_refresh_seconds=MIN_REFRESH_SECONDS,
            )
        )

    async def verify(self, token: str | None) -> TaskToken:
        """The claims of a valid token. Raises Unauthenticated, or Unavailable while no keys could be had yet."""
        if not token:
            raise Unauthenticated("present the task's token in X-Trace-Task-Capability", code="BadCapability")
        try:
            return msgspec.convert(await self._verifier.claims(token), TaskToken)
        except Unauthenticated as error:
            raise Unauthenticated(error.message, code="BadCapability") from error
        except msgspec.ValidationError as error:
            raise Unauthenticated(f"the token is malformed: {error}", code="BadCapability") from error

    async def close(self) -> None:
        """Close connections to the dispatcher."""
        await self._verifier.close()
