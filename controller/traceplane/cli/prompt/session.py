"""A session of `tracectl sql`: the services it talks to, and one statement at a time.

Connections are opened when they are needed and opened again after an error that a new one may mend: a token that is
over, a port-forward whose pod went away. A statement whose caller interrupts it is canceled, because the request's
connection closes; one that the busy service queued as a batch query is canceled by its id.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from uuid import UUID

from traceplane.cli import answers
from traceplane.cli.connection import USER_API, Access, call
from traceplane.cli.prompt import catalog
from traceplane.cli.prompt.catalog import Catalog
from traceplane.errors import NotFound, TraceError, Unavailable

if TYPE_CHECKING:
    import httpx

HINT = "the query runs; Ctrl-C cancels it"
CONNECTING = "connecting; Ctrl-C leaves"


class Connection:
    """An HTTP client of one service, renewed where that may help."""

    def __init__(self, access: Access, seconds: float) -> None:
        self._access = access
        self._seconds = seconds
        self._stack = ExitStack()
        self._client: httpx.Client | None = None

    def close(self) -> None:
        """Close the client, and the port-forward below it."""
        self._client = None
        self._stack.close()

    def do(self, work: Callable[[httpx.Client], Any]) -> Any:
        """What `work` gives. Raises its TraceError; the next call has a new client where this one was no good."""
        renewed = self._client is None
        try:
            return work(self._opened())
        except TraceError as error:
            if error.code == "Unauthenticated" and not renewed:  # the token may be over since the last statement
                self.close()
                return work(self._opened())
            if isinstance(error, Unavailable):
                self.close()
            raise

    def _opened(self) -> httpx.Client:
        if self._client is None:
            with answers.progress(CONNECTING):
                self._client = self._stack.enter_context(self._access.client(self._seconds))
        return self._client


@dataclass
class Session:
    """What a person set and what is known of the services. Closed at the end."""

    access: Access
    namespace: str | None
    seconds: float
    timing: bool = True
    expanded: bool = False
    catalog: Catalog = field(init=False)

    def __post_init__(self) -> None:
        self.catalog = Catalog(namespace=self.namespace)
        self._queries = Connection(self.access, self.seconds + answers.SLACK_SECONDS)
        self._user_api = Connection(self.access.beside(USER_API), answers.SLACK_SECONDS)

    def close(self) -> None:
        """Close both connections."""
        self._queries.close()
        self._user_api.close()

    def reload(self) -> Catalog:
        """The catalog as it is now. Raises TraceError with the remedy."""
        try:
            self.catalog = self._user_api.do(lambda client: catalog.load(client, self.namespace))
        except TraceError as error:
            if error.code not in ("NotFound", "BadAnswer"):
                raise
            raise NotFound(
                "names come from the user API, which is not at this address: set TRACE_USER_URL"
            ) from error
        return self.catalog

    def ask(self, sql: str) -> dict[str, Any]:
        """The answer to one statement, cut where it is large. Raises TraceError, and KeyboardInterrupt where it was
        interrupted; then the query is canceled."""
        body = {"sql": sql, "overflow": "truncate", "timeout_seconds": self.seconds, "namespace": self.namespace}
        given = {key: value for key, value in body.items() if value is not None}
        found: dict[str, Any] = self._queries.do(lambda client: _answer(client, given))
        return found


def _answer(client: httpx.Client, body: dict[str, Any]) -> dict[str, Any]:
    with answers.progress(HINT):
        answer = call(client, "POST", "/v1/query", json=body)
    found: dict[str, Any] = answer.json()
    return _queued(client, UUID(found["id"])) if answer.status_code == answers.ACCEPTED else found


def _queued(client: httpx.Client, query: UUID) -> dict[str, Any]:
    """The answer of a query that the service queued as a batch query."""
    sys.stderr.write(f"the service is busy, and queued the query as batch query {query}\n")
    try:
        with answers.progress("the query is queued; Ctrl-C cancels it"):
            return answers.ended(client, query, wait=True)
    except KeyboardInterrupt:
        call(client, "DELETE", f"/v1/queries/{query}")
        raise
