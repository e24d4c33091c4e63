"""Leaving a query to be run, asking what became of it, and wanting it no more.

What can be refused is refused at once, to the person who is still there: the gate judges the statement and every
name is resolved before the query gets into line. Both happen again when its turn comes, under the roles of then.

The gate has one process for everybody. Of the statements that are to be left, one at a time is with it, in turns
that go around the users: many that are hard to judge delay neither the queries of others nor what is asked of them.
"""

from __future__ import annotations

from typing import Any
from uuid import UUID

from traceplane.errors import NotFound, Overloaded, Refused, Stale
from traceplane.query.admission.slots import Admission
from traceplane.query.api.disconnect import within
from traceplane.query.api.requests import QueryRequest
from traceplane.query.attach.audit import Caller
from traceplane.query.attach.databases import Databases
from traceplane.query.broker.limits import seconds_of
from traceplane.query.gate.statement import Admitted
from traceplane.query.gate.supervisor import GateSupervisor
from traceplane.query.relations import pins
from traceplane.query.relations.resolve import Reader
from traceplane.settings import QuerySettings
from traceplane.web.disconnect import Disconnect

MAX_JUDGING = 32
"""Statements that wait to be judged before they are left."""


class Intake:
    """The user's side of batch queries. Every call but `judged` talks to a database; none runs a query."""

    def __init__(self, settings: QuerySettings, databases: Databases, supervisor: GateSupervisor) -> None:
        self._settings = settings
        self._databases = databases
        self._supervisor = supervisor
        self._judging = Admission(1, MAX_JUDGING)

    async def judged(self, asked: QueryRequest, caller: Caller, gone: Disconnect) -> Admitted:
        """A statement that may be left. Raises Refused, Overloaded, Unavailable, or QueryFailed when the client has
        gone."""
        if not self._settings.query_batch_queue:
            raise Refused("mode: batch is switched off here (the setting query_batch_queue is 0)")
        known = self._supervisor.remembered(asked.sql)
        if known is not None:
            return known
        seconds = self._settings.query_timeout_seconds
        try:
            async with self._judging.turn(caller.holder, seconds, gone), within(seconds, gone):
                return await self._supervisor.check_in_thread(asked.sql)
        except TimeoutError:
            raise Overloaded(f"the statement was not judged within {seconds:g} seconds; try again later") from None

    def leave(
        self, asked: QueryRequest, admitted: Admitted, caller: Caller, reader: Reader, namespace: str
    ) -> dict[str, Any]:
        """Put a query in line; what is known of it. Raises Refused, Disconnect, Overloaded or Unavailable."""
        seconds = seconds_of(asked.timeout_seconds, self._settings.query_batch_timeout_seconds)
        if asked.as_of is not None:
            pins.decode(asked.as_of)
        if admitted.relations:
            with self._databases.catalogue() as state:
                state.resolve(admitted.relations, namespace, reader)
        values = {"namespace": namespace, "overflow": asked.overflow, "as_of": asked.as_of, "seconds": seconds}
        assert caller.user is not None
        with self._databases.batches() as queue:
            queue.accept(
                caller,
                values,
                queue=self._settings.query_batch_queue,
                of_user=self._settings.query_batch_queue_per_user,
            )
            row = queue.find(caller.query, caller.user)
        assert row is not None
        return row

    def find(self, query: UUID, user: UUID) -> dict[str, Any] | None:
        """What is known of a user's batch query; None where there is none. Raises Unavailable."""
        with self._databases.batches() as queue:
            return queue.find(query, user)

    def cancel(self, query: UUID, user: UUID) -> dict[str, Any]:
        """End a query that waits or runs; what is known of it. Raises NotFound, Stale where it has ended."""
        with self._databases.batches() as queue:
            canceled = queue.cancel(query, user)
        row = self.find(query, user)
        if row is None:
            raise NotFound(f"there is no batch query {query} of yours")
        if not canceled and row["state"] != "Canceled":
            raise Stale(f"the query has ended already ({row['state']})", code="QueryEnded")
        return row
