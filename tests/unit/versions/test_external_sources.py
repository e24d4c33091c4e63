"""What an external source may name: files of a bucket that is allowed, or a table, and nothing of Trace's own."""

from __future__ import annotations

from typing import Any

import pytest

from traceplane.versions.external_sources import Files, NotAllowed, Table, parse

OWN = "cold"
ORG = "00000000-0000-7000-8000-000000000001"


def parsed(**source: Any) -> Files | Table:
    return parse(source, buckets=["others", OWN], own_bucket=OWN)


@pytest.mark.parametrize(
    ("uri", "bucket", "prefix"),
    [
        ("s3://others/", "others", ""),
        (f"s3://others/{ORG}/a.csv", "others", f"{ORG}/a.csv"),
        (f"s3://{OWN}/a.csv", OWN, "a.csv"),
        (f"s3://{OWN}/prices/*.csv", OWN, "prices/"),
        (f"s3://{OWN}/exports-of-mine/", OWN, "exports-of-mine/"),
    ],
)
def test_files_of_an_allowed_bucket_may_be_read(uri: str, bucket: str, prefix: str) -> None:
    found = parsed(uri=uri)
    assert isinstance(found, Files)
    assert (found.bucket, found.prefix) == (bucket, prefix)


def test_a_table_of_another_schema_may_be_read() -> None:
    assert parsed(table="reference.labels") == Table("reference", "labels")


@pytest.mark.parametrize(
    ("source", "said"),
    [
        ({"uri": "https://others/a.csv"}, "is not s3://bucket/"),
        ({"uri": "s3://others"}, "is not s3://bucket/"),
        ({"uri": f"s3://{OWN}/prices/../exports/a.csv"}, "is not s3://bucket/"),
        ({"uri": "s3://secret/a.csv"}, "bucket secret may not be read here, only cold, others"),
        ({"uri": f"s3://{OWN}/"}, "begins with a folder of its own"),
        ({"uri": f"s3://{OWN}/*.csv"}, "begins with a folder of its own"),
        ({"uri": f"s3://{OWN}/exp*/a.csv"}, "begins with a folder of its own"),
        ({"uri": f"s3://{OWN}/exports/a.csv"}, "none of Trace's"),
        ({"uri": f"s3://{OWN}/exports"}, "none of Trace's"),
        ({"uri": f"s3://{OWN}/{ORG}/**"}, "none of Trace's"),
        ({"table": "labels"}, "is not schema.name"),
        ({"table": "a.b.c"}, "is not schema.name"),
        ({"table": 'a."b"'}, "is not schema.name"),
        ({"table": "pg_catalog.pg_authid"}, "schema pg_catalog is Trace's own or the server's"),
        ({"table": "hot.d_1"}, "is Trace's own or the server's"),
        ({"table": "information_schema.tables"}, "is Trace's own or the server's"),
        ({"table": "trace.query_results"}, "is Trace's own or the server's"),
    ],
)
def test_what_lies_behind_a_wall_is_refused(source: dict[str, str], said: str) -> None:
    with pytest.raises(NotAllowed) as refused:
        parsed(**source)
    assert said in str(refused.value)
