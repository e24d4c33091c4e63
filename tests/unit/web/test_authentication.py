"""Who a user is, and whether it may: refused before a handler is called, with the remedy."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from uuid import UUID

import pytest
from starlette.requests import Request

from traceplane.errors import Forbidden, Unauthenticated
from traceplane.identity.oidc import Subject
from traceplane.identity.worker_token import WorkerTokens
from traceplane.web.authentication import bearer, users, workers
from traceplane.web.principals import Principal

SUBJECT = Subject("https://issuer", "alice")


def request(authorization: str | None = "Bearer token") -> Request:
    headers = [] if authorization is None else [(b"authorization", authorization.encode())]
    return Request({"type": "http", "headers": headers})


class Anybody:
    """A verifier that believes every token, and a rate that knows no limit."""

    async def verify(self, _token: str) -> Subject:
        return SUBJECT

    def take(self, _subject: Subject) -> None:
        return None


async def authenticated(role: str, *roles: str, known: bool = True) -> Principal:
    """The caller of a route that needs `role`, a user with `roles`."""
    principal = Principal(UUID(int=1), UUID(int=2), frozenset(roles))

    async def lookup(_subject: Subject) -> Principal | None:
        return principal if known else None

    anybody: Any = Anybody()
    found: Principal = await users(anybody, anybody, lookup)(request(), role)
    return found


@pytest.mark.parametrize(("role", "granted"), [("reader", "reader"), ("reader", "admin"), ("writer", "admin")])
async def test_a_user_with_the_role_or_a_higher_one_is_let_in(role: str, granted: str) -> None:
    assert (await authenticated(role, granted)).roles == {granted}


@pytest.mark.parametrize(("role", "granted"), [("writer", "reader"), ("admin", "writer"), ("reader", "research")])
async def test_a_user_without_the_role_is_refused_with_the_remedy(role: str, granted: str) -> None:
    with pytest.raises(Forbidden, match="tracectl admin role grant") as refused:
        await authenticated(role, granted)
    assert refused.value.caller == "https://issuer|alice"


async def test_somebody_whom_no_admin_entered_is_refused_with_the_remedy() -> None:
    with pytest.raises(Forbidden, match="'alice' is not a user here") as refused:
        await authenticated("reader", known=False)
    assert refused.value.caller == "https://issuer|alice"


@pytest.mark.parametrize("header", [None, "", "Bearer", "Bearer   ", "Basic dXNlcg==", "token"])
def test_a_request_without_a_bearer_token_is_refused(header: str | None) -> None:
    with pytest.raises(Unauthenticated):
        bearer(request(header))


def test_the_scheme_is_read_in_any_case() -> None:
    assert bearer(request("bearer  token ")) == "token"


async def test_a_worker_is_let_in_by_a_token_of_the_file_alone(tmp_path: Path) -> None:
    (tmp_path / "tokens").write_text("the token of all the workers\n")
    authenticate = workers(WorkerTokens(tmp_path / "tokens"))

    def presenting(token: str) -> Request:
        return Request({"type": "http", "headers": [(b"x-trace-worker-token", token.encode())]})

    assert await authenticate(presenting("the token of all the workers"), "") is None
    for wrong in (presenting("another token of this length"), request()):
        with pytest.raises(Unauthenticated):
            await authenticate(wrong, "")
