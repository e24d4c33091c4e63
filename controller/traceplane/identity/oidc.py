"""Users' bearer tokens: is this JWT from our issuer, for us, and still valid?

OpenID Connect Core 1.0 and RFC 7519/8725: the algorithms are pinned to asymmetric ones (so that nobody signs
with the public key as an HMAC secret, and `none` is nothing), issuer and audience are pinned by settings, and
`exp`, `iat` and `sub` must be there. A token says who somebody is; what they may do stands in the database, never
in a claim.

Keys come from the issuer's discovery document and its JWKS, cached and bounded. An unknown `kid` fetches them
again (the issuer rotated), but at most once per `jwks_min_refresh_seconds`: made-up key ids must not turn us into
a hammer against the issuer; a fetch that failed is tried again sooner. Keys older than `MAX_KEY_AGE_SECONDS` are
fetched again before they are used, so that a key the issuer withdrew stops working within that time. While the
issuer is away, known keys go on working, until `MAX_STALE_SECONDS`: an attacker who cuts the service off from its
issuer must not keep a withdrawn key alive.

In a cluster the default issuer is the cluster itself: its name is read from the pod's own service-account token,
its keys from the API server, which wants that token and is checked against the cluster's CA. The token is shown
to the configured key address and to the issuer's own origin, and to nobody a document names.
"""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import httpx
import jwt
import structlog

from traceplane.errors import InvalidSettings, Unauthenticated, Unavailable
from traceplane.settings.parts import Users

_log = structlog.get_logger("trace.oidc")

ALGORITHMS = ("RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA")
MAX_TOKEN_BYTES = 16 * 1024
MAX_DOCUMENT_BYTES = 256 * 1024
MAX_KEYS = 64
LEEWAY_SECONDS = 30
FETCH_SECONDS = 5.0
"""How long a fetch may take as a whole, with discovery, however slowly the issuer speaks."""
RETRY_SECONDS = 2.0
"""How long after a fetch that failed nobody fetches, where there are no keys yet."""
RETRY_STALE_SECONDS = 10.0
"""The same where older keys serve: each try may keep those waiting who ask meanwhile."""
MAX_KEY_AGE_SECONDS = 300.0
"""How long keys are used without asking the issuer again."""
MAX_STALE_SECONDS = 3600.0
"""How long keys are used while the issuer does not answer."""

SERVICE_ACCOUNT = Path("/var/run/secrets/kubernetes.io/serviceaccount")
CLUSTER_JWKS = "https://kubernetes.default.svc/openid/v1/jwks"
"""Where every API server publishes the keys of its service-account tokens."""


@dataclass(frozen=True, slots=True)
class Subject:
    """Somebody, as their issuer names them."""

    issuer: str
    subject: str


@dataclass(frozen=True, slots=True)
class IssuerConfig:
    """One issuer. `jwks_url` None means discovery; `ca_file` and `bearer_file` are for an issuer that is the
    cluster's API server."""

    issuer: str
    audience: str
    jwks_url: str | None
    ca_file: Path | None
    bearer_file: Path | None
    min_refresh_seconds: float


def configured(settings: Users) -> IssuerConfig:
    """The first issuer of `settings`; the cluster's own where none is set. Raises InvalidSettings."""
    issuer, jwks_url = settings.oidc_issuer or None, settings.oidc_jwks_url or None
    ca_file, bearer_file = settings.oidc_ca_file, settings.oidc_bearer_file
    if issuer is None:
        token_file = bearer_file or SERVICE_ACCOUNT / "token"
        issuer = _issuer_of(token_file)
        jwks_url = jwks_url or CLUSTER_JWKS
        ca_file, bearer_file = ca_file or SERVICE_ACCOUNT / "ca.crt", token_file
    return IssuerConfig(
        issuer, settings.oidc_audience, jwks_url, ca_file, bearer_file, settings.jwks_min_refresh_seconds
    )


def _issuer_of(token_file: Path) -> str:
    """`iss` of our own token: who issued it needs no proof, the kubelet put it there."""
    try:
        claims = jwt.decode(token_file.read_text().strip(), options={"verify_signature": False})
        return str(claims["iss"])
    except (OSError, jwt.InvalidTokenError, KeyError) as error:
        raise InvalidSettings(
            f"set TRACE_OIDC_ISSUER: there is no service-account token at {token_file} to take the issuer from"
        ) from error


