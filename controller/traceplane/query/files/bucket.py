"""The object store's bucket, as the query service uses it: cold files are read, exported answers are written.

An export is named after its content, `exports/<org>/<sha256>.parquet`, so that the same answer is the same object.
Its name is known only with its last byte, so it is written under `incoming/` and then copied to its place by the
store.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import timedelta
from hashlib import sha256
from typing import Any
from uuid import UUID

import obstore
import obstore.exceptions
import obstore.store

from traceplane.drivers import s3client
from traceplane.errors import Unavailable
from traceplane.settings import QuerySettings

EXPORTS = "exports"
REREAD_SECONDS = 360
"""A minute more than the client keeps in reserve, so that changed keys are used after a minute."""
CONNECT_SECONDS = 5
PROMPT_SECONDS = 5
"""For a call whose caller waits and may try again."""
_INCOMING = "incoming"
_PART_BYTES = 8 * 1024 * 1024
_PARTS_AT_ONCE = 2


@dataclass(frozen=True, slots=True)
class Output:
    """An answer that was exported: its `s3://` address, its SHA-256 in hex, its size."""

    location: str
    sha256: str
    bytes: int


class Export:
    """One answer on its way into the bucket."""

    def __init__(self, writer: Any) -> None:
        self._writer = writer
        self._hash = sha256()
        self.bytes = 0
        self.location = ""
        """`s3://` address, once it is in its place."""

    def write(self, piece: bytes) -> None:
        """The next bytes. Raises Unavailable."""
        self._hash.update(piece)
        self.bytes += len(piece)
        with _mapped():
            self._writer.write(piece)

    @property
    def sha256(self) -> str:
        """Of all that was written, in hex."""
        return self._hash.hexdigest()

    @property
    def output(self) -> Output:
        """What was exported, once it is in its place."""
        return Output(self.location, self.sha256, self.bytes)


class Bucket:
    """The bucket, under the service's own credentials."""

    def __init__(self, settings: QuerySettings) -> None:
        self._name = settings.s3_bucket
        self._store = _store(settings, settings.s3_endpoint_url)
        self._prompt = _store(settings, settings.s3_endpoint_url, seconds=PROMPT_SECONDS, trying=PROMPT_SECONDS)
        public = settings.s3_public_endpoint_url
        self._public = _store(settings, public) if public else self._store

    def stream(self, key: str) -> Iterator[bytes]:
        """The object's bytes. Raises Unavailable."""
        try:
            for piece in obstore.get(self._store, key).stream(min_chunk_size=1024 * 1024):
                yield bytes(piece)
        except FileNotFoundError as error:
            raise Unavailable("a cold file is missing from the object store", code="DataMissing") from error
        except (obstore.exceptions.BaseError, OSError) as error:
            raise Unavailable("the object store does not answer") from error

    @contextmanager
    def export(self, org: UUID, query: UUID) -> Iterator[Export]:
        """Write one answer; it is in its place (`location`) when the context ends without an error."""
        # A random name for each attempt: one that lost its lease may still write while its successor does.
        incoming = f"{EXPORTS}/{org}/{_INCOMING}/{query}-{secrets.token_hex(8)}"
        with _mapped():
            writer = obstore.open_writer(
                self._store, incoming, buffer_size=_PART_BYTES, max_concurrency=_PARTS_AT_ONCE
            )
        export = Export(writer)
        yield export
        key = f"{EXPORTS}/{org}/{export.sha256}.parquet"
        with _mapped():
            writer.close()
            obstore.copy(self._store, incoming, key)
            obstore.delete(self._store, incoming)
        export.location = f"s3://{self._name}/{key}"

    def holds(self, location: str) -> bool:
        """Whether the object of a location is there."""
        with _mapped():
            try:
                obstore.head(self._prompt, self._key_of(location))
            except FileNotFoundError:
                return False
        return True

    def url(self, location: str, seconds: float, *, inside: bool = False) -> str:
        """A pre-signed GET of a location, good for `seconds` and for any holder; `inside` names the store as the
        cluster reaches it, not as users do."""
        store = self._store if inside else self._public
        with _mapped():
            return str(obstore.sign(store, "GET", self._key_of(location), timedelta(seconds=seconds)))

    def _key_of(self, location: str) -> str:
        return location.removeprefix(f"s3://{self._name}/")


def policy(bucket: str, org: UUID) -> dict[str, Any]:
    """The IAM policy of exactly what this module does: no name is listed, no data written."""

    def allow(action: str | list[str], *keys: str) -> dict[str, Any]:
        return {"Effect": "Allow", "Action": action, "Resource": [f"arn:aws:s3:::{bucket}/{key}" for key in keys]}

    own = f"{EXPORTS}/{org}/"
    statements = [
        allow("s3:GetObject", f"{org}/*"),
        allow(["s3:GetObject", "s3:PutObject"], f"{own}*"),
        allow("s3:DeleteObject", f"{own}{_INCOMING}/*"),
    ]
    return {"Version": "2012-10-17", "Statement": statements}


def _store(
    settings: QuerySettings, endpoint: str | None, *, seconds: float = 60, trying: float = 180
) -> obstore.store.S3Store:
    """One request takes at most `seconds`; one that failed is sent again within `trying`."""
    keys = settings.read_s3_keys if settings.s3_access_key_id_file or settings.s3_access_key_id else None
    return obstore.store.S3Store(
        settings.s3_bucket,
        **s3client.options(settings, endpoint, keys, reread=REREAD_SECONDS, connect=CONNECT_SECONDS, total=seconds),
        retry_config={"max_retries": 3, "retry_timeout": timedelta(seconds=trying)},
    )


@contextmanager
def _mapped() -> Iterator[None]:
    """A store that does not answer is `Unavailable`, whatever the client calls it."""
    try:
        yield
    except FileNotFoundError:
        raise
    except (obstore.exceptions.BaseError, OSError) as error:
        raise Unavailable("the object store does not answer") from error
