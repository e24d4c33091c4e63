"""How every client of the object store speaks to it: at which address, with which keys, by which CA.

The platform's own keys are files because they rotate, so clients ask for them again. What a task needs to know
goes with its credentials (`lent`), so that it stands in one place and no worker pod has to have it.
"""

from __future__ import annotations

from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from functools import partial
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from traceplane.errors import Unavailable
from traceplane.settings.object_store import ObjectStore
from traceplane_sdk.wire import CredentialsResponse

if TYPE_CHECKING:
    from obstore.store import S3Credential


Keys = Callable[[], tuple[str, str]]
"""Access key id and secret key, as they are now. Raises InvalidSettings."""


def lent(
    settings: ObjectStore, keys: tuple[str, str], *, session_token: str, expires_at: datetime
) -> CredentialsResponse:
    """What a task gets to open the store with. Raises Unavailable."""
    try:
        ca = settings.read_s3_ca()
    except OSError as error:  # the file is being replaced
        raise Unavailable(f"cannot read {settings.s3_ca_file}: {error.strerror}") from error
    return CredentialsResponse(
        access_key_id=keys[0],
        secret_access_key=keys[1],
        session_token=session_token,
        expires_at=expires_at.astimezone(UTC).isoformat(),
        endpoint_url=settings.s3_endpoint_url,
        region=settings.s3_region,
        addressing=settings.s3_addressing,
        checksums=settings.s3_checksums,
        ca=None if ca is None else ca.decode(errors="replace"),
    )


def current(keys: Keys, seconds: float) -> S3Credential:
    """The keys as they are now, as good for `seconds`. A store asks again within the last five minutes of that.
    Raises InvalidSettings."""
    key_id, secret = keys()
    return {
        "access_key_id": key_id,
        "secret_access_key": secret,
        "expires_at": datetime.now(UTC) + timedelta(seconds=seconds),
    }


def options(
    settings: ObjectStore,
    endpoint: str | None,
    keys: Keys | None,
    *,
    reread: float,
    connect: float,
    total: float,
    bucket: str | None = None,
) -> dict[str, Any]:
    """What an `S3Store` at `endpoint` is made with, of the platform's bucket or of `bucket`.

    `keys` are read again after `reread` seconds; without any the machine's identity counts. `connect` and `total`
    limit one request. Raises InvalidSettings: what is missing is named at start.
    """
    virtual = settings.s3_addressing == "VirtualHosted" or (settings.s3_addressing is None and endpoint is None)
    config: dict[str, Any] = {"region": settings.s3_region, "virtual_hosted_style_request": virtual}
    client: dict[str, Any] = {"connect_timeout": f"{connect}s", "timeout": f"{total}s"}
    if endpoint is not None:
        # The library takes the address as it is to be asked: with this style, the bucket's.
        config["endpoint"] = _of_bucket(endpoint, bucket or settings.s3_bucket) if virtual else endpoint
        client["allow_http"] = endpoint.startswith("http://")
    if (ca := settings.read_s3_ca()) is not None:
        client["root_certificate"] = ca
    made: dict[str, Any] = {"config": config, "client_options": client}
    if keys is not None:
        made["credential_provider"] = partial(current, keys, reread)
        keys()
    return made


def _of_bucket(endpoint: str, bucket: str) -> str:
    parts = urlsplit(endpoint)
    return parts._replace(netloc=f"{bucket}.{parts.netloc}").geturl()
