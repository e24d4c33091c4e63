"""A task's S3 credentials, minted as the dispatcher mints them, and a client that uses them."""

from __future__ import annotations

import asyncio
from typing import Any

from tests import services
from traceplane.drivers.task_credentials import SHORTEST_SECONDS, TaskCredentials
from traceplane.identity import prefixes
from traceplane.settings import Settings
from traceplane_sdk.wire import CredentialsResponse

OWN, INPUT, OTHER = "org/chain/own/", "org/chain/input/", "org/chain/other/"


def mint(store: services.ObjectStore, bucket: str, *, read: list[str], write: list[str]) -> CredentialsResponse:
    """What a task with these prefixes is given, for as short as a store does."""
    settings = Settings(
        s3_endpoint_url=store.endpoint_url,
        s3_access_key_id=store.access_key_id,
        s3_secret_access_key=store.secret_access_key,
    )
    readable, writable = ([prefixes.parse(f"s3://{bucket}/{key}") for key in keys] for keys in (read, write))
    policy = prefixes.session_policy(readable, writable)
    return asyncio.run(TaskCredentials(settings).mint(policy, session="test", seconds=SHORTEST_SECONDS))


def as_task(store: services.ObjectStore, given: CredentialsResponse) -> Any:
    """An S3 client with `given`."""
    return store.client(
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        aws_session_token=given.session_token,
    )
