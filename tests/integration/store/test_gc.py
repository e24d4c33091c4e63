"""What former versions left behind is purged when somebody asks, and nothing that is needed goes with it."""

from __future__ import annotations

import asyncio
import random
from collections.abc import Callable
from typing import Any
from uuid import UUID

import psycopg
import pytest

from tests import services
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Versions, chain, running
from traceplane.dispatch.effects.purging import DELETE_OBJECTS, DeletePrefix, DropHotTable
from traceplane.dispatch.views import Views
from traceplane.drivers.objects import S3Objects
from traceplane.errors import NotFound, Refused
from traceplane.kit.ids import uuid7
from traceplane.settings.object_store import ObjectStore
from traceplane.store.engine import Database
from traceplane.store.statements.outbox import OutboxRow
from traceplane.versions import gc, rollout
from traceplane.versions.gc import Purged
from traceplane.versions.rollout import NotPossible

pytestmark = pytest.mark.services

DELAY = 330.0
SOLE_COPY = (
    "compact.blocks holds the only copy of rows 0 to 19 of a hot table; it goes once a later version has them in "
    "files, or with that table"
)


async def collect(versions: Versions, keep: int = 1, dry_run: bool = False) -> list[Purged]:
    found: list[Purged] = await versions.run(gc.collect, keep=keep, delay_seconds=DELAY, dry_run=dry_run)
    await versions.forget()
    return found


async def change(deploy: Deploy, versions: Versions, size: int, generation: int) -> dict[str, UUID]:
    """Rebuild with ranges of another size, and cut over; the generations that are active then."""
    await deploy(chain(size), generation=generation)
    versions.finish()
    await versions.cut_over(chain(size))
    return versions.ids(staged=False)


async def test_what_only_older_versions_hold_is_purged_and_the_last_one_stays(
    deploy: Deploy, versions: Versions, picture: Callable[[], Any]
) -> None:
    first = await running(deploy, versions)
    second = await change(deploy, versions, 50, 2)
    third = await change(deploy, versions, 70, 3)
    before = picture()
    looked = await collect(versions, dry_run=True)
    assert picture() == before
    done = await collect(versions)
    assert [(one.output.job, one.output.output, one.kept) for one in done] == [
        ("compact", "blocks", None),
        ("ranges", "ranges", None),
    ]
    assert [one.output for one in looked] == [one.output for one in done]
    assert {one.output.job_id for one in done} == {first["ranges"], first["compact"]}
    left = {id_ for (id_,) in versions.rows("SELECT id FROM jobs")}
    assert left == {*second.values(), *third.values()}
    assert "follow" in second, "what versions share stays"
    asked = versions.rows(
        "SELECT kind, payload ->> 'location', available_at > now() + interval '300 s' FROM outbox"
        " WHERE kind IN ('drop_hot_table', 'delete_prefix') ORDER BY kind"
    )
    assert asked == [
        ("delete_prefix", next(one.output.location for one in done if one.output.job == "compact"), True),
        ("drop_hot_table", next(one.output.location for one in done if one.output.job == "ranges"), True),
    ]
    assert await collect(versions) == []
    with pytest.raises(NotPossible, match=f"the data of v1-{chain().spec_hash[:8]} of DAG chain was purged"):
        await versions.run(rollout.roll_back, version="v1")
    assert (await versions.run(rollout.roll_back, version=None)).number == 2


async def test_a_purged_definition_that_is_applied_again_is_built_anew_in_new_places(
    deploy: Deploy, versions: Versions
) -> None:
    first = await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    await collect(versions, keep=0)
    done = await deploy(chain(), generation=3)
    assert (done.result, [one.job for one in done.rebuilds]) == ("Staged", ["ranges", "compact"])
    new = versions.ids(staged=True)
    assert (new["follow"], new["ranges"] == first["ranges"]) == (first["follow"], False)
    assert versions.tasks(new["ranges"]) == ["Queued"], "its work is to be done again"
    versions.finish()
    assert await versions.cut_over(chain())
    assert (await versions.facts()).active_name == f"v1-{chain().spec_hash[:8]}"


