"""An object's address has a bucket and a key that stays below its prefix."""

from __future__ import annotations

import pytest

from traceplane_sdk.objects import split_uri


def test_an_address_is_a_bucket_and_a_key() -> None:
    assert split_uri("s3://bucket/a/b..c/d.parquet") == ("bucket", "a/b..c/d.parquet")


@pytest.mark.parametrize(
    "uri", ["http://bucket/key", "s3://bucket", "s3://bucket/", "s3:///key", "s3://bucket/a/../b", "bucket/key", ""]
)
def test_what_is_no_address_is_refused(uri: str) -> None:
    with pytest.raises(ValueError, match="not a canonical"):
        split_uri(uri)
