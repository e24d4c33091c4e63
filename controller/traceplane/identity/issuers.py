"""Several issuers of user tokens: whose keys must a token fit?

Each issuer has its own keys and its own pace of fetching them. A token's `iss` chooses among the configured ones
before anything is fetched or verified, and the chosen verifier then holds the token to it; so a made-up issuer
costs nobody a request.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import jwt

from traceplane.errors import InvalidSettings, Unauthenticated
from traceplane.identity import oidc
from traceplane.settings.parts import Users

MAX_ISSUERS = 8


class Verifier(Protocol):
    """Says who a token names."""

    async def verify(self, token: str) -> oidc.Subject:
        """Raises Unauthenticated, or Unavailable while no keys could be had yet."""

    async def close(self) -> None:
        """Close connections to issuers."""


class Issuers:
    """Verifies tokens of several issuers. What a token says of its issuer only chooses whose keys must fit."""

    def __init__(self, verifiers: Sequence[oidc.TokenVerifier]) -> None:
        self._verifiers = {one.issuer: one for one in verifiers}

    async def verify(self, token: str) -> oidc.Subject:
        """Who the token names. An issuer that is not ours costs no request to anybody."""
        if len(token) > oidc.MAX_TOKEN_BYTES:
            raise Unauthenticated("the token is too long")
        try:
            claims = jwt.decode(token, options={"verify_signature": False})
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("the token is not a JWT") from error
        issuer = claims.get("iss")
        chosen = self._verifiers.get(issuer) if isinstance(issuer, str) else None
        if chosen is None:
            raise Unauthenticated("the token is not valid: it is from another issuer")
        return await chosen.verify(token)

    async def close(self) -> None:
        """Close connections to every issuer."""
        for one in self._verifiers.values():
            await one.close()


def verifier(settings: Users) -> Verifier:
    """The verifier of all issuers of `settings`. Raises InvalidSettings."""
    first = oidc.configured(settings)
    others = settings.oidc_other_issuers.split()
    names = [first.issuer, *others]
    if len(names) > MAX_ISSUERS:
        raise InvalidSettings(f"TRACE_OIDC_OTHER_ISSUERS: at most {MAX_ISSUERS - 1}")
    if len(set(names)) < len(names):
        raise InvalidSettings("TRACE_OIDC_OTHER_ISSUERS: names an issuer twice")
    further = (
        oidc.IssuerConfig(name, first.audience, None, None, None, first.min_refresh_seconds) for name in others
    )
    return Issuers([oidc.TokenVerifier(config) for config in (first, *further)])
