"""Submitting a batch query, finding it, and canceling it: the user's side of the queue.

What can be refused is refused while the user is there: the gate checks the statement and every name is resolved
before the query is queued. Both happen again when it runs, under the roles its user has then.

The gate has one process for every caller. Of the statements that are submitted, one at a time is checked, in slots
that are shared fairly among users: many that are slow to check delay neither interactive queries nor one another's
users.
"""

from __future__ import annotations

from uuid import UUID

from traceplane.errors import NotFound, Overloaded, Refused, Stale
from traceplane.query.admission.deadline import within
from traceplane.query.admission.slots import Slots
from traceplane.query.attach.batch_queries import BatchQuery
from traceplane.query.attach.databases import Databases
from traceplane.query.broker.limits import seconds_of
from traceplane.query.caller import Caller
from traceplane.query.gate.statement import Admitted
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations import listing, pins
from traceplane.query.relations.resolve import Reader
from traceplane.settings import QuerySettings
from traceplane.web.disconnect import Disconnect

MAX_CHECKS_WAITING = 32
"""Statements that wait to be checked before they are queued."""


class Submission:
    """The user's side of batch queries. Every call but `check` talks to a database; none runs a query."""

    def __init__(self, settings: QuerySettings, databases: Databases, supervisor: GateSupervisor) -> None:
        self._settings = settings
        self._databases = databases
        self._supervisor = supervisor
        self._checks = Slots(1, MAX_CHECKS_WAITING)

    async def check(self, caller: Caller, disconnected: Disconnect) -> Admitted:
        """The caller's statement, which may be submitted. Raises Refused, Overloaded, Unavailable, or QueryFailed
        where the client disconnected."""
        if not self._settings.query_batch_queue:
            raise Refused("mode: batch is switched off here (the setting query_batch_queue is 0)")
        known = self._supervisor.remembered(caller.sql)
        if known is not None:
            return known
        seconds = self._settings.query_timeout_seconds
        try:
            async with self._checks.slot(caller.holder, seconds, disconnected), within(seconds, disconnected):
                return await self._supervisor.check_in_thread(caller.sql)
        except TimeoutError:
            raise Overloaded(f"the statement was not checked within {seconds:g} seconds; try again later") from None

    def submit(
        self,
        admitted: Admitted,
        caller: Caller,
        reader: Reader,
        namespace: str,
        *,
        overflow: str,
        as_of: str | None,
        timeout_seconds: float | None,
    ) -> BatchQuery:
        """Queue a query. Raises Refused, SnapshotUnavailable, Overloaded or Unavailable."""
        seconds = seconds_of(timeout_seconds, self._settings.query_batch_timeout_seconds)
        listing.refuse_as_of(admitted, pins.decode(as_of) if as_of is not None else None)
        if admitted.relations:
            with self._databases.catalog() as state:
                state.resolve(admitted.relations, namespace, reader)
        assert caller.user is not None
        with self._databases.batch_queries() as queue:
            queue.submit(
                caller,
                namespace=namespace,
                overflow=overflow,
                as_of=as_of,
                seconds=seconds,
                limit=self._settings.query_batch_queue,
                limit_per_user=self._settings.query_batch_queue_per_user,
            )
            query = queue.find(caller.query, caller.user)
        assert query is not None
        return query

    def find(self, query: UUID, user: UUID) -> BatchQuery | None:
        """A user's own batch query; None where there is none. Raises Unavailable."""
        with self._databases.batch_queries() as queue:
            return queue.find(query, user)

    def cancel(self, query: UUID, user: UUID) -> BatchQuery:
        """End a user's own query that waits or runs. Raises NotFound, Stale where it has ended, Unavailable."""
        with self._databases.batch_queries() as queue:
            canceled = queue.cancel(query, user)
        found = self.find(query, user)
        if found is None:
            raise NotFound(f"you have no batch query {query}")
        if not canceled and found.state != "Canceled":
            raise Stale(f"the query has ended already ({found.state})", code="QueryEnded")
        return found
