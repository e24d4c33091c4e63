"""Capability tokens: what a task's code may do, signed by the dispatcher.

A token names the claim it was made for, the attempts it covers, the dataset versions and prefixes they may touch,
and nothing else counts: neither the caller's address nor what it says about itself. It is an ES256 JWT (RFC 7519,
RFC 7518 section 3.4), one per claim, because a signature costs more than the rest of a small claim. Up to
`MAX_INLINE` attempts stand in the token; past that `tasks` is empty and the claim's id, which every statement
checks against the row, stands for them. A large scope is left to the claim's id as well: see `grants`.

Minting puts the JWT together itself; verifying is PyJWT's, with algorithm, issuer and audience pinned and every
claim required. Tokens that this process signed or verified are remembered, a bounded number of them.
Two keys verify during a rotation, found by `kid` (RFC 7638 thumbprint).
"""

from __future__ import annotations

import base64
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any
from uuid import UUID

import jwt
import msgspec
import orjson
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.hazmat.primitives.asymmetric.utils import decode_dss_signature
from jwt.algorithms import ECAlgorithm

from traceplane.errors import Forbidden, InvalidSettings, Unauthenticated
from traceplane.identity import prefixes
from traceplane.identity.grants import DatasetVersion, Grants, Id, Prefixes, Scope
from traceplane.identity.mounted import Mounted

AUDIENCE = "trace.task"
MAX_INLINE = 32
MAX_TOKEN_BYTES = 16 * 1024
REMEMBERED = 4096
_SHA256 = ec.ECDSA(hashes.SHA256())


