"""The object store as a task may use it: write once, compare, never overwrite; read what was committed.

Credentials come from the task API, are limited to this task's prefixes and are renewed before they expire. Files
are streamed from disk; a single PUT takes at most 5 GiB, and the commit protocol keeps files far below.
"""

from __future__ import annotations

import hashlib
import io
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import IO, Any

from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.patience import delays

_CHUNK = 1 << 20
_GIVE_UP_CODES = frozenset(
    {"AccessDenied", "AuthorizationHeaderMalformed", "InvalidAccessKeyId", "SignatureDoesNotMatch"}
)
_GIVE_UP_STATUSES = frozenset({404, 405, 501})
"""No such bucket, key or user, or a request that the store does not know: stores have their own codes for these."""


class ObjectStore:
    """S3 by boto3. `patience`: how long an unreachable store is retried, in seconds."""

    def __init__(
        self,
        credentials: Callable[[], wire.CredentialsResponse],
        log: Callable[..., None] = lambda _event, **_fields: None,
        *,
        patience: float = 120.0,
    ) -> None:
        self._access = _Access(credentials)
        self._client = self._access.client()
        self._log = log
        self._patience = patience

    def put_bytes(self, uri: str, content: bytes) -> None:
        """Create the object `s3://bucket/key`; see `put_file`."""
        self._put(uri, lambda: io.BytesIO(content), hashlib.sha256(content).hexdigest())

    def put_file(self, uri: str, path: Path, sha256: str) -> None:
        """Create `s3://bucket/key` from a file. OperatorError `ObjectConflict` where other content is there."""
        self._put(uri, lambda: path.open("rb"), sha256)

    def get_bytes(self, uri: str, sha256: str) -> bytes:
        """The small object `s3://bucket/key`. OperatorError `ObjectChanged` unless it has this hash."""
        body = io.BytesIO()
        self._get(uri, body, sha256)
        return body.getvalue()

    def get_file(self, uri: str, path: Path, sha256: str) -> None:
        """Write `s3://bucket/key` to a file; see `get_bytes`."""
        with path.open("wb") as file:
            self._get(uri, file, sha256)

    def _get(self, uri: str, target: IO[bytes], sha256: str) -> None:
        bucket, key = split_uri(uri)

        def get() -> bool:
            target.seek(0)
            target.truncate()
            digest = hashlib.sha256()
            for chunk in self._client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK):
                digest.update(chunk)
                target.write(chunk)
            if digest.hexdigest() != sha256:
                raise OperatorError("ObjectChanged", f"{uri} holds other content than was committed")
            return True

        self._patiently(uri, get)

    def _put(self, uri: str, opened: Callable[[], IO[bytes]], sha256: str) -> None:
        from botocore.exceptions import BotoCoreError

        bucket, key = split_uri(uri)

        def put() -> bool:
            # If-None-Match (RFC 9110, 13.1.2): of two writers of one key the first wins.
            try:
                with opened() as body:
                    self._client.put_object(Bucket=bucket, Key=key, Body=body, IfNoneMatch="*")
            except BotoCoreError as error:
                self._must_be_there(bucket, key, error)
                return False
            return True

        if not self._patiently(uri, put):
            # Another writer's object, or this one's, whose reply was lost: the content decides.
            self._must_equal(uri, bucket, key, sha256)

    def _must_be_there(self, bucket: str, key: str, failure: Exception) -> None:
        """Return where a put without an answer left an object, or found one. A store may refuse a put while it is
        still being sent to, and close the connection, so that its reason is never read: a get is refused for it,
        too. Raises that reason, or `failure`."""
        from botocore.exceptions import ClientError

        try:
            self._client.get_object(Bucket=bucket, Key=key)["Body"].close()
        except ClientError as error:
            # To who may not list, a missing object is a forbidden one.
            if error.response.get("Error", {}).get("Code", "") in ("NoSuchKey", "AccessDenied"):
                raise failure from error
            raise

    def _patiently(self, uri: str, call: Callable[[], bool]) -> bool:
        """Call until the store answers, and return what it returned; False, too, where the store says that a
        precondition failed. Raises OperatorError."""
        from botocore.exceptions import BotoCoreError, ClientError

        failure: Exception = OperatorError("ObjectStoreUnavailable", f"{uri} was not tried")
        for delay in delays(self._patience):
            try:
                return call()
            except ClientError as error:
                status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
                code = error.response.get("Error", {}).get("Code", "")
                if status == 412:
                    return False
                if code in _GIVE_UP_CODES or status in _GIVE_UP_STATUSES:
                    raise OperatorError("ObjectStoreRefused", f"{uri}: {code}") from error
                failure = error
            except BotoCoreError as error:
                failure = error
            self._log("object store did not answer", level="warning", error=str(failure), wait=round(delay, 1))
            time.sleep(delay)
        raise OperatorError("ObjectStoreUnavailable", f"{uri}: {type(failure).__name__}: {failure}") from failure

    def _must_equal(self, uri: str, bucket: str, key: str, sha256: str) -> None:
        digest = hashlib.sha256()
        for chunk in self._client.get_object(Bucket=bucket, Key=key)["Body"].iter_chunks(_CHUNK):
            digest.update(chunk)
        if digest.hexdigest() != sha256:
            raise OperatorError("ObjectConflict", f"{uri} holds other content than this attempt made")


def split_uri(uri: str) -> tuple[str, str]:
    """`s3://bucket/key` -> (bucket, key). ValueError for anything else."""
    scheme, _, rest = uri.partition("://")
    bucket, _, key = rest.partition("/")
    if scheme != "s3" or not bucket or not key or ".." in key.split("/"):
        raise ValueError(f"not a canonical s3://bucket/key: {uri!r}")
    return bucket, key


class _Access:
    """What the client is made with, and what it asks for before the old credentials expire."""

    def __init__(self, credentials: Callable[[], wire.CredentialsResponse]) -> None:
        self._credentials = credentials
        # The library reads CA certificates from a file, at each new connection.
        self._ca = tempfile.NamedTemporaryFile(prefix="trace-ca-", suffix=".pem")  # noqa: SIM115  (as long as this)

    def client(self) -> Any:
        """A boto3 client that renews its credentials by itself."""
        import boto3
        import botocore.session
        from botocore.config import Config
        from botocore.credentials import RefreshableCredentials

        first = self._credentials()
        session = botocore.session.get_session()
        session._credentials = RefreshableCredentials.create_from_metadata(
            metadata=self._metadata(first),
            refresh_using=lambda: self._metadata(self._credentials()),
            method="trace-task-credentials",
        )
        style = {"Path": "path", "VirtualHosted": "virtual", None: "path" if first.endpoint_url else "auto"}
        checksums = {"WhenSupported": "when_supported", "WhenRequired": "when_required"}[first.checksums]
        return boto3.Session(botocore_session=session).client(
            "s3",
            endpoint_url=first.endpoint_url,
            region_name=first.region,
            verify=self._ca.name if first.ca else None,
            config=Config(
                connect_timeout=5,
                read_timeout=60,
                retries={"mode": "standard", "max_attempts": 2},
                request_checksum_calculation=checksums,
                response_checksum_validation=checksums,
                s3={"addressing_style": style[first.addressing]},
            ),
        )

    def _metadata(self, answer: wire.CredentialsResponse) -> dict[str, str]:
        if answer.ca:
            Path(self._ca.name).write_text(answer.ca)
        return {
            "access_key": answer.access_key_id,
            "secret_key": answer.secret_access_key,
            "token": answer.session_token,
            "expiry_time": answer.expires_at,
        }
