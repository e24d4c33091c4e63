"""The platform's own keys of the object store, for clients that ask for them again: they are files because they
rotate."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from typing import TYPE_CHECKING

from traceplane.settings import Settings

if TYPE_CHECKING:
    from obstore.store import S3Credential


def current(settings: Settings, seconds: float) -> S3Credential:
    """The keys as they are now, as good for `seconds`. A store asks again within the last five minutes of that.
    Raises InvalidSettings."""
    return {
        "access_key_id": settings.secret("s3_access_key_id"),
        "secret_access_key": settings.secret("s3_secret_access_key"),
        "expires_at": datetime.now(UTC) + timedelta(seconds=seconds),
    }
