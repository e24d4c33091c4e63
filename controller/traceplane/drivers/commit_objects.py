"""Files of a commit that this process writes itself, into the platform's bucket.

Synchronous, and otherwise what a task does with credentials of its own (`traceplane_sdk.objects`): an object is
created and never written over.
"""

from __future__ import annotations

from pathlib import Path

import obstore
from obstore import exceptions
from obstore.store import S3Store

from traceplane.drivers.source_objects import made
from traceplane.errors import Unavailable
from traceplane.settings.object_store import ObjectStore


class CommitObjects:
    """The platform's bucket, as `traceplane_sdk.commit` writes to it."""

    def __init__(self, settings: ObjectStore) -> None:
        self._bucket = settings.s3_bucket
        self._store: S3Store = made(settings, settings.s3_bucket)

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Create a small object. Raises Unavailable."""
        self._put(uri, content)

    def put_file(self, uri: str, path: Path, sha256: str) -> None:
        """Create an object from a file. Raises Unavailable."""
        self._put(uri, path)

    def _put(self, uri: str, content: bytes | Path) -> None:
        key = uri.removeprefix(f"s3://{self._bucket}/")
        try:
            obstore.put(self._store, key, content, mode="create", use_multipart=False)
        except exceptions.BaseError as error:  # also where it exists: the next attempt has a place of its own
            raise Unavailable(f"the object store does not take {uri} ({type(error).__name__})") from error
