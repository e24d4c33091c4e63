"""Object storage: the few operations the platform itself needs, and credentials for tasks.

Keys are relative to the platform's one bucket. Writing is put-if-absent only (`If-None-Match: *`), because files
of a commit are written once and two writers of one key must not both believe in theirs. Every call has a connect
and a total time limit and a bounded number of retries; a store that does not answer is `Unavailable`.

The platform's own credentials are read from mounted files again every minute, so a rotation needs no restart.
Tasks never see them: they get temporary ones from STS AssumeRole, confined by a session policy.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

import boto3
import obstore
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, InvalidEndpointConfigurationError
from obstore import exceptions
from obstore.store import S3Store

if TYPE_CHECKING:
    from obstore.store import S3Config

from traceplane.drivers import s3keys
from traceplane.errors import NotFound, Refused, TooLarge, TraceError, Unavailable
from traceplane.settings.parts import ObjectStore

CONNECT_SECONDS = 3
REQUEST_SECONDS = 10
RETRIES = 2
RETRY_SECONDS = 15
REREAD_SECONDS = 60

_BAD_POLICY = frozenset({"MalformedPolicyDocument", "PackedPolicyTooLarge"})

_log = structlog.get_logger("trace.objects")


@dataclass(frozen=True, slots=True)
class StoredObject:
    """One object: its key, its size in bytes, and when it was last written."""

    key: str
    size: int
    modified: datetime


@dataclass(frozen=True, slots=True)
class Credentials:
    """Temporary credentials of a task. `expires_at` in RFC 3339."""

    access_key_id: str
    secret_access_key: str
    session_token: str
    expires_at: str


class Objects(Protocol):
    """What the platform asks of an object store. Every method raises Unavailable when it does not answer."""

    async def get(self, key: str, *, max_bytes: int) -> bytes:
        """An object's content. Raises NotFound, or TooLarge past `max_bytes`."""

    async def put_if_absent(self, key: str, content: bytes) -> bool:
        """Write a new object; False, and nothing changed, where the key exists."""

    async def head(self, key: str) -> StoredObject | None:
        """The object's size, or None."""

    async def list(self, prefix: str, *, limit: int) -> list[StoredObject]:
        """Up to `limit` objects below `prefix`."""

    async def delete(self, key: str) -> None:
        """Remove an object; nothing where there is none."""


class S3Objects:
    """The platform's bucket on S3 or anything that speaks its protocol."""

    def __init__(self, settings: ObjectStore) -> None:
        endpoint = settings.s3_endpoint_url

        credentials = partial(s3keys.current, settings, REREAD_SECONDS)
        credentials()  # a missing setting is named at start, not at the first commit
        config: S3Config = {"region": settings.s3_region, "virtual_hosted_style_request": endpoint is None}
        if endpoint is not None:
            config["endpoint"] = endpoint
        self._store = S3Store(
            settings.s3_bucket,
            config=config,
            credential_provider=credentials,
            client_options={
                "connect_timeout": timedelta(seconds=CONNECT_SECONDS),
                "timeout": timedelta(seconds=REQUEST_SECONDS),
                "allow_http": endpoint is not None and endpoint.startswith("http://"),
            },
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


class TaskCredentials:
    """Temporary credentials from STS AssumeRole (AWS STS API, 2011-06-15). Nobody caches them."""

    def __init__(self, settings: ObjectStore) -> None:
        self._settings = settings
        self._read: Callable[[], tuple[str, str]] = settings.read_s3_keys
        self._client: tuple[tuple[str, str], Any] | None = None

    async def mint(self, policy: str, *, session: str, seconds: float) -> Credentials:
        """Credentials confined by the session `policy`, for about `seconds` (at least STS's 900)."""
        lifetime = int(max(900, min(seconds, self._settings.sts_seconds)))
        try:
            answer = await asyncio.to_thread(self._assume, policy, session, lifetime)
        except (BotoCoreError, ClientError) as error:
            raise _no_credentials(error, self._settings.sts_role_arn) from error
        given = answer["Credentials"]
        return Credentials(
            given["AccessKeyId"],
            given["SecretAccessKey"],
            given["SessionToken"],
            given["Expiration"].astimezone(UTC).isoformat(),
        )

    def _assume(self, policy: str, session: str, seconds: int) -> Any:
        return self._sts().assume_role(
            RoleArn=self._settings.sts_role_arn, RoleSessionName=session, DurationSeconds=seconds, Policy=policy
        )

    def _sts(self) -> Any:
        """A client with the platform's present credentials."""
        own = self._read()
        if self._client is None or self._client[0] != own:
            self._client = (own, self._made(own))
        return self._client[1]

    def _made(self, own: tuple[str, str]) -> Any:
        """A client with these credentials. Raises BotoCoreError."""
        try:
            return boto3.client(
                "sts",
                endpoint_url=self._settings.sts_endpoint_url or self._settings.s3_endpoint_url,
                region_name=self._settings.s3_region,
                aws_access_key_id=own[0],
                aws_secret_access_key=own[1],
                config=Config(
                    connect_timeout=CONNECT_SECONDS, read_timeout=REQUEST_SECONDS, retries={"total_max_attempts": 2}
                ),
            )
        except ValueError as error:  # what botocore raises for an address that it does not take
            raise InvalidEndpointConfigurationError(msg=str(error)) from error


def _no_credentials(error: BotoCoreError | ClientError, role: str) -> TraceError:
    """What STS's refusal means. A policy that it does not take is of this task alone, and never will be taken; all
    else an operator can mend, and needs the log for: to a task it is as good as an absence."""
    code = str(error.response["Error"]["Code"]) if isinstance(error, ClientError) else type(error).__name__
    if code in _BAD_POLICY:
        return Refused(f"STS does not take the policy of this task's prefixes ({code})", code="CredentialsPolicy")
    _log.error("STS gives no credentials", code=code, role=role)
    return Unavailable(f"STS does not give credentials ({code})")


def _away(error: Exception) -> Unavailable:
    return Unavailable(f"the object store does not answer ({type(error).__name__})")
