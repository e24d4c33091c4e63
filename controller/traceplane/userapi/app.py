"""The user API as an ASGI application."""

from __future__ import annotations

import hashlib
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import orjson
from starlette.applications import Starlette
from starlette.responses import PlainTextResponse, Response

from traceplane.dispatch.health import Part
from traceplane.identity import issuers
from traceplane.identity.oidc import Subject
from traceplane.observe import audit
from traceplane.settings import UserApiSettings
from traceplane.store.engine import Database
from traceplane.store.statements import tenancy
from traceplane.userapi.call import Call
from traceplane.userapi.routes import HANDLERS, ROUTES
from traceplane.web import authentication, routes
from traceplane.web.authentication import Scheme
from traceplane.web.bodies import Bodies
from traceplane.web.principals import Principal
from traceplane.web.rates import RateLimit

MAX_BODY_BYTES = 512 * 1024
"""Of a definition of as many jobs as a DAG may have."""

STATE_SECONDS = 3.0
"""Longest wait of a request for the state database, before it is answered 503: a person waits for it."""


class UserApi:
    """The parts behind the routes. `state` is open while the application serves; `parts` are for its health."""

    state: Database

    def __init__(self, settings: UserApiSettings, parts: Sequence[Part]) -> None:
        self._settings = settings
        self._parts = parts
        self.verifier = issuers.verifier(settings)

    @asynccontextmanager
    async def lifespan(self, _app: Starlette) -> AsyncIterator[None]:
        """Open the database inside the loop that serves, and close everything at the end."""
        self.state = Database(
            self._settings.read_state_dsn(),
            application="trace-user-api",
            pool_size=self._settings.pool_size,
            wait_seconds=STATE_SECONDS,
        )
        try:
            yield
        finally:
            await self.verifier.close()
            await self.state.close()

    async def lookup(self, subject: Subject) -> Principal | None:
        """The user that `subject` names, if it belongs to this organisation."""
        async with self.state.autocommit() as connection:
            found = await tenancy.principal(connection, tenancy.Identity(subject.issuer, subject.subject))
        if found is None or found.org_id != self._settings.org_id:
            return None
        return Principal(found.user_id, found.org_id, frozenset(found.roles))

    def handler(self, route: routes.Route) -> routes.Handler:
        """`route` as the web layer calls it: its handler's answer as JSON, with an audit line."""
        if route.scheme is Scheme.NONE:
            return self._healthz
        answer = HANDLERS[route.call]

        async def handle(call: routes.Call[Principal, Any]) -> Response:
            request, user = call.request, call.caller
            with audit.user_call(request.method, request.url.path, user.user_id, user.org_id):
                body = await answer(Call(request, user, self.state, self._settings, self._parts, call.body))
                return _answer(call, orjson.dumps(body, default=str))

        return handle

    async def _healthz(self, _call: routes.Call[None, None]) -> Response:
        return PlainTextResponse("ok\n")


def _answer(call: routes.Call[Principal, Any], body: bytes) -> Response:
    """The answer of a route, with an entity tag (RFC 9110, 8.8.3); 304 where the reader has it already.

    A 304 costs the server what the answer costs, but not the network: a page that looks again every few seconds
    gets nothing most of the time.
    """
    if call.request.method != "GET":
        return Response(body, media_type="application/json")
    tag = f'"{hashlib.sha256(body).hexdigest()[:32]}"'
    headers = {"ETag": tag, "Cache-Control": "private, no-cache", "Vary": "Authorization"}
    known = {part.strip().removeprefix("W/") for part in call.request.headers.get("if-none-match", "").split(",")}
    if tag in known:
        return Response(None, 304, headers)
    return Response(body, headers=headers, media_type="application/json")


def app(settings: UserApiSettings, on_give_up: routes.OnGiveUp, parts: Sequence[Part] = ()) -> Starlette:
    """The application that serves `routes.ROUTES` and nothing else. `parts` are those of the process around it."""
    api = UserApi(settings, parts)
    rate = RateLimit(settings.user_rate_per_minute)
    serving = routes.Serving(
        authenticate={Scheme.USER: authentication.users(api.verifier, rate, api.lookup)},
        on_give_up=on_give_up,
        bodies=Bodies(MAX_BODY_BYTES, invalid="InvalidBody", too_large="BodyTooLarge"),
    )
    return routes.application(ROUTES, api.handler, serving, api.lifespan)
