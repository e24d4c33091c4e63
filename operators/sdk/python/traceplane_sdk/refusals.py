"""Why no session with a database could be opened, in fixed words and an SQLSTATE.

A driver's message about a failed connection is built from the DSN, and it would travel far: into the task's error,
the DAG's status, the user API and the log. So it is only searched for words.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from traceplane_sdk import certificates

_CAUSES = (
    # What is said of certificates comes first: "root certificate file ... does not exist" is about no role.
    ("root certificate file", None, certificates.NO_ROOTS),
    ("certificate verify failed", None, certificates.UNTRUSTED),
    ("does not match host name", None, certificates.OTHER_HOST),
    ("does not support ssl, but", None, "it speaks no TLS, which the DSN's sslmode asks for"),
    (
        "unsupported startup parameter",
        "08P01",
        "the pooler before it refuses a parameter of the DSN: leave `options` out of it",
    ),
    ("authentication failed", "28P01", "it refused the password of the role"),
    ("no pg_hba.conf entry", "28000", "it lets no such role in from here"),
    ("too many clients", "53300", "it has no connection to spare"),
    ("remaining connection slots", "53300", "it has no connection to spare"),
    ("too many connections", "53300", "it has no connection to spare"),
    ("no more connections allowed", "53300", "the pooler before it has no connection to spare"),
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
    ("no such database", "3D000", "the pooler before it knows no such database"),
    ("no such user", "28000", "the pooler before it knows no such role"),
)
"""Words in the driver's message, the SQLSTATE they stand for (libpq gives none to a client that never got a
session), and the words used instead."""


def cause(error: Exception, parameters: Mapping[str, Any]) -> tuple[str | None, str | None]:
    """(cause, SQLSTATE) of a driver's error on opening a session with `parameters`; None where it is not known."""
    words = str(error).lower()
    known = ((cause, state) for phrase, state, cause in _CAUSES if phrase in words)
    found, state = next(known, (None, None))
    if found is certificates.UNTRUSTED:
        found = certificates.verdict(parameters)
    return found, getattr(error, "sqlstate", None) or state
