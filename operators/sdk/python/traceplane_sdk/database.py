"""Opens connections to the data database, and says why one cannot be opened without quoting the DSN
(`traceplane_sdk.refusals`)."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from traceplane_sdk import refusals
from traceplane_sdk.dsn import BadDsn, bounded
from traceplane_sdk.errors import OperatorError

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS = 10


class DatabaseUnavailable(OperatorError):
    """No session with the data database now; a later attempt may get one."""

    def __init__(self, message: str) -> None:
        super().__init__("Unavailable", message)


def connect(
    dsn: str, bounds: Mapping[str, str] | None = None, *, autocommit: bool = False, **options: Any
) -> psycopg.Connection[Any]:
    """A psycopg connection whose session has `bounds`, such as `{"lock_timeout": "60s"}`; `options` are psycopg's.

    Raises DatabaseUnavailable, also for an unusable DSN, and for a pooler that keeps no session.
    """
    import psycopg

    from traceplane_sdk import sessions

    parameters = _parameters(dsn) | options
    try:
        connection = psycopg.connect(**parameters, autocommit=True)
        try:
            sessions.Bounds.of(parameters, bounds or {}).apply(connection)
            sessions.refuse_pooled_transactions(connection, parameters)
            connection.autocommit = autocommit
        except BaseException:
            connection.close()
            raise
        return connection
    except sessions.UnfitSession as error:
        failure = DatabaseUnavailable(f"the data database: {error}")
    except psycopg.Error as error:
        failure = _unavailable(error, parameters)
    # Outside the handler: there the driver's error would stay as the context, and a traceback would print it.
    raise failure


def connect_arrow(dsn: str) -> Any:
    """An ADBC connection. Raises DatabaseUnavailable, also for an unusable DSN."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi
    from psycopg.conninfo import make_conninfo

    parameters = _parameters(dsn)
    try:
        return dbapi.connect(make_conninfo(**parameters))
    except Error as error:
        failure = _unavailable(error, parameters)
    raise failure


def _parameters(dsn: str) -> dict[str, Any]:
    try:
        return bounded(dsn, CONNECT_SECONDS)
    except BadDsn as error:
        failure = DatabaseUnavailable(str(error))
    raise failure


def _unavailable(error: Exception, parameters: Mapping[str, Any]) -> DatabaseUnavailable:
    """The cause of a driver's error, in fixed words."""
    found, code = refusals.cause(error, parameters)
    words = found or "no session could be opened"
    return DatabaseUnavailable(f"the data database: {words} (SQLSTATE {code or 'none: no answer of the server'})")
