"""How a query fails that was admitted: errors that several rooms of the query service raise."""

from __future__ import annotations

from traceplane.errors import Refused


class QueryFailed(Refused):
    """The statement was admitted and did not succeed; `code` says how."""

    code = "QueryFailed"


def canceled() -> QueryFailed:
    """The client disconnected, or the service stops."""
    return QueryFailed("the query was canceled", code="QueryCanceled")


def out_of_time(limit: float) -> QueryFailed:
    """The time limit was reached; waiting for a slot and checking the statement count."""
    return QueryFailed(f"the query took longer than {round(limit, 1):g} seconds", code="QueryTimeout")
