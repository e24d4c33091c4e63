"""What is wrong with Assets and Bundles on their own, and with a federation once its two sides are known.

These are problems of the Asset, which has another owner than the DAG: they never keep a DAG from being deployed.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from datetime import datetime
from zoneinfo import ZoneInfo, ZoneInfoNotFoundError

from cronsim import CronSim, CronSimError

from traceplane.graph.model import Problem
from traceplane.graph.wiring import UNKNOWN_ASSET
from traceplane.graph.wording import listing, suggestion
from traceplane.kinds import Asset, Bundle
from traceplane.kinds.rules import INVALID, NOT_SUPPORTED, violations
from traceplane_sdk.operator import OutputSchema, Storage


def check_asset(asset: Asset) -> list[Problem]:
    """Every broken rule of the asset alone."""
    broken = [Problem(asset.source, v.path, v.code, v.message) for v in violations(asset)]
    external = asset.spec.external
    if external is not None and external.schedule is not None:
        broken += _schedule(asset, external.schedule, external.time_zone)
    return broken


def _schedule(asset: Asset, schedule: str, time_zone: str | None) -> Iterator[Problem]:
    """What is wrong with when an asset refreshes."""
    try:
        if len(schedule.split()) != 5:
            raise CronSimError("it has five fields")
        next(CronSim(schedule, datetime(2024, 1, 1)))
    except (CronSimError, StopIteration) as error:
        message = (
            f"{schedule!r} is no schedule ({error or 'it never comes'}); write five fields, such as 15 * * * *"
        )
        yield Problem(asset.source, "spec.external.schedule", INVALID, message)
    try:
        ZoneInfo(time_zone or "UTC")
    except (ZoneInfoNotFoundError, ValueError):
        message = f"{time_zone!r} is no IANA time zone, such as Europe/Berlin"
        yield Problem(asset.source, "spec.external.timeZone", INVALID, message)


def check_bundle(bundle: Bundle) -> list[Problem]:
    """A bundle is stored, but nothing runs it yet."""
    broken = [Problem(bundle.source, v.path, v.code, v.message) for v in violations(bundle)]
    return [
        *broken,
        Problem(bundle.source, "spec", NOT_SUPPORTED, "bundles are not supported yet; nothing runs them"),
    ]


def check_federation(asset: Asset, published: Mapping[str, OutputSchema]) -> list[Problem]:
    """Whether both sides of a Federated asset are published, where they should be and alike."""
    federation = asset.spec.federation
    if federation is None:
        return []
    problems = [
        *_side(asset, "hot", federation.hot, Storage.POSTGRES, published),
        *_side(asset, "cold", federation.cold, Storage.S3, published),
    ]
    return problems or list(_alike(asset, published[federation.hot], published[federation.cold]))


def _side(
    asset: Asset, side: str, name: str, storage: Storage, published: Mapping[str, OutputSchema]
) -> Iterator[Problem]:
    path = f"spec.federation.{side}"
    schema = published.get(name)
    if schema is None:
        message = f"no published asset {name!r}; {suggestion(name, published)}"
        yield Problem(asset.source, path, UNKNOWN_ASSET, message)
    elif schema.storage is not storage:
        message = f"asset {name!r} is in {schema.storage.value}; the {side} side must be in {storage.value}"
        yield Problem(asset.source, path, INVALID, message)


def _alike(asset: Asset, hot: OutputSchema, cold: OutputSchema) -> Iterator[Problem]:
    assert asset.spec.federation is not None
    column = asset.spec.federation.column
    for side, schema in (("hot", hot), ("cold", cold)):
        if schema.scope_column != column:
            message = f"ranges of the {side} asset speak of {schema.scope_column!r}, not of {column!r}"
            yield Problem(asset.source, "spec.federation.column", INVALID, message)
    ours = {c.name: c.type for c in hot.columns}
    theirs = {c.name: c.type for c in cold.columns}
    if differing := sorted(name for name in ours.keys() | theirs.keys() if ours.get(name) != theirs.get(name)):
        message = f"hot and cold differ in the columns {listing(differing)}; one relation needs the same columns"
        yield Problem(asset.source, "spec.federation", INVALID, message)
