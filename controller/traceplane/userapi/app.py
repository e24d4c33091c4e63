"""The user API as an ASGI application: the table of routes, each behind the same door.

The door is here once: bearer token, user, role. A path that is not in the table is 404 for everybody, before
anybody is asked who they are, so that there is nothing to find out by asking.
"""

from __future__ import annotations

import asyncio
import hashlib
from collections.abc import Awaitable, Callable

import orjson
from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import PlainTextResponse, Response
from starlette.routing import Route

from traceplane.identity import issuers, oidc
from traceplane.observe import audit
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.store.statements import tenancy
from traceplane.userapi.call import Call
from traceplane.userapi.routes import ROUTES, UserRoute
from traceplane.web import problems
from traceplane.web.principals import Principal, authenticate
from traceplane.web.rates import RateLimit


class UserApi:
    """The parts behind the routes. They open on first use, inside the loop that serves."""

    def __init__(self, settings: Settings, state: Database | None = None) -> None:
        self._settings = settings
        self._verifier = issuers.verifier(settings)
        self._rate = RateLimit(settings.user_rate_per_minute)
        self._given = state
        self._lock = asyncio.Lock()
        self._parts: tuple[issuers.Verifier, Database] | None = None

    async def parts(self) -> tuple[issuers.Verifier, Database]:
        """(verifier, state database)."""
        async with self._lock:
            if self._parts is None:
                state = self._given or Database(
                    self._settings.secret("state_dsn"),
                    application="trace-user-api",
                    pool_size=self._settings.pool_size,
                )
                self._parts = self._verifier, state
            return self._parts

    async def close(self) -> None:
        """Close what was opened here."""
        if self._parts is not None:
            await self._parts[0].close()
            if self._given is None:
                await self._parts[1].close()

    def endpoint(self, route: UserRoute) -> Callable[[Request], Awaitable[Response]]:
        """`route` as Starlette calls it."""

        async def answer(request: Request) -> Response:
            verifier, state = await self.parts()

            async def lookup(subject: oidc.Subject) -> Principal | None:
                async with state.autocommit() as connection:
                    found = await tenancy.principal(connection, tenancy.Identity(subject.issuer, subject.subject))
                if found is None or found.org_id != self._settings.org_id:
                    return None
                return Principal(found.user_id, found.org_id, frozenset(found.roles))

            principal = await authenticate(verifier, self._rate, lookup, problems.bearer(request), route.role)
            with audit.user_call(request.method, request.url.path, principal.user_id, principal.org_id):
                body = await route.handler(Call(request, principal, state, self._settings.namespace))
                return _answer(request, orjson.dumps(body, default=str))

        return answer


def _answer(request: Request, body: bytes) -> Response:
    """The answer of a route, with an entity tag (RFC 9110, 8.8.3); 304 where a reader has it already.

    It costs what the answer costs, but for the way: who looks again every few seconds gets nothing most of the
    time.
    """
    if request.method != "GET":
        return Response(body, media_type="application/json")
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    known = {part.strip().removeprefix("W/") for part in request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(None, 304, headers)
    return Response(body, headers=headers, media_type="application/json")


def app(settings: Settings, state: Database | None = None) -> Starlette:
    """The application. With `state` it uses that pool and leaves closing it to its owner."""
    api = UserApi(settings, state)
    routes = [Route(route.path, api.endpoint(route), methods=[route.method]) for route in ROUTES]

    async def healthy(request: Request) -> Response:
        return PlainTextResponse("ok\n")

    application = Starlette(
        routes=[*routes, Route("/healthz", healthy)], exception_handlers=dict(problems.HANDLERS)
    )
    application.router.redirect_slashes = False  # a path is in the table or it is not
    application.state.api = api
    return application
