"""The platform's own keys of the object store, for clients that ask for them again: they are files because they
rotate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from traceplane.settings.parts import ObjectStore

if TYPE_CHECKING:
    from obstore.store import S3Credential


def current(settings: ObjectStore, seconds: float) -> S3Credential:
    """The keys as they are now, as good for `seconds`. A store asks again within the last five minutes of that.
    Raises InvalidSettings."""
    key_id, secret = settings.read_s3_keys()
    return {
        "access_key_id": key_id,
        "secret_access_key": secret,
        "expires_at": datetime.now(UTC) + timedelta(seconds=seconds),
    }
