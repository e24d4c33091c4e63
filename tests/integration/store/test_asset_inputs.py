"""A DAG that reads an asset of another follows its pointer: staged anew at a cutover, and back at once."""

from __future__ import annotations

import psycopg
import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.integration.store.reading import SUMS, Sums, cut_over_upstream, manifest
from tests.integration.store.rolling import DAG as CHAIN
from tests.integration.store.rolling import Versions, chain, running
from traceplane.store.statements import controller_facts, enqueue
from traceplane.store.statements.unfinished import unfinished
from traceplane.versions import deletion, rollout
from traceplane.versions.asset_policies import Policies

pytestmark = pytest.mark.services


async def test_it_reads_what_readers_get_and_is_given_the_work_that_waits_there(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    jobs = await running(deploy, upstream)
    upstream.event(jobs["compact"], 9, partition=True)
    assert await sums.deploy() == "Created"
    assert sums.reads() == sums.written("compact")
    (job,) = sums.last.jobs
    assert upstream.tasks(job.id) == ["Queued"], "of the partition that was announced before"
    assert await sums.deploy() == "Unchanged"


async def test_a_cutover_stages_its_readers_anew_and_they_serve_what_they_have_until_then(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    before = sums.reads()
    await cut_over_upstream(deploy, upstream, 50, 2)
    assert await sums.deploy() == "Staged"
    assert [str(rebuild) for rebuild in sums.last.rebuilds] == ["gas (reads asset cold-blocks)"]
    assert sums.reads() == before
    upstream.finish()
    assert await sums.cut_over()
    assert (sums.reads(), sums.reads() != before) == (sums.written("compact"), True)
    # The way back of the one is the way back of the other: nothing is made again.
    await deploy(chain(), generation=3)
    assert await sums.deploy() == "Updated"
    assert sums.reads() == before


async def test_a_change_of_what_it_does_not_read_is_none(deploy: Deploy, upstream: Versions, sums: Sums) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    changed = graphs.chain()
    changed["spec"]["jobs"].append(graphs.job(changed, "ranges") | {"name": "more"})
    await deploy(graphs.assembled(changed), generation=2)
    upstream.finish()
    assert await upstream.cut_over(graphs.assembled(changed))
    assert await sums.deploy() == "Unchanged"


async def test_a_reader_is_looked_at_when_the_asset_goes_and_when_another_dag_takes_it_over(
    deploy: Deploy, upstream: Versions, sums: Sums, databases: services.Databases
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    with psycopg.connect(databases.state_dsn, autocommit=True) as listener:
        listener.execute("LISTEN trace_deploy")

        def heard() -> list[str]:
            listener.execute("SELECT pg_notify('trace_deploy', 'end')")
            payloads = iter(notice.payload for notice in listener.notifies(timeout=60))
            return list(iter(lambda: next(payloads), "end"))

        await sums.run(deletion.begin, CHAIN, "uid-1")
        assert heard() == ["demo/sums"]
        await sums.run(deletion.begin, CHAIN, "uid-1")
        assert heard() == [], "once, however often the deletion is looked at"
        await deploy(graphs.assembled(graphs.chain("other")), uid="uid-3")
        assert "demo/sums" in heard()


async def test_what_was_rolled_back_stays_held_off_whatever_the_other_dag_does(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    other = manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")
    assert await sums.deploy(other) == "Staged"
    upstream.finish()
    staged = await sums.graph(other)
    facts = await sums.run(controller_facts.dag_facts, SUMS)
    await sums.run(rollout.observe, SUMS, active=facts.active_version_id, staged=facts.staged_version_id)
    sums.rows("UPDATE dag_current_versions SET ready_at = ready_at - interval '1 hour'")
    assert await sums.run(rollout.cut_over, SUMS, staged.spec_hash, cutover="Auto", policies=Policies())
    await sums.run(rollout.roll_back, SUMS, version=None)
    assert await sums.deploy(other) == "Held"
    await cut_over_upstream(deploy, upstream, 50, 2)
    assert await sums.deploy(other) == "Held"
    assert await sums.deploy() == "Staged", "what somebody wrote since is not held off"


async def test_a_rollback_to_the_same_text_over_an_older_version_holds(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    await cut_over_upstream(deploy, upstream, 50, 2)
    await sums.deploy()
    upstream.finish()
    assert await sums.cut_over()
    after = sums.reads()
    await sums.run(rollout.roll_back, SUMS, version=None)
    assert sums.reads() != after
    assert await sums.deploy() == "Held"
    await sums.run(rollout.resume, SUMS)
    assert await sums.deploy() == "Updated"
    assert sums.reads() == after
    await sums.run(rollout.roll_back, SUMS, version=None)
    await deploy(chain(), generation=3)  # the other DAG goes back as well: nothing is to be held off
    assert await sums.deploy() == "Updated"
    assert (await sums.run(controller_facts.dag_facts, SUMS)).held_spec_hash is None


async def test_a_rollback_from_a_rollback_holds_over_an_older_version(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    other = manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")
    await sums.deploy(other)
    upstream.finish()
    assert await sums.cut_over(other)
    before = sums.reads()
    await cut_over_upstream(deploy, upstream, 50, 2)
    await sums.deploy(other)
    upstream.finish()
    assert await sums.cut_over(other)
    for version in ("v1", "v2"):
        await sums.run(rollout.roll_back, SUMS, version=version)
        assert await sums.deploy(other) == "Held"
    assert sums.reads() == before


async def test_what_another_dag_reads_of_a_source_does_not_hold_that_up(
    deploy: Deploy, upstream: Versions, sums: Sums
) -> None:
    jobs = await running(deploy, upstream)
    await sums.deploy()
    upstream.finish()
    assert await sums.deploy(manifest(sql="SELECT block_number, gas_used + 1 AS gas FROM cold_blocks")) == "Staged"
    upstream.event(jobs["compact"], 9, partition=True)
    await sums.run(enqueue.missed_events, job_ids=[job.id for job in sums.last.jobs])
    assert upstream.tasks(sums.last.jobs[0].id) == ["Queued"]
    assert await sums.run(unfinished, job_id=jobs["compact"]) == {}
