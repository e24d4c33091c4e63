"""A task's S3 credentials open nothing once they have expired, on the store's own clock.

A store gives none for less than a quarter of an hour (STS AssumeRole: 900 seconds), so that is how long this takes.
`make test` runs it beside everything else, where the wait costs nothing.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime
from typing import Any

import pytest
from botocore.exceptions import ClientError

from tests import services
from tests.integration.services.credentials import OWN, as_task, mint
from tests.support.waiting import until
from traceplane.drivers.task_credentials import SHORTEST_SECONDS

pytestmark = [pytest.mark.services, pytest.mark.patient, pytest.mark.timeout(1200)]

SLACK_SECONDS = 60


def test_expired_credentials_open_nothing(object_store: services.ObjectStore, bucket: str) -> None:
    before = mint(object_store, bucket, read=[], write=[OWN])
    expiry = datetime.fromisoformat(before.expires_at)
    assert (expiry - datetime.now(UTC)).total_seconds() <= SHORTEST_SECONDS + 1
    client = as_task(object_store, before)
    client.put_object(Bucket=bucket, Key=f"{OWN}a", Body=b"x")

    code = until(
        lambda: refusal(client.get_object, Bucket=bucket, Key=f"{OWN}a"),
        "the store refuses them",
        timeout=SHORTEST_SECONDS + SLACK_SECONDS,
        every=5,
    )
    left = (expiry - datetime.now(UTC)).total_seconds()
    assert left <= 1, f"refused with {code} {left:.0f} s before it expires"

    for call, more in (
        (client.get_object, {"Key": f"{OWN}a"}),
        (client.put_object, {"Key": f"{OWN}b", "Body": b"y"}),
        (client.list_objects_v2, {"Prefix": OWN}),
    ):
        assert refusal(call, Bucket=bucket, **more) in {"ExpiredToken", "AccessDenied", "InvalidAccessKeyId"}
    assert object_store.keys(bucket) == [f"{OWN}a"]
    later = as_task(object_store, mint(object_store, bucket, read=[], write=[OWN]))
    assert later.get_object(Bucket=bucket, Key=f"{OWN}a")["Body"].read() == b"x"


def refusal(call: Callable[..., Any], **arguments: Any) -> str | None:
    """The code that the store refuses the call with; None where it does not."""
    try:
        call(**arguments)
    except ClientError as error:
        return str(error.response["Error"]["Code"])
    return None
