"""Prefixes in object storage: their one spelling, and the session policy that confines a task to its own.

A prefix comes back to us in tokens, manifests and completions, and ends in an IAM policy where `*`, `?` and `${`
mean something. So there is exactly one form, `s3://bucket/a/b/`, of plain characters only, and whatever differs
from it is refused rather than cleaned up.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from dataclasses import dataclass

from traceplane.errors import Refused, TooLarge

MAX_POLICY_CHARACTERS = 2048
"""STS AssumeRole's limit of an inline session policy."""

MAX_LENGTH = 1024
"""S3's limit of a key, in bytes; the characters we allow are one byte each."""

_PREFIX = re.compile(r"s3://([a-z0-9][a-z0-9.-]{1,61}[a-z0-9])/((?:[A-Za-z0-9_=.-]+/)+)")


class BadPrefix(Refused):
    """Not a canonical prefix."""

    code = "BadPrefix"


@dataclass(frozen=True, slots=True)
class Prefix:
    """A canonical prefix; `key` ends with a slash."""

    bucket: str
    key: str

    def __str__(self) -> str:
        return f"s3://{self.bucket}/{self.key}"


def parse(text: str) -> Prefix:
    """`text` as a prefix. Raises BadPrefix unless it is `s3://bucket/segment/.../` of plain segments, no `..`."""
    match = _PREFIX.fullmatch(text) if len(text) <= MAX_LENGTH else None
    if match is None or any(set(segment) <= {"."} for segment in match[2].split("/")[:-1]):
        raise BadPrefix(f"not a canonical prefix, which is s3://bucket/name/.../: {text[:200]!r}")
    return Prefix(match[1], match[2])


def in_policy(text: str) -> int:
    """At least so many characters of a session policy are a canonical prefix's: it stands there as a resource and,
    without its bucket, as a condition."""
    bucket_and_key = text.removeprefix("s3://")
    return len(f'"arn:aws:s3:::{bucket_and_key}*","{bucket_and_key.partition("/")[2]}*"')


def session_policy(read: Sequence[Prefix], write: Sequence[Prefix]) -> str:
    """An IAM policy that allows objects below `read` to be got, below `write` to be got and put, and both listed.

    Nothing else: no delete, no other bucket. Raises TooLarge past STS's 2,048 characters and Refused where
    there is no prefix at all, since an empty policy would mean the whole role.
    """
    written = sorted(set(map(str, write)))
    readable = sorted(set(map(str, read)) - set(written))
    if not written and not readable:
        raise Refused("the task has no prefix in object storage", code="NoPrefixes")
    statements: list[dict[str, object]] = []
    if written:
        statements.append(_objects(["s3:GetObject", "s3:PutObject"], written))
    if readable:
        statements.append(_objects(["s3:GetObject"], readable))
    by_bucket: dict[str, list[str]] = {}
    for prefix in map(parse, (*written, *readable)):
        by_bucket.setdefault(prefix.bucket, []).append(f"{prefix.key}*")
    statements += [
        {
            "Effect": "Allow",
            "Action": ["s3:ListBucket"],
            "Resource": [f"arn:aws:s3:::{bucket}"],
            "Condition": {"StringLike": {"s3:prefix": keys}},
        }
        for bucket, keys in sorted(by_bucket.items())
    ]
    policy = json.dumps({"Version": "2012-10-17", "Statement": statements}, separators=(",", ":"))
    if len(policy) > MAX_POLICY_CHARACTERS:
        raise TooLarge(
            f"{len(written) + len(readable)} prefixes or more do not fit into the session policy of a task's "
            f"credentials, which has {MAX_POLICY_CHARACTERS} characters: give the job fewer outputs and inputs in "
            "object storage",
            code="PolicyTooLarge",
        )
    return policy


def _objects(actions: list[str], prefixes: Sequence[str]) -> dict[str, object]:
    return {
        "Effect": "Allow",
        "Action": actions,
        "Resource": [f"arn:aws:s3:::{prefix.removeprefix('s3://')}*" for prefix in prefixes],
    }
