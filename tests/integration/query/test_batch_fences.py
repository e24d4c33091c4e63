"""A batch query is moved on by the runner that holds it, and seen and canceled by the user whose it is."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import psycopg
import pytest

from tests import services
from tests.support.deploying import NEIGHBOUR
from traceplane.errors import Overloaded, Stale
from traceplane.query.attach.batch_queries import BatchQueries, Claim, Lease
from traceplane.query.caller import Caller

pytestmark = pytest.mark.services

ANNA, BOB, CARL = uuid4(), uuid4(), uuid4()
"""Two users of our organisation and one of the other."""


class Queues:
    """The queues of two organisations in one table."""

    def __init__(self, connection: psycopg.Connection[Any]) -> None:
        self.connection = connection
        self.ours = BatchQueries(connection, services.ORG_ID)
        self.theirs = BatchQueries(connection, NEIGHBOUR)

    def submit(self, user: UUID, limit: int = 9, limit_per_user: int = 9) -> UUID:
        query = uuid4()
        queue = self.theirs if user == CARL else self.ours
        queue.submit(
            Caller(query=query, sql="SELECT 1", user=user),
            namespace="demo",
            overflow="export",
            as_of=None,
            seconds=60,
            limit=limit,
            limit_per_user=limit_per_user,
        )
        return query

    def claimed(self, *users: UUID) -> list[Claim]:
        """A query of each user, claimed by a runner of its own."""
        for user in users:
            self.submit(user)
        found = [(self.theirs if user == CARL else self.ours).claim(uuid4()) for user in users]
        return [claim for claim in found if claim is not None]

    def written(self) -> list[str]:
        """Every row, with the transaction that wrote it."""
        query = "SELECT xmin || ' ' || b::text FROM trace.query_batches b ORDER BY b::text"
        return [row for (row,) in self.connection.execute(query)]

    def change(self, assignment: str, query: UUID) -> None:
        self.connection.execute(f"UPDATE trace.query_batches SET {assignment} WHERE id = %s", (query,))  # type: ignore[arg-type]


@pytest.fixture
def queues(databases: services.Databases) -> Iterator[Queues]:
    with psycopg.connect(databases.data_dsn, autocommit=True) as connection:
        yield Queues(connection)


def renew(queues: Queues, lease: Lease) -> bool:
    return not queues.ours.renew(lease)


def complete(queues: Queues, lease: Lease) -> bool:
    queues.ours.complete(lease, "Succeeded")
    return True


def release(queues: Queues, lease: Lease) -> bool:
    before = queues.written()
    queues.ours.release(lease, pause=0, counted=True)
    if queues.written() == before:
        raise Stale("nothing was released")
    return True


CALLS: list[Callable[[Queues, Lease], bool]] = [renew, release, complete]


@pytest.mark.parametrize("call", CALLS)
def test_a_lease_is_held_by_all_its_parts_and_until_its_query_ends(
    call: Callable[[Queues, Lease], bool], queues: Queues
):
    held, other = (claim.lease for claim in queues.claimed(ANNA, BOB))
    before = queues.written()
    for wrong in (
        replace(held, id=other.id),
        replace(held, runner=other.runner),
        replace(held, attempt=held.attempt + 1),
    ):
        with pytest.raises(Stale):
            call(queues, wrong)
    assert queues.written() == before
    assert call(queues, held)
    assert len(set(queues.written()) - set(before)) == 1, "the query of the lease alone"
    if call is renew:
        assert complete(queues, held)
    before = queues.written()
    with pytest.raises(Stale):
        call(queues, held)
    assert queues.written() == before


def test_a_query_is_seen_and_canceled_by_its_user_alone(queues: Queues):
    query = queues.submit(ANNA)
    other = queues.submit(ANNA)
    before = queues.written()
    for queue, user in ((queues.ours, BOB), (queues.theirs, ANNA)):
        assert queue.find(query, user) is None
        assert not queue.cancel(query, user)
    assert not queues.ours.cancel(uuid4(), ANNA)
    assert queues.written() == before
    assert queues.ours.cancel(query, ANNA)
    assert not queues.ours.cancel(query, ANNA), "it has ended"
    found = [queues.ours.find(one, ANNA) for one in (query, other)]
    assert [(one.id, one.state) for one in found if one] == [(query, "Canceled"), (other, "Queued")]


def test_a_query_is_claimed_when_it_waits_and_is_due_or_when_its_runner_is_lost(queues: Queues):
    (running,) = queues.claimed(ANNA)
    assert queues.ours.claim(uuid4()) is None, "its runner renews the lease"
    queues.ours.release(running.lease, pause=60, counted=False)
    assert queues.ours.claim(uuid4()) is None, "it pauses"
    queues.change("not_before = now()", running.id)
    assert (again := queues.ours.claim(uuid4())) is not None
    queues.change("lease_until = now() - interval '1 s'", running.id)
    queues.submit(CARL)
    assert (rescued := queues.ours.claim(uuid4())) is not None
    assert (rescued.id, rescued.attempt) == (running.id, again.attempt + 1)
    assert queues.ours.claim(uuid4()) is None, "what is left is of another organisation"
    assert queues.theirs.claim(uuid4()) is not None


def test_a_claim_takes_one_query_and_users_take_turns(queues: Queues):
    first, third, second = queues.submit(ANNA), queues.submit(ANNA), queues.submit(BOB)
    for expected in (first, second, third):
        before = queues.written()
        assert (claim := queues.ours.claim(uuid4())) is not None
        assert claim.id == expected
        assert len(set(queues.written()) - set(before)) == 1


def test_only_open_queries_of_the_same_organisation_and_user_take_room(queues: Queues):
    for user in (CARL, CARL, BOB):
        queues.submit(user)
    ended = queues.submit(ANNA)
    assert queues.ours.cancel(ended, ANNA)
    assert (queues.ours.count_open(), queues.theirs.count_open()) == (1, 2)
    queues.submit(ANNA, limit=2, limit_per_user=1)
    with pytest.raises(Overloaded, match="you already have 1"):
        queues.submit(ANNA, limit=9, limit_per_user=1)
    with pytest.raises(Overloaded, match="2 batch queries are already"):
        queues.submit(ANNA, limit=2, limit_per_user=2)
