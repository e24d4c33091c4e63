"""What a query was computed on, as a token that repeats it: `as_of`.

A token names, for each relation, the hot version with the highest scope value its snapshot held, and the cold
versions with the ranges read from them; and, for all of them, Postgres's snapshot of state, by which the files are
found again, and how far the log of invalidations had got.

Why that is enough: hot tables grow at their head, and every other change of theirs is an invalidation. So the rows
that a query saw are those up to the head it saw, wherever they live now, unless an invalidation that touches them
came since: then the answer is 410 with that reason. The files it read are never changed; a digest shows where they
were purged.

A token opens nothing: names are resolved again under the roles of the caller that presents it, and its versions
must belong to the datasets those names mean. So it needs no signature.

Pure.
"""

from __future__ import annotations

import base64
import binascii
import hashlib
from collections.abc import Iterable
from typing import Annotated
from uuid import UUID

import msgspec

from traceplane.errors import Refused
from traceplane.query.relations import ranges

MAX_TOKEN = 8 * 1024
MAX_RELATIONS = 64
_VERSION = 1


class SnapshotUnavailable(Refused):
    """What the token names cannot be read any more. HTTP 410."""

    code = "SnapshotGone"


class Cold(msgspec.Struct, frozen=True, array_like=True):
    """Files of one cold version. No ranges: all of it. `digest` is that of its partitions."""

    version: UUID
    digest: str
    ranges: list[tuple[int, int]]


class PinnedRelation(msgspec.Struct, frozen=True, array_like=True):
    """One relation. `head` is the highest scope value of the hot table, None where it was empty."""

    namespace: str
    name: str
    hot: UUID | None
    head: int | None
    cold: list[Cold]


class Pin(msgspec.Struct, frozen=True, array_like=True):
    """A decoded token. `snapshot` is a `pg_snapshot` of state, `sequence` the last invalidation before it."""

    version: int
    snapshot: Annotated[
        str, msgspec.Meta(pattern=r"^[0-9]{1,19}:[0-9]{1,19}:([0-9]{1,19}(,[0-9]{1,19})*)?$", max_length=4096)
    ]
    sequence: Annotated[int, msgspec.Meta(ge=0, le=2**63 - 1)]
    relations: Annotated[list[PinnedRelation], msgspec.Meta(max_length=MAX_RELATIONS)]

    def of(self, namespace: str, name: str) -> PinnedRelation:
        """The relation of that name. Raises Refused where the token does not name it."""
        for found in self.relations:
            if (found.namespace, found.name) == (namespace, name):
                return found
        raise Refused(f"as_of: the token does not name {namespace}/{name}", code="InvalidRequest")


def pin(snapshot: str, sequence: int, relations: Iterable[PinnedRelation]) -> Pin:
    """What a query read."""
    return Pin(_VERSION, snapshot, sequence, list(relations))


def encode(pinned: Pin) -> str | None:
    """The token; None where it would be longer than MAX_TOKEN (thousands of ranges that do not touch)."""
    token = base64.urlsafe_b64encode(msgspec.msgpack.encode(pinned)).rstrip(b"=").decode()
    return token if len(token) <= MAX_TOKEN else None


def decode(token: str) -> Pin:
    """The pin of a token. Raises Refused for what no answer of this release gives."""
    try:
        if len(token) > MAX_TOKEN:
            raise ValueError(token[:16])
        # With validate, since without it any character that is not of the alphabet would be left out silently.
        raw = base64.b64decode(token + "=" * (-len(token) % 4), altchars=b"-_", validate=True)
        found = msgspec.msgpack.decode(raw, type=Pin)
    except (ValueError, binascii.Error, msgspec.DecodeError) as error:
        raise Refused("as_of: not a token that an answer gave", code="InvalidRequest") from error
    # Whatever Postgres or the range arithmetic would not take is refused here: the token is the user's to write.
    spans = [span for relation in found.relations for cold in relation.cold for span in cold.ranges]
    heads = [relation.head for relation in found.relations if relation.head is not None]
    numbers = [number for span in spans for number in span] + heads
    if (
        not _is_snapshot(found.snapshot)
        or found.version != _VERSION
        or any(not ranges.LOWEST <= number <= ranges.HIGHEST for number in numbers)
    ):
        raise Refused("as_of: not a token that this release gives", code="InvalidRequest")
    return found


def _is_snapshot(text: str) -> bool:
    """Whether Postgres takes it for a `pg_snapshot`: `xmin:xmax:xid,xid,...`, in order and between the two."""
    low, high, between = text.split(":")
    running = [int(xid) for xid in between.split(",")] if between else []
    inside = all(int(low) <= xid < int(high) for xid in running)
    return 0 < int(low) <= int(high) < 2**63 and inside and running == sorted(set(running))


def digest(partitions: Iterable[UUID]) -> str:
    """Which partitions a version had, in any order."""
    return hashlib.sha256(b"".join(sorted(part.bytes for part in partitions))).hexdigest()[:32]
