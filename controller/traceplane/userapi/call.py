"""One authenticated request, as a handler of the user API sees it."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from starlette.requests import Request

from traceplane.errors import NotFound, Refused
from traceplane.store.engine import Database
from traceplane.web.principals import Principal

_NAME = re.compile(r"[a-z0-9]([-a-z0-9.]{0,251}[a-z0-9])?")


@dataclass(frozen=True, slots=True)
class Call:
    """One authenticated request."""

    request: Request
    principal: Principal
    state: Database
    namespace: str
    """The service's own namespace: where a single object is looked for when the request names none."""

    async def rows(self, statement: Any, **values: Any) -> list[Mapping[str, Any]]:
        """Rows of one statement, in a transaction of its own."""
        async with self.state.transaction() as connection:
            result = await connection.execute(statement, {"org": self.principal.org_id, **values})
            return [dict(row) for row in result.mappings()]

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
        return self.chosen_namespace() or self.namespace
