"""A task's S3 credentials, had as the dispatcher has them, and clients that use them."""

from __future__ import annotations

import asyncio
import ssl
from collections.abc import Mapping
from typing import Any

import msgspec

from tests import services
from traceplane.drivers.task_credentials import SHORTEST_SECONDS, Credentials, TaskCredentials
from traceplane.drivers.task_keys import TaskKeys
from traceplane.identity import prefixes
from traceplane.settings import Settings
from traceplane_sdk.objects import ObjectStore
from traceplane_sdk.wire import CredentialsResponse

OWN, INPUT, OTHER = "org/chain/own/", "org/chain/input/", "org/chain/other/"


def mint(store: services.ObjectStore, bucket: str, *, read: list[str], write: list[str]) -> CredentialsResponse:
    """What a task with these prefixes is given, for as short as a store does."""
    settings = Settings(**store.settings())
    readable, writable = ([prefixes.parse(f"s3://{bucket}/{key}") for key in keys] for keys in (read, write))
    policy = prefixes.session_policy(readable, writable)
    return asyncio.run(
        TaskCredentials(settings).mint(policy, namespace="demo", session="test", seconds=SHORTEST_SECONDS)
    )


def as_task(store: services.ObjectStore, given: CredentialsResponse) -> Any:
    """An S3 client with `given`."""
    return store.client(
        aws_access_key_id=given.access_key_id,
        aws_secret_access_key=given.secret_access_key,
        aws_session_token=given.session_token,
    )


def task_store(
    store: services.ObjectStore, bucket: str, *, given: Mapping[str, str] | None = None, **changed: Any
) -> ObjectStore:
    """The store as a task of namespace `demo` has it, with these settings, and credentials `given`, changed. It is
    tried again for a moment only."""
    settings = Settings(**store.settings() | {"s3_bucket": bucket} | changed)
    source: Credentials = TaskKeys(settings) if store.keys_folder else TaskCredentials(settings)
    policy = prefixes.session_policy([], [prefixes.parse(f"s3://{bucket}/org/demo/")])
    minted = asyncio.run(source.mint(policy, namespace="demo", session="test", seconds=SHORTEST_SECONDS))
    return ObjectStore(lambda: msgspec.structs.replace(minted, **(given or {})), patience=0.5)


def opened(store: services.ObjectStore) -> ssl.SSLContext:
    """TLS as somebody speaks it who was given the store's CA."""
    return ssl.create_default_context(cafile=str(store.ca) if store.ca else None)
