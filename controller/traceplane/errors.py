"""One tree of errors, whose classes say what happens next.

A boundary (HTTP route, loop, reconcile, command line) needs to know one thing of an error: refuse the caller,
try again later, or give up. So that is what the classes are; `web.problems` maps them to HTTP. `code` is stable,
CamelCase and safe to show; `message` tells a person what is wrong and what would be right, and never holds a secret
or SQL.
"""

from __future__ import annotations


class TraceError(Exception):
    """Root of every error Trace raises on purpose."""

    code = "Internal"
    caller: str | None = None
    """The caller that was refused, once its identity is proven: for the audit log, never for the answer."""

    def __init__(self, message: str, *, code: str | None = None) -> None:
        super().__init__(message)
        self.message = message
        if code is not None:
            self.code = code


class Refused(TraceError):
    """The caller asked for something wrong. Repeating it unchanged cannot help. HTTP 400."""

    code = "BadRequest"


class Unauthenticated(Refused):
    """No, or no valid, proof of identity. HTTP 401."""

    code = "Unauthenticated"


class Forbidden(Refused):
    """A known principal without the right. HTTP 403."""

    code = "Forbidden"


class NotFound(Refused):
    """The named thing does not exist, or this principal may not know that it does. HTTP 404."""

    code = "NotFound"


class Stale(Refused):
    """The fence does not hold any more: another attempt owns the work. HTTP 409; the worker stops."""

    code = "StaleLease"


class TooLarge(Refused):
    """A bound was exceeded. HTTP 413."""

    code = "TooLarge"


class Overloaded(TraceError):
    """A bounded queue is full. HTTP 429; try again after `retry_after` seconds."""

    code = "Overloaded"
    retry_after: int = 1


class Unavailable(TraceError):
    """A part we depend on does not answer. HTTP 503; loops back off and try again."""

    code = "Unavailable"


class GiveUp(TraceError):
    """Our own state or configuration is wrong. HTTP 500; the process must not go on: it ends with exit code 1."""

    code = "Fatal"


class InvalidSettings(GiveUp):
    """A setting is missing or wrong; the message names its environment variable."""

    code = "InvalidSettings"


class UnknownSchema(GiveUp):
    """The database's schema is not the one this release knows."""

    code = "UnknownSchema"
