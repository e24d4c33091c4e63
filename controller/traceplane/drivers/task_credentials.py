"""Temporary object-store credentials for tasks, from STS AssumeRole (AWS STS API, 2011-06-15).

Tasks never see the platform's own keys: what they get is confined by a session policy to the prefixes of their
token. That needs a store that has STS. One that has none says so at start, before a task asks, and then tasks get
the keys of `task_keys` instead, where an operator has chosen so.
"""

from __future__ import annotations

import asyncio
from typing import Any, Protocol

import boto3
import structlog
from botocore.config import Config
from botocore.exceptions import BotoCoreError, ClientError, InvalidEndpointConfigurationError

from traceplane.drivers import s3client
from traceplane.drivers.objects import CONNECT_SECONDS, REQUEST_SECONDS
from traceplane.errors import InvalidSettings, Refused, TraceError, Unavailable
from traceplane.settings.object_store import ObjectStore
from traceplane_sdk.wire import CredentialsResponse

SHORTEST_SECONDS = 900
"""STS gives no credentials for less."""
NO_STS = "NoSts"
_BAD_POLICY = frozenset({"MalformedPolicyDocument", "PackedPolicyTooLarge"})
_NO_STS_STATUSES = frozenset({404, 405, 501})
_NO_STS_CODES = frozenset({"InvalidAction", "MethodNotAllowed", "NotImplemented", "ResponseParserError"})
"""What the address of a store without STS answers to AssumeRole, each in its own way; STS itself never does."""

_log = structlog.get_logger("trace.objects")


class Credentials(Protocol):
    """Where a task's credentials come from."""

    @property
    def refusal(self) -> str | None:
        """Why none will be had, and what to do; None where they are had, or where it is not known yet."""

    @property
    def proven(self) -> bool:
        """Whether they were had."""

    async def mint(self, policy: str, *, namespace: str, session: str, seconds: float) -> CredentialsResponse:
        """Credentials for a task of `namespace`. Raises Refused, Unavailable."""


class TaskCredentials:
    """Mints credentials. Nothing is cached: each task has prefixes of its own."""

    def __init__(self, settings: ObjectStore) -> None:
        self._settings = settings
        self._client: tuple[tuple[str, str], Any] | None = None
        self.proven = False
        self.refusal: str | None = None

    async def mint(self, policy: str, *, namespace: str, session: str, seconds: float) -> CredentialsResponse:
        """Credentials confined by the session `policy`, for about `seconds` (at least SHORTEST_SECONDS).

        Raises Refused where STS does not take the policy, and Unavailable.
        """
        lifetime = int(max(SHORTEST_SECONDS, min(seconds, self._settings.sts_seconds)))
        try:
            answer = await asyncio.to_thread(self._assume, policy, session, lifetime)
        except (BotoCoreError, ClientError) as error:
            failure = _no_credentials(error, self._settings)
            # An STS that has worked is only away, whatever a proxy before it says meanwhile.
            self.refusal = failure.message if failure.code == NO_STS and not self.proven else None
            raise failure from error
        self.proven, self.refusal = True, None
        given = answer["Credentials"]
        return s3client.lent(
            self._settings,
            (given["AccessKeyId"], given["SecretAccessKey"]),
            session_token=given["SessionToken"],
            expires_at=given["Expiration"],
        )

    def _assume(self, policy: str, session: str, seconds: int) -> Any:
        return self._sts().assume_role(
            RoleArn=self._settings.sts_role_arn, RoleSessionName=session, DurationSeconds=seconds, Policy=policy
        )

    def _sts(self) -> Any:
        """A client with the platform's own keys as they are now; made anew only when they were rotated."""
        try:
            own = self._settings.read_s3_keys()
        except InvalidSettings as error:  # they were there at start: the file is being replaced
            raise Unavailable(error.message) from error
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
                verify=None if (ca := self._settings.s3_ca_file) is None else str(ca),
                config=Config(
                    connect_timeout=CONNECT_SECONDS, read_timeout=REQUEST_SECONDS, retries={"total_max_attempts": 2}
                ),
            )
        except ValueError as error:  # what botocore raises for an address that it does not take
            raise InvalidEndpointConfigurationError(msg=str(error)) from error


def _no_credentials(error: BotoCoreError | ClientError, settings: ObjectStore) -> TraceError:
    """The error for a refusal of STS, or for no answer."""
    code, status = type(error).__name__, None
    if isinstance(error, ClientError):
        # An answer that is not of STS need not have either.
        code = str(error.response.get("Error", {}).get("Code", "Unknown"))
        status = error.response.get("ResponseMetadata", {}).get("HTTPStatusCode")
    if code in _BAD_POLICY:  # of this task alone, and never to be taken
        return Refused(f"STS does not take the policy of this task's prefixes ({code})", code="CredentialsPolicy")
    # A wrong role or key is for an operator to mend, who finds it here; for the task, STS is as good as away.
    _log.error("STS gives no credentials", code=code, status=status, role=settings.sts_role_arn)
    if code in _NO_STS_CODES or status in _NO_STS_STATUSES:
        place = settings.sts_endpoint_url or settings.s3_endpoint_url or "AWS"
        return Unavailable(
            f"{place} has no STS ({status or code}), which s3.credentials=Sts (TRACE_S3_CREDENTIALS) asks for "
            "credentials of tasks: name another in s3.stsEndpoint (TRACE_STS_ENDPOINT_URL), or set s3.credentials "
            "to Static",
            code=NO_STS,
        )
    return Unavailable(f"STS does not give credentials ({code})")