async def test_the_only_copy_of_rows_stays_while_their_hot_table_is_needed(
    deploy: Deploy, versions: Versions
) -> None:
    first = await running(deploy, versions)
    moved = (
        "INSERT INTO relocations (hot_version_id, cold_version_id, org_id, ranges) SELECT h.id, c.id, h.org_id,"
        " '{[0,20)}' FROM dataset_versions h, dataset_versions c WHERE h.job_id = %s AND c.job_id = %s"
    )
    versions.rows(moved, first["follow"], first["compact"])
    second = await change(deploy, versions, 50, 2)
    assert {one.output.job: one.kept for one in await collect(versions, keep=0)} == {
        "compact": SOLE_COPY,
        "ranges": SOLE_COPY,
    }
    # The new version has them as well, committed: nothing is lost with the old one.
    versions.rows(moved, first["follow"], second["compact"])
    versions.rows(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt)"
        " SELECT org_id, dataset_id, id, '0-19', 0, 19, 'x', '[]', 20, 9, 'x', id, 1 FROM dataset_versions"
        " WHERE job_id = %s",
        second["compact"],
    )
    done = {one.output.job: one.kept for one in await collect(versions, keep=0)}
    assert done == {"compact": None, "ranges": None}


async def test_what_still_runs_stays_until_it_has_ended(deploy: Deploy, versions: Versions) -> None:
    first = await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    versions.rows(
        "INSERT INTO tasks (org_id, namespace, job_id, dedupe_key, cause, scope, max_attempts, status, attempt,"
        " worker_id, lease_epoch, lease_token, claim_id, lease_expires_at, started_at)"
        " SELECT org_id, namespace, id, 'late', 'Event', '{}', 3, 'Running', 1, 'w', 1, gen_random_uuid(),"
        " gen_random_uuid(), now(), now()"
        " FROM jobs WHERE id = %s",
        first["ranges"],
    )
    found = {one.output.job: one.kept for one in await collect(versions, keep=0)}
    assert found == dict.fromkeys(
        ("ranges", "compact"), "tasks of ranges still run; try again when they have ended"
    ), "a part would be a trap"


async def test_what_another_dag_reads_stays(deploy: Deploy, versions: Versions) -> None:
    first = await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    versions.rows(
        "INSERT INTO jobs (id, org_id, namespace, dag, name, config_hash, operator, activation, execution_strategy,"
        " update_strategy, definition)"
        " SELECT gen_random_uuid(), org_id, namespace, 'reports', 'daily', 'x', operator, activation,"
        " execution_strategy, update_strategy, definition FROM jobs WHERE id = %s",
        first["compact"],
    )
    versions.rows(
        "INSERT INTO job_inputs (job_id, position, org_id, dataset_id, dataset_version_id, is_trigger)"
        " SELECT j.id, 0, v.org_id, v.dataset_id, v.id, true FROM dataset_versions v, jobs j"
        " WHERE v.job_id = %s AND j.dag = 'reports'",
        first["compact"],
    )
    found = {one.output.job: one.kept for one in await collect(versions, keep=0)}
    why = (
        "compact.blocks is read by demo/reports/daily; once reports has gone on to another version, or is deleted, "
        "purge its former ones: tracectl gc reports -n demo --keep 0"
    )
    assert found == dict.fromkeys(("ranges", "compact"), why)


async def test_a_generation_with_many_rows_is_forgotten_in_slices(deploy: Deploy, versions: Versions) -> None:
    first = await running(deploy, versions)
    await change(deploy, versions, 50, 2)
    versions.rows(
        "INSERT INTO partition_versions (org_id, dataset_id, dataset_version_id, partition_key, range_start,"
        " range_end, location, files, rows, bytes, manifest_sha256, task_id, attempt, superseded_at)"
        " SELECT org_id, dataset_id, id, n::text, n, n, 'x', '[]', 1, 1, 'x', id, 1,"
        " CASE WHEN n %% 2 = 0 THEN now() END"
        " FROM dataset_versions CROSS JOIN generate_series(1, 250) n WHERE job_id = %s",
        first["compact"],
    )
    left = "SELECT count(*) FROM partition_versions"
    await versions.run(gc.collect, keep=0, delay_seconds=DELAY, dry_run=False)
    assert versions.rows(left) == [(250,)], "marking deletes none of them"
    assert versions.rows("SELECT count(*) FROM catalog.versions WHERE job <> 'follow'") == [(2,)], "but hides them"
    again = await deploy(chain(), generation=3)
    assert [one.job for one in again.rebuilds] == ["ranges", "compact"], "what half is there is not taken up"
    assert await versions.forget(limit=100, calls=1) + await versions.forget(limit=100, calls=1) == 200
    done = [await versions.forget(limit=100, calls=1) for _ in range(4)]
    assert versions.rows(left) == [(0,)]
    assert done[-1] == 0
    assert versions.rows("SELECT count(*) FROM jobs WHERE purged_at IS NOT NULL") == [(0,)]
    assert versions.ids(staged=True).keys() == {"follow", "ranges", "compact"}


