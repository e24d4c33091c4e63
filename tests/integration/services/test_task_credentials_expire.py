"""A task's S3 credentials open nothing once they have expired, on the store's own clock.

A store gives none for less than a quarter of an hour (STS AssumeRole: 900 seconds), so that is how long this takes.
`make test` runs it beside everything else, where the wait costs nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import services
from traceplane.drivers.objects import Credentials, TaskCredentials
from traceplane.settings import Settings
from traceplane.tasks import prefixes

pytestmark = [pytest.mark.services, pytest.mark.patient, pytest.mark.timeout(1200)]

PREFIX = "org/chain/own/"
SHORTEST_SECONDS = 900
SLACK_SECONDS = 60


def test_expired_credentials_open_nothing(object_store: services.ObjectStore, bucket: str) -> None:
    before = mint(object_store, bucket)
    expiry = datetime.fromisoformat(before.expires_at)
    assert (expiry - datetime.now(UTC)).total_seconds() <= SHORTEST_SECONDS + 1
    client = as_task(object_store, before)
    client.put_object(Bucket=bucket, Key=f"{PREFIX}a", Body=b"x")

    while (left := (expiry - datetime.now(UTC)).total_seconds()) > -SLACK_SECONDS:
        if (code := refusal(client.get_object, Bucket=bucket, Key=f"{PREFIX}a")) is not None:
            break
        time.sleep(5)
    assert left <= 1, f"refused with {code} {left:.0f} s before it expires"

    for call, more in (
        (client.get_object, {"Key": f"{PREFIX}a"}),
        (client.put_object, {"Key": f"{PREFIX}b", "Body": b"y"}),
        (client.list_objects_v2, {"Prefix": PREFIX}),
    ):
        assert refusal(call, Bucket=bucket, **more) in {"ExpiredToken", "AccessDenied", "InvalidAccessKeyId"}
    assert object_store.keys(bucket) == [f"{PREFIX}a"]
    later = as_task(object_store, mint(object_store, bucket))
    assert later.get_object(Bucket=bucket, Key=f"{PREFIX}a")["Body"].read() == b"x"


def mint(store: services.ObjectStore, bucket: str) -> Credentials:
    """What a task that writes PREFIX is given, for as short as a store does."""
    settings = Settings(
        s3_endpoint_url=store.endpoint_url,
        s3_access_key_id=store.access_key_id,
        s3_secret_access_key=store.secret_access_key,
    )
    policy = prefixes.session_policy([], [prefixes.parse(f"s3://{bucket}/{PREFIX}")])
    return asyncio.run(TaskCredentials(settings).mint(policy, session="test", seconds=SHORTEST_SECONDS))


def as_task(store: services.ObjectStore, given: Credentials) -> Any:
    return store.client(
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        aws_session_token=given.session_token,
    )


def refusal(call: Callable[..., Any], **arguments: Any) -> str | None:
    """The code that the store refuses the call with; None where it does not."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None
