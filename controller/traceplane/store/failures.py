"""Where database errors become Trace's own: nothing above the store catches a driver's exception.

The class of the result says what happens next. A server that is away, starting, shutting down or out of
connections is `Unavailable`: try again later. A value the database cannot hold, or a row that a unique key
already has, is `Refused`. A role without a right is `GiveUp`: only an administrator can mend it. Anything else
(a failed check constraint, a missing table) is a defect of Trace and passes through unchanged, so that it is
seen. Messages never carry SQL or parameters.

Two transactions that collide (`40001`, `40P01`) are nobody's fault; `retrying` runs such a unit again, a bounded
number of times. A lost connection is never retried here: its transaction may have committed, and only the
caller knows whether repeating it is safe.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Iterator
from contextlib import contextmanager
from typing import TypeVar

import psycopg
from psycopg import errors as pg
from psycopg import pq

from traceplane.errors import GiveUp, Refused, TraceError, Unavailable
from traceplane.kit.loops import backoff
from traceplane_sdk import refusals
from traceplane_sdk.sessions import UnfitSession

Result = TypeVar("Result")

ATTEMPTS = 5
"""Tries of a unit that keeps colliding, before it is reported as unavailable."""

_COLLISIONS = (pg.SerializationFailure, pg.DeadlockDetected)
_AWAY = (psycopg.OperationalError, psycopg.InterfaceError, pg.ReadOnlySqlTransaction)


class Collision(Unavailable):
    """This transaction lost against another one and was rolled back; running it again is safe."""

    code = "TransactionConflict"


class Conflict(Refused):
    """A row with this unique key exists already. `constraint` names the key."""

    code = "Conflict"

    def __init__(self, message: str, constraint: str | None) -> None:
        super().__init__(message)
        self.constraint = constraint


def translated(error: BaseException) -> TraceError | None:
    """Trace's error that stands for the driver's `error`; None where it is not one of these."""
    if isinstance(error, _COLLISIONS):
        return Collision("the transaction collided with another one")
    if isinstance(error, pg.UniqueViolation):
        name = error.diag.constraint_name
        return Conflict(f"a row with this key exists already ({name})", name)
    if isinstance(error, pg.InsufficientPrivilege):
        remedy = f" ({error.diag.message_hint})" if error.diag.message_hint else ""
        return GiveUp(f"the database role lacks a right: {error.diag.message_primary}{remedy}")
    if isinstance(error, psycopg.DataError):
        return Refused(f"the database cannot hold this value: {error.diag.message_primary or type(error).__name__}")
    if isinstance(error, UnfitSession):
        return GiveUp(f"the database: {error}", code="TransactionPooling")
    if isinstance(error, psycopg.OperationalError) and error.pgconn is not None:  # no session was opened at all
        parameters = _parameters(error.pgconn)
        found, _ = refusals.cause(error, parameters)
        if found is not None:
            return Unavailable(f"database {parameters.get('dbname')}: {found}")
    if isinstance(error, _AWAY):
        return Unavailable(f"the database does not answer ({type(error).__name__})")
    return None


def _parameters(attempt: pq.abc.PGconn) -> dict[str, str]:
    """libpq parameters of an attempt to connect."""
    return {option.keyword.decode(): option.val.decode() for option in attempt.info if option.val is not None}


@contextmanager
def mapped() -> Iterator[None]:
    """Raise Trace's errors in place of the driver's."""
    try:
        yield
    except psycopg.Error as error:
        meaning = translated(error)
        if meaning is None:
            raise
        raise meaning from error


async def retrying(unit: Callable[[], Awaitable[Result]], attempts: int = ATTEMPTS) -> Result:
    """The result of `unit`, run again after a `Collision`, at most `attempts` times in all."""
    for attempt in range(1, attempts + 1):
        try:
            return await unit()
        except Collision:
            if attempt == attempts:
                raise
            await asyncio.sleep(backoff(attempt, base=0.01, limit=0.2))
    raise AssertionError("unreachable: attempts >= 1")
