"""What a capability token lets its tasks touch: dataset versions and prefixes, in full or by reference.   (pure)

A token travels in a header, and proxies pass none longer than their buffers: nginx 8 KiB. Where more than
`MAX_VERSIONS` dataset versions, or more prefixes than a session policy holds, would stand in it, it says with
`scope` that what the job generation reads and writes stands in state, found by the claim's id. A generation's
inputs and outputs never change, so that is what they were at the claim. What a claim adds, the places of relocated
ranges, still stands in the token.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Annotated, Literal

import msgspec

from traceplane.identity import prefixes

MAX_VERSIONS = 16
_ROOM = prefixes.MAX_POLICY_CHARACTERS
Id = Annotated[str, msgspec.Meta(pattern="^[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}$")]
Scope = Literal["state"]
"""Where the dataset versions and prefixes of a token's job generation stand, if not in the token."""


class DatasetVersion(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """A dataset version that a token's tasks read or write."""

    dataset: Id
    version: Id


class Prefixes(msgspec.Struct, frozen=True, forbid_unknown_fields=True):
    """Canonical prefixes in object storage."""

    read_prefixes: list[str]
    write_prefixes: list[str]


@dataclass(frozen=True, slots=True)
class Grants:
    """What all tokens of one job generation allow, as they say it: in full, or with `scope` by reference."""

    datasets: list[DatasetVersion]
    s3: Prefixes
    scope: Scope | None = None


def grants(
    datasets: Sequence[tuple[str, str]], read: Sequence[str], write: Sequence[str], moved: Sequence[str] = ()
) -> Grants:
    """The part of a token that all claims of a job generation share, and where its inputs were `moved` to.

    Raises BadPrefix.
    """
    readable = list(dict.fromkeys((*read, *moved)))
    for prefix in (*readable, *write):
        prefixes.parse(prefix)
    if len(datasets) > MAX_VERSIONS or sum(map(prefixes.in_policy, (*readable, *write))) > _ROOM:
        return Grants([], Prefixes(_enough(moved), []), scope="state")
    return Grants(
        [DatasetVersion(dataset, version) for dataset, version in datasets],
        Prefixes(read_prefixes=readable, write_prefixes=list(write)),
    )


def _enough(moved: Sequence[str]) -> list[str]:
    """`moved`, as far as the first that no session policy has room for: any policy of these is refused as a whole,
    so none is granted that lacks the rest."""
    kept: dict[str, None] = {}
    room = _ROOM
    for prefix in moved:
        if prefix not in kept and room >= 0:
            kept[prefix] = None
            room -= prefixes.in_policy(prefix)
    return list(kept)
