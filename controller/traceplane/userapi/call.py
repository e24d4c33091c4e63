"""One authenticated request, as a handler of the user API sees it."""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from typing import Any, Concatenate, ParamSpec, TypeVar
from uuid import UUID

from starlette.requests import Request

from traceplane.dispatch.health import Part
from traceplane.errors import NotFound, Refused
from traceplane.settings import UserApiSettings
from traceplane.store.engine import Connection, Database
from traceplane.web.principals import Principal

Parameters = ParamSpec("Parameters")
Result = TypeVar("Result")

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    request: Request
    principal: Principal
    state: Database
    settings: UserApiSettings
    """Of the service; a single object is looked for in its own namespace when the request names none."""
    parts: Sequence[Part]
    """What the process stands on."""
    body: Any = None
    """Of the route's type; None where it has none."""

    async def run(
        self,
        statement: Callable[Concatenate[Connection, UUID, Parameters], Awaitable[Result]],
        *args: Parameters.args,
        **values: Parameters.kwargs,
    ) -> Result:
        """What a statement of the store gives for the caller's organisation."""
        async with self.state.autocommit() as connection:
            return await statement(connection, self.principal.org_id, *args, **values)

    def name(self) -> str:
        """The object's name in the path. Raises NotFound for what cannot be one."""
        name: str = self.request.path_params["name"]
        if not _NAME.fullmatch(name):
            raise NotFound(f"there is no {name[:253]!r}")
        return name

    def chosen_namespace(self) -> str | None:
        """`?namespace=`, None where the request names none. Raises Refused."""
        namespace = self.request.query_params.get("namespace")
        if namespace is not None and not _NAME.fullmatch(namespace):
            raise Refused("namespace: not the name of a namespace")
        return namespace

    def own_namespace(self) -> str:
        """The namespace a single object is looked for in."""
        return self.chosen_namespace() or self.settings.namespace
