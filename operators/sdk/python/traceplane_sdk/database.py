"""Opens connections to the data database, and says why one cannot be opened without quoting the DSN.

A driver's message about a failed connection is built from the DSN, and it would travel far: into the task's error,
the DAG's status, the user API and the log. So the cause is given in fixed words and an SQLSTATE.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

from traceplane_sdk.dsn import BadDsn, bounded
from traceplane_sdk.errors import OperatorError

if TYPE_CHECKING:
    import psycopg

CONNECT_SECONDS = 10

_CAUSES = (
    ("authentication failed", "28P01", "it refused the password of the role"),
    ("no pg_hba.conf entry", "28000", "it lets no such role in from here"),
    ("too many clients", "53300", "it has no connection to spare"),
    ("remaining connection slots", "53300", "it has no connection to spare"),
    ("too many connections", "53300", "it has no connection to spare"),
    ("starting up", "57P03", "it is starting"),
    ("shutting down", "57P03", "it is shutting down"),
    ("in recovery mode", "57P03", "it is recovering"),
    ("permission denied for database", "42501", "the role may not use this database"),
    ("could not translate host name", None, "its host name does not resolve"),
    ("failed to resolve host", None, "its host name does not resolve"),
    ("name or service not known", None, "its host name does not resolve"),
    ("connection refused", None, "nothing listens at its address"),
    ("timeout", None, "it did not answer in time"),
    ("does not exist", "3D000", "it has no such role or database"),
)
"""Words in the driver's message, the SQLSTATE they stand for (libpq gives none to a client that never got a
session), and the words used instead."""


class DatabaseUnavailable(OperatorError):
    """No session with the data database now; a later attempt may get one."""

    def __init__(self, message: str) -> None:
        super().__init__("Unavailable", message)


def connect(dsn: str, **options: Any) -> psycopg.Connection[Any]:
    """A psycopg connection; `options` are psycopg's. Raises DatabaseUnavailable, also for an unusable DSN."""
    import psycopg

    parameters = _parameters(dsn) | options
    try:
        return psycopg.connect(**parameters)
    except psycopg.Error as error:
        failure = _unavailable(error)
    # Outside the handler: there the driver's error would stay as the context, and a traceback would print it.
    raise failure


def connect_arrow(dsn: str) -> Any:
    """An ADBC connection. Raises DatabaseUnavailable, also for an unusable DSN."""
    from adbc_driver_manager import Error
    from adbc_driver_postgresql import dbapi
    from psycopg.conninfo import make_conninfo

    conninfo = make_conninfo(**_parameters(dsn))
    try:
        return dbapi.connect(conninfo)
    except Error as error:
        failure = _unavailable(error)
    raise failure


def _parameters(dsn: str) -> dict[str, Any]:
    try:
        return bounded(dsn, CONNECT_SECONDS)
    except BadDsn as error:
        failure = DatabaseUnavailable(str(error))
    raise failure


def _unavailable(error: Exception) -> DatabaseUnavailable:
    """The cause of a driver's error, in fixed words."""
    words = str(error).lower()
    known = ((state, cause) for phrase, state, cause in _CAUSES if phrase in words)
    state, cause = next(known, (None, "no session could be opened"))
    code = getattr(error, "sqlstate", None) or state
    return DatabaseUnavailable(f"the data database: {cause} (SQLSTATE {code or 'none: no answer of the server'})")
