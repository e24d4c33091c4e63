"""What is known of an answer that was given, for the user who got it."""

from __future__ import annotations

from typing import Any
from uuid import UUID

from traceplane.errors import NotFound
from traceplane.query.api import responses
from traceplane.query.attach.databases import Databases
from traceplane.query.files.bucket import Bucket, Output
from traceplane.query.relations.resolve import Reader
from traceplane.web.principals import Principal


class Results:
    """Finds answers that were given; an exported one gets a fresh URL, good for `url_seconds`."""

    def __init__(self, databases: Databases, bucket: Bucket, url_seconds: int) -> None:
        self._databases = databases
        self._bucket = bucket
        self._url_seconds = url_seconds

    def find(self, query: UUID, principal: Principal) -> dict[str, Any]:
        """A user's own answer, as `shapes.KnownAnswer`. Raises NotFound or Unavailable."""
        with self._databases.audit_log() as log:
            found = log.find_result(query, principal.user_id)
        if found is None:
            raise NotFound(f"you have no query {query}")
        location, digest = found.pop("output_location"), found.pop("output_sha256")
        output = None
        if location is not None and self._still_readable(found, principal) and self._bucket.holds(location):
            url = self._bucket.url(location, self._url_seconds)
            output = responses.output_of(Output(location, digest, found["bytes"]), url, self._url_seconds)
        return {**found, "exported": location is not None, "output": output}

    def _still_readable(self, found: dict[str, Any], principal: Principal) -> bool:
        """Whether the caller may read today what that answer was read from: a role may have been taken since."""
        titles = {version["relation"] for version in found["versions"]}
        with self._databases.catalog() as state:
            return state.readable(titles, Reader(roles=principal.roles))
