"""How a request proves whom it comes from: an OIDC token of a user, a task's capability token, or the worker token.

Every route names its scheme, and its handler is not called before the scheme has accepted the request. A denied
request is one line in the audit log and one count.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from enum import Enum
from typing import Any, Protocol

from starlette.requests import Request

from traceplane.errors import Forbidden, Overloaded, TraceError, Unauthenticated
from traceplane.identity.capability import TaskToken
from traceplane.identity.issuers import Verifier
from traceplane.identity.oidc import Subject
from traceplane.identity.worker_token import WorkerTokens
from traceplane.observe import audit
from traceplane.web.principals import Principal, needs
from traceplane.web.rates import RateLimit, RateLimited


class Scheme(Enum):
    """How the caller of a route proves its identity; the value is the header that holds the proof."""

    USER = "Authorization"
    TASK = "X-Trace-Task-Capability"
    WORKER = "X-Trace-Worker-Token"
    NONE = ""


Authenticate = Callable[[Request, str], Awaitable[Any]]
"""The caller of a request that needs a role. Raises Unauthenticated, Forbidden or RateLimited."""


class Lookup(Protocol):
    """Where users are looked up."""

    async def __call__(self, subject: Subject) -> Principal | None:
        """The user that `subject` names; None where no admin entered it. Raises Unavailable."""


def users(verifier: Verifier, rate: RateLimit, lookup: Lookup) -> Authenticate:
    """Users by their bearer tokens, of whom each may call so often."""

    async def authenticate(request: Request, role: str) -> Principal:
        subject = await verifier.verify(bearer(request))
        try:
            # Before the lookup: an issuer may know many people who are no users here, and each would cost a query.
            rate.take(subject)
            principal = await lookup(subject)
            if principal is None:
                raise Forbidden(
                    f"{subject.subject!r} is not a user here; an admin adds it with `tracectl admin user add`"
                )
            needs(principal, role)
        except (Forbidden, Overloaded) as error:
            error.caller = f"{subject.issuer}|{subject.subject}"
            raise
        return principal

    return authenticate


def tasks(verify: Callable[[str | None], Awaitable[TaskToken]], rate: RateLimit | None = None) -> Authenticate:
    """Tasks by their capability tokens; where `rate` is given, each job may call so often."""

    async def authenticate(request: Request, _role: str) -> TaskToken:
        token = await verify(request.headers.get(Scheme.TASK.value))
        if rate is not None:
            rate.take(token.job, caller=f"job {token.job}")
        return token

    return authenticate


def workers(tokens: WorkerTokens) -> Authenticate:
    """Workers by the token that all of them share, which names none of them."""

    async def authenticate(request: Request, _role: str) -> None:
        tokens.check(request.headers.get(Scheme.WORKER.value))

    return authenticate


def bearer(request: Request) -> str:
    """The token of `Authorization: Bearer`. Raises Unauthenticated."""
    scheme, _, token = request.headers.get(Scheme.USER.value, "").partition(" ")
    if scheme.lower() != "bearer" or not token.strip():
        raise Unauthenticated("send a token as `Authorization: Bearer ...`")
    return token.strip()


def record_denial(request: Request, error: TraceError) -> None:
    """Audit and count a request that was refused for its caller, or for how often it calls; nothing for others."""
    if isinstance(error, Unauthenticated | Forbidden | RateLimited):
        audit.denied(code=error.code, method=request.method, path=request.url.path, who=error.caller)
