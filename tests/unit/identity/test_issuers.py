"""Several issuers at once, each with keys of its own."""

from __future__ import annotations

from collections.abc import AsyncIterator, Iterator

import jwt
import pytest

from tests.issuer import Issuer, issuer
from traceplane.errors import InvalidSettings, Unauthenticated
from traceplane.identity import issuers, oidc
from traceplane.identity.oidc import Subject
from traceplane.settings import Settings


@pytest.fixture
def first() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


@pytest.fixture
def second() -> Iterator[Issuer]:
    with issuer() as made:
        yield made


@pytest.fixture
async def verifier(first: Issuer, second: Issuer) -> AsyncIterator[issuers.Verifier]:
    made = issuers.verifier(Settings(oidc_issuer=first.url, oidc_other_issuers=f" {second.url} "))
    yield made
    await made.close()


async def test_each_issuers_tokens_name_subjects_of_that_issuer(
    verifier: issuers.Verifier, first: Issuer, second: Issuer
) -> None:
    assert await verifier.verify(first.token("alice")) == Subject(first.url, "alice")
    assert await verifier.verify(second.token("alice")) == Subject(second.url, "alice")


async def test_an_issuer_cannot_speak_for_another(
    verifier: issuers.Verifier, first: Issuer, second: Issuer
) -> None:
    with pytest.raises(Unauthenticated):
        await verifier.verify(second.token("alice", iss=first.url))


async def test_a_strange_issuer_is_refused_without_asking_anybody(
    verifier: issuers.Verifier, first: Issuer, second: Issuer
) -> None:
    for iss in ("https://strange.test", None, 7):
        with pytest.raises(Unauthenticated):
            await verifier.verify(first.token("alice", iss=iss) if iss != 7 else "x.y.z")
    assert (first.fetches, second.fetches) == (0, 0)


async def test_what_is_too_long_for_a_token_is_not_even_looked_at(
    verifier: issuers.Verifier, first: Issuer, monkeypatch: pytest.MonkeyPatch
) -> None:
    token = first.token("alice", note="x" * oidc.MAX_TOKEN_BYTES)
    monkeypatch.setattr(jwt, "decode", pytest.fail)
    with pytest.raises(Unauthenticated, match="too long"):
        await verifier.verify(token)


async def test_one_issuer_that_is_away_does_not_stop_the_other(
    verifier: issuers.Verifier, first: Issuer, second: Issuer
) -> None:
    first.down = True
    assert await verifier.verify(second.token("bob")) == Subject(second.url, "bob")


@pytest.mark.parametrize(
    ("others", "said"),
    [("https://a.test https://a.test", "twice"), (" ".join(f"https://{n}.test" for n in range(8)), "at most 7")],
)
def test_settings_that_cannot_be_meant_are_refused(others: str, said: str) -> None:
    with pytest.raises(InvalidSettings, match=f"TRACE_OIDC_OTHER_ISSUERS.*{said}"):
        issuers.verifier(Settings(oidc_issuer="https://first.test", oidc_other_issuers=others))
