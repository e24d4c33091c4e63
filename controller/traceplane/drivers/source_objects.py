"""Objects of any bucket that external assets may be read from: listed and streamed, and never written.

Synchronous, since a refresh runs in a thread of its own. The platform's own keys are used, so a bucket that is not
the platform's must let them read.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from datetime import timedelta

import obstore
from obstore import exceptions
from obstore.store import S3Store

from traceplane.drivers import s3client
from traceplane.drivers.objects import CONNECT_SECONDS, REREAD_SECONDS, RETRIES, RETRY_SECONDS, StoredObject
from traceplane.errors import NotFound, Refused, Unavailable
from traceplane.settings.object_store import ObjectStore

STREAM_SECONDS = 300
CHUNK_BYTES = 4 * 1024 * 1024


class SourceObjects:
    """One bucket."""

    def __init__(self, settings: ObjectStore, bucket: str) -> None:
        self._bucket = bucket
        self._store = made(settings, bucket)

    def list(self, prefix: str) -> Iterator[StoredObject]:
        """Every object whose key begins with `prefix`. Raises Unavailable, Refused."""
        # A prefix of the store's API is a folder; a key is not below itself, so its folder is listed.
        folder = prefix.rpartition("/")[0]
        with self._mapped():
            for chunk in obstore.list(self._store, folder or None, chunk_size=1000):
                for meta in chunk:
                    if meta["path"].startswith(prefix):
                        yield StoredObject(meta["path"], meta["size"], meta["last_modified"])

    def head(self, key: str) -> StoredObject | None:
        """The object, or None. Raises Unavailable, Refused."""
        with self._mapped():
            try:
                meta = obstore.head(self._store, key)
            except FileNotFoundError:
                return None
        return StoredObject(meta["path"], meta["size"], meta["last_modified"])

    def stream(self, key: str) -> Iterator[bytes]:
        """An object's content. Raises NotFound, Unavailable, Refused."""
        with self._mapped():
            try:
                answer = obstore.get(self._store, key)
            except FileNotFoundError as error:
                raise NotFound(f"no object s3://{self._bucket}/{key}") from error
            for chunk in answer.stream(CHUNK_BYTES):
                yield bytes(chunk)

    @contextmanager
    def _mapped(self) -> Iterator[None]:
        try:
            yield
        except (exceptions.PermissionDeniedError, exceptions.UnauthenticatedError) as error:
            raise Refused(
                f"bucket {self._bucket}: the platform's key may not read it", code="NotReadable"
            ) from error
        except exceptions.BaseError as error:
            raise Unavailable(f"bucket {self._bucket} does not answer ({type(error).__name__})") from error


def made(settings: ObjectStore, bucket: str) -> S3Store:
    """A client of a bucket for large objects, with the platform's own keys as they are now."""
    return S3Store(
        bucket,
        **s3client.options(
            settings,
            settings.s3_endpoint_url,
            settings.read_s3_keys,
            reread=REREAD_SECONDS,
            connect=CONNECT_SECONDS,
            total=STREAM_SECONDS,
            bucket=bucket,
        ),
        retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
    )
