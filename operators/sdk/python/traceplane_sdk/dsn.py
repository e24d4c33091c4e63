"""Reads a Postgres DSN without ever repeating it.

libpq and psycopg quote what they could not understand, and that is often the password: an `@`, `/` or `?` that
was not percent-encoded shifts the parts of a URI, so that half of a password becomes the "host" of the next error
message. So a DSN is taken apart here first, and one whose parts look shifted is refused in fixed words; what is
left to be quoted by a driver (host, port, user, database name) is then no secret.

Form: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import re
from typing import Any

REMEDY = (
    "write postgresql://user:password@host:port/database, every special character of user and password "
    "percent-encoded (@ as %40, / as %2F, ? as %3F, # as %23)"
)
_DEAD_PEER: dict[str, Any] = {
    "keepalives": 1,
    "keepalives_idle": 10,
    "keepalives_interval": 5,
    "keepalives_count": 4,
    "tcp_user_timeout": 30_000,
}
"""A server that vanished (a lost node, a dropped route) is noticed within about 30 seconds: by probes while its
answer is awaited (the first would else be sent after two hours), by what it does not acknowledge otherwise."""
_HOST = re.compile(r"(/.*|[A-Za-z0-9_.:-]*)")
_PORTS = re.compile(r"[0-9,]*")
_DATABASE = re.compile(r"[^@/?#:]*")


class BadDsn(ValueError):
    """libpq cannot use the DSN. The message never contains any of it."""


def parameters(dsn: str) -> dict[str, Any]:
    """The libpq parameters of `dsn` (a URI or `key=value` pairs). Raises BadDsn."""
    import psycopg
    from psycopg import conninfo

    try:
        found: dict[str, Any] = conninfo.conninfo_to_dict(dsn)
    except (psycopg.Error, ValueError):
        raise BadDsn(f"the database DSN cannot be read: {REMEDY}") from None
    hosts = [host for key in ("host", "hostaddr") for host in str(found.get(key, "")).split(",")]
    shifted = [
        not all(_HOST.fullmatch(host) for host in hosts),
        not _PORTS.fullmatch(str(found.get("port", ""))),
        dsn.startswith(("postgresql://", "postgres://")) and not _DATABASE.fullmatch(str(found.get("dbname", ""))),
    ]
    if any(shifted):
        raise BadDsn(f"the database DSN has a part that is no host, port or database name: {REMEDY}") from None
    return found


def bounded(dsn: str, connect_seconds: int) -> dict[str, Any]:
    """The libpq parameters of `dsn`, and bounds on waiting for a dead server where it has none. Raises BadDsn."""
    return {**_DEAD_PEER, "connect_timeout": connect_seconds, **parameters(dsn)}
