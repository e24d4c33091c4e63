"""Reads a Postgres DSN without ever repeating it.

libpq and psycopg quote what they could not understand, and that is often the password: an `@`, `/` or `?` that
was not percent-encoded shifts the parts of a URI, so that half of a password becomes the "host" of the next error
message. So a DSN is taken apart here first, and one whose parts look shifted is refused in fixed words; what is
left to be quoted by a driver (host, port, user, database name) is then no secret.

It also says by which CA certificates a server is checked, in one way for every driver: those of a private CA lie
beside the DSN (`with_ca`), and `sslmode=verify-full` without any takes the system's. libpq alone would look in the
home folder only; its own word for the system's, `sslrootcert=system`, means another folder in each driver's build.

Form: https://www.postgresql.org/docs/current/libpq-connect.html#LIBPQ-CONNSTRING
"""

from __future__ import annotations

import os
import re
import ssl
from pathlib import Path
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
_VERIFYING = ("verify-ca", "verify-full")


class BadDsn(ValueError):
    """libpq cannot use the DSN. The message never contains any of it."""


def parameters(dsn: str) -> dict[str, Any]:
    """The libpq parameters of `dsn` (a URI or `key=value` pairs). Raises BadDsn."""
    found = _read(dsn)
    if found.get("sslrootcert") == "system":
        return _by_system(found)
    if found.get("sslmode") in _VERIFYING and "sslrootcert" not in found and not _has_own_roots():
        return _by_system(found)
    return found


def with_ca(dsn: str, file: Path) -> str:
    """`dsn` with the CA certificates in `file`, where it names none itself. Who gives a CA wants it to count, so
    the mode is then `verify-full`, unless `dsn` says another. What cannot be read comes back as it is."""
    try:
        found = _read(dsn)
    except BadDsn:  # refused where it is used, which knows whose it is
        return dsn
    if "sslrootcert" in found:
        return dsn
    from psycopg import conninfo

    return conninfo.make_conninfo(dsn, sslrootcert=str(file), sslmode=found.get("sslmode", "verify-full"))


def bounded(dsn: str, connect_seconds: int) -> dict[str, Any]:
    """The libpq parameters of `dsn`, and bounds on waiting for a dead server where it has none. Raises BadDsn."""
    return {**_DEAD_PEER, "connect_timeout": connect_seconds, **parameters(dsn)}


def _by_system(found: dict[str, Any]) -> dict[str, Any]:
    """With the system's CAs, which vouch for anybody who owns a name: so the name must be checked."""
    if found.setdefault("sslmode", "verify-full") != "verify-full":
        raise BadDsn(
            f"the database DSN says sslmode={found['sslmode']} without a CA of your own, and the system's CAs sign "
            "for strangers too: write sslmode=verify-full, or put the certificate of your CA into the Secret as "
            "`ca.crt`"
        )
    return {**found, "sslrootcert": ssl.get_default_verify_paths().cafile or "system"}


def _has_own_roots() -> bool:
    """Whether libpq finds CA certificates by itself: by its environment variable, or in the home folder."""
    return "PGSSLROOTCERT" in os.environ or Path("~/.postgresql/root.crt").expanduser().exists()


def _read(dsn: str) -> dict[str, Any]:
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
