"""Objects as a task writes them: once, and what the store will never take ends the attempt at once."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import Any

import pytest

from tests import services
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.objects import ObjectStore

pytestmark = pytest.mark.services


def opened(store: services.ObjectStore, **changed: Any) -> ObjectStore:
    """The store as a task has it, with `changed` credentials; it is tried again for a moment only."""
    given = {
        "access_key_id": store.access_key_id,
        "secret_access_key": store.secret_access_key,
        "session_token": "",
        "expires_at": (datetime.now(UTC) + timedelta(hours=1)).isoformat(),
        "endpoint_url": store.endpoint_url,
        "region": "us-east-1",
    }
    return ObjectStore(lambda: wire.CredentialsResponse(**given | changed), patience=0.5)


def test_an_object_is_written_once_and_a_repeat_must_be_of_the_same_content(
    object_store: services.ObjectStore, bucket: str
):
    store, uri = opened(object_store), f"s3://{bucket}/a/b"
    store.put_bytes(uri, b"first")
    store.put_bytes(uri, b"first")
    with pytest.raises(OperatorError) as refused:
        store.put_bytes(uri, b"other")
    assert refused.value.code == "ObjectConflict"
    assert object_store.client().get_object(Bucket=bucket, Key="a/b")["Body"].read() == b"first"


def test_a_store_that_is_away_is_tried_again_and_then_told(bucket: str, object_store: services.ObjectStore):
    with pytest.raises(OperatorError) as refused:
        opened(object_store, endpoint_url="http://127.0.0.1:1").put_bytes(f"s3://{bucket}/a", b"content")
    assert (refused.value.code, refused.value.retryable) == ("ObjectStoreUnavailable", True)
