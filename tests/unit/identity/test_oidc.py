"""Users' tokens against a real issuer on loopback, with keys of its own."""

from __future__ import annotations

import base64
import json
import time
from collections.abc import AsyncIterator, Callable, Iterator
from pathlib import Path
from typing import Any

import httpx
import jwt
import pytest
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec

from tests.issuer import AUDIENCE, Issuer, issuer
from traceplane.errors import InvalidSettings, Unauthenticated, Unavailable
from traceplane.identity import oidc
from traceplane.settings import Settings


@pytest.fixture
def running() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


@pytest.fixture
async def verifier(running: Issuer) -> AsyncIterator[Callable[..., oidc.TokenVerifier]]:
    made: list[oidc.TokenVerifier] = []

    def make(clock: Callable[[], float] = time.monotonic, **changed: Any) -> oidc.TokenVerifier:
        config = {
            "issuer": running.url,
            "audience": AUDIENCE,
            "jwks_url": None,
            "ca_file": None,
            "bearer_file": None,
            "min_refresh_seconds": 60,
            **changed,
        }
        made.append(oidc.TokenVerifier(oidc.IssuerConfig(**config), clock))
        return made[-1]

    yield make
    for one in made:
        await one.close()


async def test_a_valid_token_names_its_subject(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    assert await verifier().verify(running.token("alice")) == oidc.Subject(running.url, "alice")
    assert await verifier().verify(running.token("alice", aud=["other", AUDIENCE])) == oidc.Subject(
        running.url, "alice"
    )


@pytest.mark.parametrize(
    "claims",
    [
        {"exp": 1},
        {"exp": None},
        {"iat": None},
        {"sub": None},
        {"aud": None},
        {"aud": "trace.task"},
        {"aud": []},
        {"iss": None},
        {"iss": "https://elsewhere"},
        {"nbf": 99999999999},
        {"iat": 99999999999},
    ],
    ids=str,
)
async def test_a_wrong_claim_is_refused(
    claims: dict[str, Any], running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    with pytest.raises(Unauthenticated):
        await verifier().verify(running.token("alice", **claims))


async def test_only_asymmetric_algorithms_count(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    one = verifier()
    await one.verify(running.token("alice"))
    public = (
        running.keys["first"]
        .public_key()
        .public_bytes(serialization.Encoding.PEM, serialization.PublicFormat.SubjectPublicKeyInfo)
    )
    now = int(time.time())
    body = {"iss": running.url, "aud": AUDIENCE, "sub": "alice", "iat": now, "exp": now + 60}
    part = lambda value: base64.urlsafe_b64encode(json.dumps(value).encode()).rstrip(b"=")  # noqa: E731
    import hashlib
    import hmac

    signed = part({"alg": "HS256", "kid": "first"}) + b"." + part(body)
    mac = base64.urlsafe_b64encode(hmac.new(public, signed, hashlib.sha256).digest()).rstrip(b"=")
    unsigned = part({"alg": "none", "kid": "first"}) + b"." + part(body) + b"."
    for token in (signed + b"." + mac, unsigned, running.token("alice").encode()[:-8] + b"AAAAAAAA"):
        with pytest.raises(Unauthenticated):
            await one.verify(token.decode())


@pytest.mark.parametrize(
    "token", ["", "x", "a.b.c", "." * 100, "x" * 20_000, "eyJhbGciOiJFUzI1NiJ9..", "\u00e9.\u00e9.\u00e9"]
)
async def test_garbage_is_refused(token: str, verifier: Callable[..., oidc.TokenVerifier]) -> None:
    with pytest.raises(Unauthenticated):
        await verifier().verify(token)


async def test_a_token_that_is_too_long_or_of_another_algorithm_costs_no_request(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    one = verifier()
    secret = "s" * 32
    for token in (
        running.token("alice", note="x" * oidc.MAX_TOKEN_BYTES),
        running.token("alice", key=secret, algorithm="HS256"),
    ):
        with pytest.raises(Unauthenticated):
            await one.verify(token)
    assert running.fetches == 0


async def test_a_key_of_somebody_else_is_refused(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    foreign = ec.generate_private_key(ec.SECP256R1())
    with pytest.raises(Unauthenticated):
        await verifier().verify(running.token("alice", kid="first", key=foreign))


async def test_rotation_is_noticed_and_unknown_keys_do_not_hammer_the_issuer(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    eager = verifier(min_refresh_seconds=0.0001)
    await eager.verify(running.token("alice"))
    old = running.token("alice")
    running.rotate("second")
    await eager.verify(running.token("alice"))
    with pytest.raises(Unauthenticated):
        await eager.verify(old)
    calm = verifier(min_refresh_seconds=60)
    await calm.verify(running.token("alice"))
    fetched = running.fetches
    for number in range(20):
        with pytest.raises(Unauthenticated):
            await calm.verify(running.token("alice", kid=f"made-up-{number}", key=running.keys["second"]))
    assert running.fetches == fetched


async def test_known_keys_go_on_working_while_the_issuer_is_away(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    warm, cold = verifier(min_refresh_seconds=0.0001), verifier()
    await warm.verify(running.token("alice"))
    running.down = True
    assert (await warm.verify(running.token("bob"))).subject == "bob"
    with pytest.raises(Unavailable):
        await cold.verify(running.token("alice"))


class Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


async def test_a_withdrawn_key_stops_working_within_a_bounded_time(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    clock = Clock()
    one = verifier(clock)
    old = running.token("alice")
    await one.verify(old)
    running.rotate("second")
    clock.now += oidc.MAX_KEY_AGE_SECONDS - 1
    await one.verify(old)
    clock.now += 2
    with pytest.raises(Unauthenticated):
        await one.verify(old)


async def test_known_keys_do_not_outlive_a_long_absence_of_the_issuer(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    clock = Clock()
    one = verifier(clock)
    await one.verify(running.token("alice"))
    running.down = True
    clock.now += oidc.MAX_STALE_SECONDS - 1
    await one.verify(running.token("alice"))
    clock.now += 2
    with pytest.raises(Unavailable):
        await one.verify(running.token("alice"))
    running.down = False
    clock.now += 61
    await one.verify(running.token("alice"))


async def test_an_issuer_that_is_back_is_asked_soon(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    clock = Clock()
    one = verifier(clock)
    running.down = True
    with pytest.raises(Unavailable):
        await one.verify(running.token("alice"))
    running.down = False
    with pytest.raises(Unavailable):  # not at every call of everybody
        await one.verify(running.token("alice"))
    clock.now += oidc.RETRY_SECONDS
    await one.verify(running.token("alice"))


async def test_an_issuer_that_does_not_come_to_an_end_is_given_up(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    """Each byte comes in time; all of them together do not."""
    monkeypatch.setattr(oidc, "FETCH_SECONDS", 0.5)
    one = verifier()
    running.dribble_seconds = 0.02
    with pytest.raises(Unavailable):
        await one.verify(running.token("alice"))


async def test_a_missing_token_of_our_own_is_an_absence_not_a_defect(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier], tmp_path: Path
) -> None:
    with pytest.raises(Unavailable):
        await verifier(bearer_file=tmp_path / "none").verify(running.token("alice"))


@pytest.mark.parametrize(
    "document", [[], "x", 1, None, {}, {"keys": None}, {"keys": ["x", 1, None]}, {"keys": [{"kty": "EC"}]}], ids=str
)
async def test_a_document_without_usable_keys_is_an_absence_too(
    document: Any,
    running: Issuer,
    verifier: Callable[..., oidc.TokenVerifier],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(running, "jwks", lambda: document)
    with pytest.raises(Unavailable):
        await verifier().verify(running.token("alice"))
    running.keys_at = "http://\x7f/keys"
    with pytest.raises(Unavailable):
        await verifier().verify(running.token("alice"))


async def test_our_own_token_goes_only_to_the_issuer_and_the_configured_address(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier], tmp_path: Path
) -> None:
    file = tmp_path / "token"
    file.write_text("pod-token")
    with issuer() as elsewhere:
        elsewhere.keys = running.keys
        running.keys_at = f"{elsewhere.url}/keys"
        await verifier(bearer_file=file).verify(running.token("alice"))
        assert elsewhere.bearers == [None]
        await verifier(bearer_file=file, jwks_url=f"{elsewhere.url}/keys").verify(running.token("alice"))
        assert elsewhere.bearers == [None, "Bearer pod-token"]
    running.keys_at = None
    await verifier(bearer_file=file).verify(running.token("alice"))
    assert running.bearers == ["Bearer pod-token"]


async def test_the_issuer_may_want_our_own_token(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier], tmp_path: Path
) -> None:
    running.require_bearer = "pod-token"
    with pytest.raises(Unavailable):
        await verifier().verify(running.token("alice"))
    file = tmp_path / "token"
    file.write_text("pod-token\n")
    direct = verifier(bearer_file=file, jwks_url=f"{running.url}/keys")
    assert (await direct.verify(running.token("alice"))).subject == "alice"


async def test_a_discovery_document_of_another_issuer_is_not_believed(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    with pytest.raises(Unavailable):
        await verifier(issuer=running.url + "/").verify(running.token("alice"))


async def test_a_document_beyond_the_bound_is_not_read(
    running: Issuer, verifier: Callable[..., oidc.TokenVerifier], monkeypatch: pytest.MonkeyPatch
) -> None:
    large = {**running.jwks(), "note": "x" * oidc.MAX_DOCUMENT_BYTES}
    monkeypatch.setattr(running, "jwks", lambda: large)
    with pytest.raises(Unavailable):
        await verifier().verify(running.token("alice"))


@pytest.mark.parametrize(("scheme", "believed"), [("https", True), ("http", False)])
async def test_keys_of_a_secured_issuer_are_not_fetched_without_security(
    scheme: str, believed: bool, running: Issuer, verifier: Callable[..., oidc.TokenVerifier]
) -> None:
    url, asked = "https://issuer.test", []

    def answer(request: httpx.Request) -> httpx.Response:
        asked.append(str(request.url))
        discovery = {"issuer": url, "jwks_uri": f"{scheme}://issuer.test/keys"}
        return httpx.Response(200, json=running.jwks() if request.url.path == "/keys" else discovery)

    one = verifier(issuer=url)
    await one._client.aclose()
    one._client = httpx.AsyncClient(transport=httpx.MockTransport(answer))
    if believed:
        assert (await one.verify(running.token("alice", iss=url))).subject == "alice"
    else:
        with pytest.raises(Unavailable):
            await one.verify(running.token("alice", iss=url))
    assert (f"{scheme}://issuer.test/keys" in asked) == believed


def test_the_clusters_issuer_is_read_from_the_pods_own_token(tmp_path: Path) -> None:
    key = ec.generate_private_key(ec.SECP256R1())
    file = tmp_path / "token"
    file.write_text(jwt.encode({"iss": "https://kubernetes.default.svc.cluster.local"}, key, "ES256"))
    found = oidc.configured(Settings(oidc_bearer_file=file, oidc_issuer=""))
    assert found.issuer == "https://kubernetes.default.svc.cluster.local"
    assert found.jwks_url == oidc.CLUSTER_JWKS
    assert found.bearer_file == file


def test_without_an_issuer_the_remedy_is_named(tmp_path: Path) -> None:
    with pytest.raises(InvalidSettings, match="TRACE_OIDC_ISSUER"):
        oidc.configured(Settings(oidc_bearer_file=tmp_path / "none"))
