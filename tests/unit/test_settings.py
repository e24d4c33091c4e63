"""What settings are refused at start, with their names."""

from __future__ import annotations

import pytest

from traceplane import settings
from traceplane.errors import InvalidSettings


@pytest.mark.parametrize("name", ["s3_endpoint_url", "s3_public_endpoint_url", "sts_endpoint_url"])
@pytest.mark.parametrize(
    "address", ["minio.example:9000", "minio", "", "ftp://minio", "http://", "http://minio:port", "https:/minio"]
)
def test_an_address_of_the_object_store_that_is_none_is_named_with_the_remedy(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRACE_{name.upper()}", address)
    with pytest.raises(InvalidSettings) as refused:
        settings.load()
    assert (
        refused.value.message == f"TRACE_{name.upper()}: write https://host or http://host:port, or leave it unset"
    )


@pytest.mark.parametrize("address", ["http://minio:9000", "https://s3.example", "http://[::1]:9000/", None])
def test_one_that_is_one_is_taken(address: str | None) -> None:
    assert settings.load(s3_endpoint_url=address).s3_endpoint_url == address
