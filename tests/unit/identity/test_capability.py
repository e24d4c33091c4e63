"""A capability token is believed as far as we signed it, for as long and for the attempts that it says."""

from __future__ import annotations

import base64
import hmac
import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any
from uuid import uuid4

import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa

from tests.integration.dispatch.callers import signing_key
from traceplane.errors import Forbidden, InvalidSettings, Unauthenticated
from traceplane.identity import prefixes
from traceplane.identity.capability import MAX_INLINE, Capabilities, parse_key
from traceplane.identity.grants import grants
from traceplane.identity.published_capability import PublishedCapabilities
from traceplane.settings import Settings

Claims = dict[str, Any]


class Clock:
    def __init__(self) -> None:
        self.now = time.time()

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    return Clock()


@pytest.fixture
def key(tmp_path: Path) -> bytes:
    (tmp_path / "key.pem").write_bytes(made := signing_key())
    return made


@pytest.fixture
def capabilities(tmp_path: Path, key: bytes, clock: Clock) -> Capabilities:
    return Capabilities(tmp_path / "key.pem", issuer="trace", clock=clock)


def minted(capabilities: Capabilities, tasks: int = 1) -> str:
    return capabilities.mint(
        claim_id=uuid4(),
        org_id=uuid4(),
        job_id=uuid4(),
        tasks=[(str(uuid4()), 1) for _ in range(tasks)],
        grants=grants([(str(uuid4()), str(uuid4()))], ["s3://bucket/read/"], ["s3://bucket/write/"]),
        seconds=60,
    )


def claims_of(token: str) -> Claims:
    claims: Claims = jwt.decode(token, options={"verify_signature": False})
    return claims


def changed(good: Claims, drop: str | None = None, **claims: Any) -> Claims:
    return {name: value for name, value in {**good, **claims}.items() if name != drop}


FORGERIES: list[tuple[str, Callable[[Claims], Claims]]] = [
    *((f"without {name}", lambda good, name=name: changed(good, drop=name)) for name in (
        "iss", "aud", "sub", "exp", "iat", "org_id", "job", "tasks", "datasets", "s3")),
    ("other issuer", lambda good: changed(good, iss="somebody")),
    ("other audience", lambda good: changed(good, aud="trace.user")),
    ("list of audiences", lambda good: changed(good, aud=["trace.task", "x"])),
    ("expired", lambda good: changed(good, exp=int(time.time()) - 1)),
    ("expiry as text", lambda good: changed(good, exp=str(good["exp"]))),
    ("subject of a user", lambda good: changed(good, sub="user:1")),
    ("wildcard prefix", lambda good: changed(good, s3={"read_prefixes": ["s3://b/*/"], "write_prefixes": []})),
    ("parent prefix", lambda good: changed(good, s3={"read_prefixes": [], "write_prefixes": ["s3://b/a/../"]})),
    ("whole bucket", lambda good: changed(good, s3={"read_prefixes": [], "write_prefixes": ["s3://b/"]})),
    ("unknown claim", lambda good: changed(good, admin=True)),
    ("unknown scope", lambda good: changed(good, scope="everything")),
    ("attempt 0", lambda good: changed(good, tasks=[{"task_id": str(uuid4()), "attempt": 0}])),
]  # fmt: skip


@pytest.mark.parametrize(("what", "forge"), FORGERIES, ids=[name for name, _ in FORGERIES])
def test_a_token_signed_by_us_with_a_wrong_claim_is_refused(
    capabilities: Capabilities, key: bytes, what: str, forge: Callable[[Claims], Claims]
) -> None:
    kid = capabilities.jwks()["keys"][0]["kid"]
    good = claims_of(minted(capabilities))
    assert capabilities.verify(jwt.encode(good, key, "ES256", headers={"kid": kid})).job == good["job"]
    with pytest.raises(Unauthenticated) as refused:
        capabilities.verify(jwt.encode(forge(good), key, "ES256", headers={"kid": kid}))
    assert refused.value.code == "BadCapability"