class TaskAttempt(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """One attempt that a token covers."""

    task_id: Id
    attempt: Annotated[int, msgspec.Meta(ge=1)]


class TaskToken(msgspec.Struct, frozen=True, forbid_unknown_fields=True, omit_defaults=True):
    """All claims of a capability token; every one but `scope` is required. `iat` and `exp` in seconds since 1970.

    With `scope`, `datasets` is empty and `s3` holds no more than what the claim adds to its generation's prefixes.
    """

    iss: str
    aud: str
    sub: Annotated[str, msgspec.Meta(pattern="^claim:[0-9a-f-]{36}$")]
    iat: int
    exp: int
    org_id: Id
    job: Id
    tasks: Annotated[list[TaskAttempt], msgspec.Meta(max_length=MAX_INLINE)]
    datasets: list[DatasetVersion]
    s3: Prefixes
    scope: Scope | None = None

    @property
    def claim_id(self) -> str:
        """Id of the claim that the token was made for."""
        return self.sub.removeprefix("claim:")

    def require(self, attempts: Iterable[tuple[str, int]]) -> None:
        """Raise Forbidden unless the token names these attempts (a large claim leaves that to its id)."""
        if not self.tasks:
            return
        covered = {(task.task_id, task.attempt) for task in self.tasks}
        for task_id, attempt in attempts:
            if (task_id, attempt) not in covered:
                raise Forbidden(f"the token does not cover task {task_id}, attempt {attempt}", code="NotCovered")


@dataclass(frozen=True, slots=True)
class Key:
    """An EC P-256 key. `header` is the encoded JWT header of what it signs."""

    kid: str
    private: ec.EllipticCurvePrivateKey
    header: bytes
    jwk: dict[str, str]


class Capabilities:
    """Mints and verifies tokens with the current key, and verifies with the previous one."""

    def __init__(
        self,
        current: Path,
        previous: Path | None = None,
        *,
        issuer: str,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._current = Mounted(current, parse_key)
        # There during a rotation only, which begins and ends while we run: the key before, or the one to come.
        self._previous: Mounted[Key | None] | None = (
            None if previous is None else Mounted(previous, parse_key, absent=lambda: None)
        )
        self._signing = self._current.value
        self._issuer = issuer
        self._clock = clock
        self._verified: OrderedDict[str, tuple[str, TaskToken]] = OrderedDict()

    def mint(
        self,
        *,
        claim_id: UUID,
        org_id: UUID,
        job_id: UUID,
        tasks: Sequence[tuple[str, int]],
        grants: Grants,
        seconds: float,
    ) -> str:
        """A token for one claim, valid for `seconds`. `grants` is the job's part, from `grants()`."""
        now = int(self._clock())
        inline = tasks if len(tasks) <= MAX_INLINE else ()
        return self._signed(
            TaskToken(
                iss=self._issuer,
                aud=AUDIENCE,
                sub=f"claim:{claim_id}",
                iat=now,
                exp=now + int(seconds),
                org_id=str(org_id),
                job=str(job_id),
                tasks=[TaskAttempt(task, attempt) for task, attempt in inline],
                datasets=grants.datasets,
                s3=grants.s3,
                scope=grants.scope,
            )
        )

    def renew(self, claims: TaskToken, *, seconds: float) -> str:
        """The same token, valid for `seconds` from now."""
        now = int(self._clock())
        return self._signed(msgspec.structs.replace(claims, iat=now, exp=now + int(seconds)))

    def verify(self, token: str | None) -> TaskToken:
        """The claims of a valid token. Raises Unauthenticated for any other, and says little about why."""
        if not token or len(token) > MAX_TOKEN_BYTES:
            raise Unauthenticated("present the task's token in X-Trace-Task-Capability", code="BadCapability")
        keys = self._keys()
        known = self._verified.get(token)
        if known is not None and known[0] in keys:
            if known[1].exp <= self._clock():
                raise Unauthenticated("the capability token has expired", code="BadCapability")
            self._verified.move_to_end(token)
            return known[1]
        kid, claims = self._verify(token, keys)
        self._remember(token, kid, claims)
        return claims

    def jwks(self) -> dict[str, list[dict[str, str]]]:
        """Public keys that verify tokens now (RFC 7517), the current one first."""
        return {"keys": [key.jwk for key in self._keys().values()]}

    def now(self) -> float:
        """Seconds since 1970, of the clock that judges expiry."""
        return self._clock()

    def _key(self) -> Key:
        """The key that signs. Where it was replaced just now, the file of the key before is looked at, too: the two
        change together, and tokens of the replaced key stay valid."""
        current = self._current.value
        if current is not self._signing:
            self._signing = current
            if self._previous is not None:
                self._previous.look()
        return current

    def _keys(self) -> dict[str, Key]:
        current = self._key()
        keys = {current.kid: current}
        previous = self._previous.value if self._previous is not None else None
        if previous is not None:
            keys.setdefault(previous.kid, previous)
        return keys

    def _looked_again(self) -> dict[str, Key]:
        """The keys as the files have them now: another dispatcher may sign with one that we have not read yet."""
        self._current.look()
        if self._previous is not None:
            self._previous.look()
        return self._keys()

    def _signed(self, claims: TaskToken) -> str:
        """The token of `claims`; what we signed ourselves need not be verified when it comes back."""
        key = self._key()
        signed = key.header + b"." + _b64(msgspec.json.encode(claims))
        r, s = decode_dss_signature(key.private.sign(signed, _SHA256))
        token = (signed + b"." + _b64(r.to_bytes(32, "big") + s.to_bytes(32, "big"))).decode()
        self._remember(token, key.kid, claims)
        return token

    def _remember(self, token: str, kid: str, claims: TaskToken) -> None:
        self._verified[token] = (kid, claims)
        if len(self._verified) > REMEMBERED:
            self._verified.popitem(last=False)

    def _verify(self, token: str, keys: dict[str, Key]) -> tuple[str, TaskToken]:
        try:
            kid = jwt.get_unverified_header(token).get("kid")
            key = keys.get(kid) or self._looked_again().get(kid) if isinstance(kid, str) else None
            if key is None:
                raise jwt.InvalidTokenError("unknown key")
            # exp is judged below, against the same clock that minted it
            body = jwt.decode_complete(
                token,
                key.private.public_key(),
                algorithms=["ES256"],
                issuer=self._issuer,
                audience=AUDIENCE,
                options={"require": ["iss", "aud", "sub", "exp", "iat"], "verify_exp": False, "verify_iat": False},
            )["payload"]
            claims = msgspec.convert(body, TaskToken, strict=True)
            for prefix in (*claims.s3.read_prefixes, *claims.s3.write_prefixes):
                prefixes.parse(prefix)
        except (jwt.InvalidTokenError, msgspec.ValidationError, prefixes.BadPrefix) as error:
            raise Unauthenticated("the capability token is not valid", code="BadCapability") from error
        if claims.exp <= self._clock():
            raise Unauthenticated("the capability token has expired", code="BadCapability")
        return key.kid, claims


def parse_key(pem: bytes) -> Key:
    """A PEM private key on P-256. Raises InvalidSettings without showing any of it."""
    try:
        private: Any = serialization.load_pem_private_key(pem, password=None)
    except (ValueError, TypeError) as error:
        raise InvalidSettings("TRACE_CAPABILITY_KEY_FILE: not an unencrypted PEM private key") from error
    if not isinstance(private, ec.EllipticCurvePrivateKey) or not isinstance(private.curve, ec.SECP256R1):
        raise InvalidSettings("TRACE_CAPABILITY_KEY_FILE: the key must be an EC key on P-256")
    public: dict[str, str] = ECAlgorithm.to_jwk(private.public_key(), as_dict=True)
    needed = {name: public[name] for name in ("crv", "kty", "x", "y")}
    digest = hashes.Hash(hashes.SHA256())
    digest.update(orjson.dumps(needed, option=orjson.OPT_SORT_KEYS))
    kid = _b64(digest.finalize()).decode()
    header = _b64(orjson.dumps({"alg": "ES256", "kid": kid, "typ": "JWT"}))
    return Key(kid, private, header, {**needed, "kid": kid, "use": "sig", "alg": "ES256"})


def _b64(raw: bytes) -> bytes:
    return base64.urlsafe_b64encode(raw).rstrip(b"=")