async def test_a_dag_that_nobody_deployed_has_nothing_to_purge(versions: Versions) -> None:
    with pytest.raises(NotFound):
        await collect(versions)


async def test_through_any_changes_what_runs_and_the_way_back_are_whole(deploy: Deploy, versions: Versions) -> None:
    """Whatever was edited, cut over, rolled back and purged: each version that may serve has all it consists of."""
    draw = random.Random(11)
    await running(deploy, versions)
    whole = (
        "SELECT count(*) FROM dag_versions v JOIN dag_version_datasets d ON d.dag_version_id = v.id"
        " LEFT JOIN dataset_versions p ON p.id = d.dataset_version_id LEFT JOIN jobs j ON j.id = p.job_id"
        " WHERE v.activated_at IS NOT NULL AND (p.id IS NULL OR j.id IS NULL)"
    )
    outputs = (
        "SELECT DISTINCT (SELECT count(*) FROM dag_version_datasets d WHERE d.dag_version_id = v.id)"
        " FROM dag_versions v WHERE v.activated_at IS NOT NULL"
    )
    ((expected,),) = versions.rows(outputs)
    size = 20
    for generation in range(2, 42):
        act = draw.choice(("edit", "edit", "finish", "rollback", "gc"))
        if act == "edit":
            size = draw.choice((20, 30, 40, 50))
            await deploy(chain(size), generation=generation)
        elif act == "finish":
            versions.finish()
            await versions.cut_over(chain(size))
        elif act == "rollback":
            try:
                await versions.run(rollout.roll_back, version=None)
            except NotPossible:
                assert versions.rows("SELECT count(*) FROM dag_versions WHERE activated_at IS NOT NULL") == [(1,)]
        else:
            await collect(versions, keep=draw.choice((0, 1, 2)))
        assert versions.rows(whole) == [(0,)]
        assert versions.rows(outputs) == [(expected,)], (generation, act)
        assert versions.ids(staged=False).keys() == {"follow", "ranges", "compact"}


def row(**payload: str) -> OutboxRow:
    return OutboxRow(1, services.ORG_ID, "any", payload, 1)


async def test_a_purged_table_is_dropped_with_what_fenced_its_writers(databases: services.Databases) -> None:
    version, data = uuid7(), Database(databases.data_dsn, application="test")
    with psycopg.connect(databases.data_dsn, autocommit=True) as connection:
        connection.execute(f"CREATE TABLE hot.d_{version.hex} (n int)")
        connection.execute(
            "INSERT INTO trace.write_fences (dataset_version_id, writer, epoch) VALUES (%s, 'w', 1)", (version,)
        )
        for _ in range(2):  # an effect may happen twice
            assert await DropHotTable(data, Views(data, data, services.ORG_ID, "")).perform(
                row(location=f"hot.d_{version.hex}")
            )
        assert connection.execute("SELECT to_regclass(%s)", (f"hot.d_{version.hex}",)).fetchone() == (None,)
        left = "SELECT count(*) FROM trace.write_fences WHERE dataset_version_id = %s"
        assert connection.execute(left, (version,)).fetchone() == (0,)
    with pytest.raises(Refused, match="is no hot table"):
        await DropHotTable(data, Views(data, data, services.ORG_ID, "")).perform(row(location="public.users"))
    await data.close()


async def test_files_below_a_purged_prefix_go_a_bounded_number_at_a_time(
    object_store: services.ObjectStore, bucket: str
) -> None:
    settings = ObjectStore(
        s3_bucket=bucket,
        s3_endpoint_url=object_store.endpoint_url,
        s3_region=object_store.region,
        s3_access_key_id=object_store.access_key_id,
        s3_secret_access_key=object_store.secret_access_key,
    )
    objects = S3Objects(settings)
    mine = [f"org/ns/dag/job/out/{n:04}.parquet" for n in range(DELETE_OBJECTS + 3)]
    await asyncio.gather(*(objects.put_if_absent(key, b"x") for key in [*mine, "org/ns/dag/job/out2/kept.parquet"]))
    effect = DeletePrefix(objects, bucket)
    steps = [await effect.perform(row(location=f"s3://{bucket}/org/ns/dag/job/out/")) for _ in range(2)]
    assert steps == [False, True]
    assert [one.key for one in await objects.list("org", limit=10)] == ["org/ns/dag/job/out2/kept.parquet"]
    with pytest.raises(Refused, match="remove it by hand"):
        await effect.perform(row(location="s3://another/org/ns/"))