def signed_with_hmac(claims: Claims, secret: bytes, kid: str) -> str:
    """By hand: PyJWT refuses to misuse a public key as a secret."""
    parts = [json.dumps(part).encode() for part in ({"alg": "HS256", "typ": "JWT", "kid": kid}, claims)]
    signed = b".".join(base64.urlsafe_b64encode(part).rstrip(b"=") for part in parts)
    mac = base64.urlsafe_b64encode(hmac.digest(secret, signed, "sha256")).rstrip(b"=")
    return (signed + b"." + mac).decode()


def test_other_algorithms_and_keys_are_refused(capabilities: Capabilities, key: bytes) -> None:
    public = serialization.load_pem_private_key(key, None).public_key()
    secret = public.public_bytes(serialization.Encoding.DER, serialization.PublicFormat.SubjectPublicKeyInfo)
    kid = capabilities.jwks()["keys"][0]["kid"]
    token = minted(capabilities)
    good, (head, payload, signature) = claims_of(token), token.split(".")
    forgeries = [
        None,
        "",
        jwt.encode(good, None, "none", headers={"kid": kid}),
        signed_with_hmac(good, secret, kid),
        jwt.encode(good, signing_key(), "ES256", headers={"kid": kid}),
        jwt.encode(good, signing_key(), "ES256", headers={"kid": "unknown"}),
        jwt.encode(good, signing_key(), "ES256"),
        f"{head}.{payload}.{signature[:-4]}AAAA",
        f"{head}.{payload}.",
        "x" * 20_000,
    ]
    for forged in forgeries:
        with pytest.raises(Unauthenticated) as refused:
            capabilities.verify(forged)
        assert refused.value.code == "BadCapability"


def test_what_is_too_long_for_a_token_is_not_even_looked_at(
    capabilities: Capabilities, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(jwt, "get_unverified_header", pytest.fail)
    with pytest.raises(Unauthenticated, match="present the task's token"):
        capabilities.verify("x" * 20_000)


@pytest.mark.parametrize("again", [True, False], ids=["remembered", "verified anew"])
def test_a_token_ends_when_it_says(
    capabilities: Capabilities, clock: Clock, tmp_path: Path, again: bool, key: bytes
) -> None:
    token = minted(capabilities)
    clock.now += 58
    assert capabilities.verify(token).exp > clock.now
    clock.now += 2
    judge = capabilities if again else Capabilities(tmp_path / "key.pem", issuer="trace", clock=clock)
    with pytest.raises(Unauthenticated, match="has expired"):
        judge.verify(token)


def test_a_token_is_good_for_the_attempts_that_it_names(capabilities: Capabilities) -> None:
    claims = capabilities.verify(minted(capabilities, tasks=2))
    first, second = ((task.task_id, task.attempt) for task in claims.tasks)
    claims.require([first, second])
    for task, attempt in ((first[0], 2), (str(uuid4()), 1)):
        with pytest.raises(Forbidden) as refused:
            claims.require([first, (task, attempt)])
        assert refused.value.code == "NotCovered"


def test_a_token_of_more_attempts_than_it_names_leaves_them_to_its_claim(capabilities: Capabilities) -> None:
    claims = capabilities.verify(minted(capabilities, tasks=MAX_INLINE + 1))
    assert not claims.tasks
    claims.require([(str(uuid4()), 1)])


async def test_a_task_without_a_token_is_told_where_to_present_it() -> None:
    published = PublishedCapabilities(Settings())
    for nothing in (None, ""):
        with pytest.raises(Unauthenticated, match="X-Trace-Task-Capability") as refused:
            await published.verify(nothing)
        assert refused.value.code == "BadCapability"
    await published.close()


def test_only_keys_that_sign_as_our_tokens_are_signed_are_taken() -> None:
    others = [ec.generate_private_key(ec.SECP384R1()), rsa.generate_private_key(65537, 2048)]
    plain = serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    for private in others:
        with pytest.raises(InvalidSettings, match="TRACE_CAPABILITY_KEY_FILE: the key must be an EC key on P-256"):
            parse_key(private.private_bytes(*plain))
    with pytest.raises(InvalidSettings, match="TRACE_CAPABILITY_KEY_FILE: not an unencrypted PEM"):
        parse_key(b"no key")


def test_credentials_for_no_prefix_would_be_for_all_and_are_refused() -> None:
    with pytest.raises(prefixes.Refused) as refused:
        prefixes.session_policy([], [])
    assert refused.value.code == "NoPrefixes"
