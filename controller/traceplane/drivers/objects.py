"""Object storage: the few operations that the platform itself needs.

Keys are relative to the platform's one bucket. Every call has a connect and a total time limit and a bounded number
of retries; a store that does not answer is `Unavailable`.
"""

from __future__ import annotations

from dataclasses import dataclass
from datetime import datetime, timedelta
from typing import Protocol

import obstore
from obstore import exceptions
from obstore.store import S3Store

from traceplane.drivers import s3client
from traceplane.errors import NotFound, TooLarge, Unavailable
from traceplane.settings.object_store import ObjectStore

CONNECT_SECONDS = 3
REQUEST_SECONDS = 10
RETRIES = 2
RETRY_SECONDS = 15
REREAD_SECONDS = 60
"""How soon rotated keys are noticed: they are read from mounted files, so a rotation needs no restart."""


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its key, its size in bytes, and when it was last written."""

    key: str
    size: int
    modified: datetime


class Objects(Protocol):
    """What the platform asks of an object store. Every method raises Unavailable when it does not answer."""

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """An object's content. Raises NotFound, or TooLarge past `max_bytes`."""

    async def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write a new object; False, and nothing changed, where the key exists.

        There is no overwriting put: files of a commit are written once, and two writers of one key must not both
        believe in theirs.
        """

    async def head(self, key: str) -> StoredObject | None:
        """The object's size, or None."""

    async def list(self, prefix: str, *, limit: int) -> list[StoredObject]:
        """Up to `limit` objects below `prefix`."""

    async def delete(self, key: str) -> None:
        """Remove an object; nothing where there is none."""


class S3Objects:
    """The platform's bucket on S3 or anything that speaks its protocol."""

    def __init__(self, settings: ObjectStore, keys: s3client.Keys | None = None) -> None:
        """With other `keys` than the platform's own: as who has them sees it."""
        self._store = S3Store(
            settings.s3_bucket,
            **s3client.options(
                settings,
                settings.s3_endpoint_url,
                keys or settings.read_s3_keys,
                reread=REREAD_SECONDS,
                connect=CONNECT_SECONDS,
                total=REQUEST_SECONDS,
            ),
            retry_config={"max_retries": RETRIES, "retry_timeout": timedelta(seconds=RETRY_SECONDS)},
        )

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """See `Objects.get`; the size is known before the body is read."""
        try:
            answer = await obstore.get_async(self._store, key)
            if answer.meta["size"] > max_bytes:
                raise TooLarge(f"{key} has more than {max_bytes} bytes")
            return bytes(await answer.bytes_async())
        except FileNotFoundError as error:
            raise NotFound(f"no object {key}") from error
        except exceptions.BaseError as error:
            raise _away(error) from error

    async def put_if_absent(self, key: str, content: bytes) -> bool:
        """See `Objects.put_if_absent`."""
        try:
            await obstore.put_async(self._store, key, content, mode="create", use_multipart=False)
        except exceptions.AlreadyExistsError:
            return False
        except exceptions.BaseError as error:
            raise _away(error) from error
        return True

    async def head(self, key: str) -> StoredObject | None:
        """See `Objects.head`."""
        try:
            meta = await obstore.head_async(self._store, key)
        except FileNotFoundError:
            return None
        except exceptions.BaseError as error:
            raise _away(error) from error
        return StoredObject(meta["path"], meta["size"], meta["last_modified"])

    async def list(self, prefix: str, *, limit: int) -> list[StoredObject]:
        """See `Objects.list`."""
        found: list[StoredObject] = []
        try:
            async for chunk in obstore.list(self._store, prefix.rstrip("/"), chunk_size=min(limit, 1000)):
                found += [StoredObject(meta["path"], meta["size"], meta["last_modified"]) for meta in chunk]
                if len(found) >= limit:
                    break
        except exceptions.BaseError as error:
            raise _away(error) from error
        return found[:limit]

    async def delete(self, key: str) -> None:
        """See `Objects.delete`."""
        try:
            await obstore.delete_async(self._store, key)
        except FileNotFoundError:
            return
        except exceptions.BaseError as error:
            raise _away(error) from error


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the object store does not answer ({type(error).__name__})")