class TokenVerifier:
    """Verifies tokens of one issuer. One per process; `close()` at the end."""

    def __init__(self, config: IssuerConfig, clock: Callable[[], float] = time.monotonic) -> None:
        self._config = config
        self._keys: dict[str, jwt.PyJWK] = {}
        self._not_before = -math.inf
        self._keys_at = 0.0
        self._clock = clock
        self._lock = asyncio.Lock()
        self._client = httpx.AsyncClient(
            timeout=FETCH_SECONDS,
            verify=_trust(config.ca_file),
            follow_redirects=False,
            trust_env=False,
        )

    @property
    def issuer(self) -> str:
        """Whose tokens these are."""
        return self._config.issuer

    async def close(self) -> None:
        """Close connections to the issuer."""
        await self._client.aclose()

    async def verify(self, token: str) -> Subject:
        """Who the token names. Raises Unauthenticated, or Unavailable while no keys could be had yet."""
        return Subject(self._config.issuer, str((await self.claims(token))["sub"]))

    async def claims(self, token: str) -> dict[str, Any]:
        """All claims of a valid token. Raises as `verify`."""
        if len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("the token is too long")
        key = await self._key(token)
        try:
            claims: dict[str, Any] = jwt.decode(
                token,
                key,
                algorithms=[key.algorithm_name] if key.algorithm_name in ALGORITHMS else [],
                issuer=self._config.issuer,
                audience=self._config.audience,
                leeway=LEEWAY_SECONDS,
                options={"require": ["exp", "iat", "sub", "iss", "aud"]},
            )
        except jwt.InvalidTokenError as error:
            raise Unauthenticated(f"the token is not valid: {_reason(error)}") from error
        return claims

    async def _key(self, token: str) -> jwt.PyJWK:
        try:
            header = jwt.get_unverified_header(token)
        except jwt.InvalidTokenError as error:
            raise Unauthenticated("the token is not a JWT") from error
        if header.get("alg") not in ALGORITHMS:
            raise Unauthenticated(f"the token's algorithm must be one of {', '.join(ALGORITHMS)}")
        kid = str(header.get("kid", ""))
        if kid not in self._keys or self._age() > MAX_KEY_AGE_SECONDS:
            await self._refresh(kid)
        key = self._keys.get(kid)
        if key is None:
            raise Unauthenticated("the token is signed with a key its issuer does not publish")
        return key

    async def _refresh(self, kid: str) -> None:
        """Fetch the keys, unless that happened just now. Concurrent callers wait for one fetch."""
        async with self._lock:
            fresh = kid in self._keys and self._age() <= MAX_KEY_AGE_SECONDS
            if not fresh and self._may_fetch():
                pause = RETRY_STALE_SECONDS if self._keys else RETRY_SECONDS
                try:
                    async with asyncio.timeout(FETCH_SECONDS):
                        self._keys = _usable(await self._document(await self._jwks_url()))
                    self._keys_at = self._clock()
                    pause = self._config.min_refresh_seconds if self._keys else RETRY_SECONDS
                except (httpx.HTTPError, httpx.InvalidURL, OSError, ValueError, KeyError, TypeError) as error:
                    _log.warning("the keys of the token issuer could not be fetched", error=type(error).__name__)
                self._not_before = self._clock() + min(pause, self._config.min_refresh_seconds)
            if self._age() > MAX_STALE_SECONDS:
                self._keys = {}
            if not self._keys:
                raise Unavailable("the keys of the token issuer could not be fetched")

    def _age(self) -> float:
        return self._clock() - self._keys_at if self._keys else math.inf

    def _may_fetch(self) -> bool:
        return self._clock() >= self._not_before

    async def _jwks_url(self) -> str:
        if self._config.jwks_url is not None:
            return self._config.jwks_url
        document = await self._document(self._config.issuer.rstrip("/") + "/.well-known/openid-configuration")
        if document["issuer"] != self._config.issuer:
            raise ValueError("the discovery document names another issuer")
        url = str(document["jwks_uri"])
        if urlsplit(url).scheme != urlsplit(self._config.issuer).scheme:
            raise ValueError("the key address leaves the issuer's scheme")
        return url

    async def _document(self, url: str) -> dict[str, Any]:
        headers = {}
        trusted = url == self._config.jwks_url or _origin(url) == _origin(self._config.issuer)
        if self._config.bearer_file is not None and trusted:
            headers["Authorization"] = f"Bearer {self._config.bearer_file.read_text().strip()}"
        body = bytearray()
        async with self._client.stream("GET", url, headers=headers) as response:
            response.raise_for_status()
            async for piece in response.aiter_bytes():
                body += piece
                if len(body) > MAX_DOCUMENT_BYTES:
                    raise ValueError("the issuer's document is too large")
        document: dict[str, Any] = httpx.Response(200, content=bytes(body)).json()
        return document  # who finds no object here meets a TypeError or a KeyError, as of a member that lacks


def _origin(url: str) -> tuple[str, str | None, int | None]:
    """Scheme, host and port of `url` (RFC 6454). Raises ValueError for a port that is none."""
    parts = urlsplit(url)
    usual = {"https": 443, "http": 80}.get(parts.scheme)
    return parts.scheme, parts.hostname, parts.port or usual


def _trust(ca_file: Path | None) -> Any:
    if ca_file is None:
        return True
    import ssl

    try:
        return ssl.create_default_context(cafile=str(ca_file))
    except OSError as error:
        raise InvalidSettings(f"TRACE_OIDC_CA_FILE: cannot read {ca_file}: {error.strerror}") from error


def _usable(document: dict[str, Any]) -> dict[str, jwt.PyJWK]:
    """Signature keys by their id; a key of a kind we do not accept is left out, not an error (RFC 7517, 5)."""
    keys: dict[str, jwt.PyJWK] = {}
    for entry in document["keys"][:MAX_KEYS]:
        if (
            not isinstance(entry, dict)
            or entry.get("use", "sig") != "sig"
            or entry.get("kty") not in ("RSA", "EC", "OKP")
        ):
            continue
        try:
            keys[str(entry.get("kid", ""))] = jwt.PyJWK(entry)
        except jwt.PyJWTError:
            continue
    return keys


def _reason(error: jwt.InvalidTokenError) -> str:
    reasons = {
        jwt.ExpiredSignatureError: "it has expired",
        jwt.InvalidAudienceError: "it is for another audience",
        jwt.InvalidIssuerError: "it is from another issuer",
        jwt.InvalidSignatureError: "its signature is wrong",
        jwt.MissingRequiredClaimError: "it lacks a required claim (exp, iat, sub, iss, aud)",
        jwt.ImmatureSignatureError: "it is not valid yet",
    }
    return next((text for kind, text in reasons.items() if isinstance(error, kind)), "it cannot be verified")
