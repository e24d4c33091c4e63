"""What `spec.external` names, and what of it this installation allows.   (pure)

A user who may write an Asset chooses what it publishes, so two walls stand here: a file set lies in a bucket that
a setting allows, and never in Trace's own folders, whose rows other assets may keep for certain roles; a table
lies outside of Trace's own schemas. Where it is declared and where it is read, both are looked at.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from traceplane.kinds.asset_rules import OWN_SCHEMAS

FORMATS: Mapping[str, Literal["csv", "json", "parquet"]] = {
    "csv": "csv",
    "tsv": "csv",
    "json": "json",
    "jsonl": "json",
    "ndjson": "json",
    "parquet": "parquet",
}
"""By the ending of a file's name; `.gz` may follow those of text."""

_URI = re.compile(r"s3://([a-z0-9][-.a-z0-9]{1,61}[a-z0-9])/(.*)", re.DOTALL)
_TABLE = re.compile(r"([a-z_][a-z0-9_]{0,62})\.([a-z_][a-z0-9_]{0,62})")
_OWN_FOLDER = re.compile(r"[0-9a-f]{8}(-[0-9a-f]{4}){3}-[0-9a-f]{12}|exports")
"""Trace's folders in the bucket of cold data: data of an organisation, and answers to queries."""


@dataclass(frozen=True, slots=True)
class Files:
    """A file set: objects of `bucket` below `prefix` whose keys match `pattern`."""

    bucket: str
    prefix: str
    pattern: re.Pattern[str]

    def has(self, key: str) -> bool:
        """Whether an object belongs to the set. Names that begin with `_` or `.` are markers, not data."""
        return self.pattern.fullmatch(key) is not None and key.rpartition("/")[2][:1] not in ("", "_", ".")


@dataclass(frozen=True, slots=True)
class Table:
    """A table of the data database."""

    schema: str
    name: str

    def __str__(self) -> str:
        return f"{self.schema}.{self.name}"


class NotAllowed(ValueError):
    """The text names the field, why, and what would be allowed."""


def parse(source: Mapping[str, Any], *, buckets: Collection[str], own_bucket: str) -> Files | Table:
    """What a source names. Raises NotAllowed."""
    if source.get("table"):
        return _table(str(source["table"]))
    return _files(str(source.get("uri")), buckets, own_bucket)


def format_of(name: str) -> tuple[Literal["csv", "json", "parquet"], bool] | None:
    """The format of a file by its name, and whether it is compressed; None for one that is not read."""
    plain = name.removesuffix(".gz")
    found = FORMATS.get(plain.rpartition(".")[2])
    zipped = plain != name
    return None if found is None or (zipped and found == "parquet") else (found, zipped)


def _table(text: str) -> Table:
    match = _TABLE.fullmatch(text)
    if match is None:
        raise NotAllowed(f"spec.external.table: {text[:128]!r} is not schema.name")
    table = Table(match[1], match[2])
    if re.match(OWN_SCHEMAS, text):
        raise NotAllowed(
            f"spec.external.table: schema {table.schema} is Trace's own or the server's; name a table of a schema "
            "of yours"
        )
    return table


def _files(uri: str, buckets: Collection[str], own_bucket: str) -> Files:
    match = _URI.fullmatch(uri)
    if match is None or ".." in uri.split("/"):
        raise NotAllowed(f"spec.external.uri: {uri[:128]!r} is not s3://bucket/ with a prefix, a key or a pattern")
    bucket, key = match[1], match[2]
    if bucket not in buckets:
        allowed = ", ".join(sorted(buckets))
        raise NotAllowed(
            f"spec.external.uri: bucket {bucket} may not be read here, only {allowed}; put the files there, or ask "
            "for it in TRACE_EXTERNAL_BUCKETS"
        )
    literal = re.split(r"[*?]", key, maxsplit=1)[0]
    whole = literal == key
    folder, slash, _ = literal.partition("/")
    if bucket == own_bucket and (_OWN_FOLDER.fullmatch(folder) or not (slash or (whole and key))):
        raise NotAllowed(
            f"spec.external.uri: bucket {bucket} is that of cold data, so the address begins with a folder of its "
            f"own, such as s3://{bucket}/prices/, and none of Trace's"
        )
    prefix = literal if whole else literal.rpartition("/")[0] + "/" * ("/" in literal)
    return Files(bucket, prefix, re.compile(_pattern(key)))


def _pattern(key: str) -> str:
    """A regular expression of the keys that are meant: below a prefix, one key, or those of a pattern."""
    if key == "" or key.endswith("/"):
        return re.escape(key) + ".+"
    made = {"**": ".*", "*": "[^/]*", "?": "[^/]"}
    return "".join(made.get(part) or re.escape(part) for part in re.split(r"(\*\*|\*|\?)", key))
