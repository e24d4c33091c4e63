"""One controller at a time, and no harm where two overlap."""

from __future__ import annotations

import signal

import pytest
from kubernetes import client

from tests.apiserver.reconcile.world import PROJECTED_ASSETS, PROJECTED_JOBS, World

pytestmark = pytest.mark.apiserver


def test_only_one_leads_and_the_other_takes_over(world: World) -> None:
    first = world.led()
    second = world.start()
    world.until(lambda: second.readiness().startswith("standing by"), "the second stands by")
    world.running_chain()
    assert second.metric("trace_controller_leader") == 0
    assert first.stop() == 0
    world.until(second.leads, "the second leads at once: the Lease was released")
    world.enqueue(2)
    world.until(lambda: len(world.pods()) == 2, "it does the work")


def test_a_killed_leader_is_replaced_after_its_lease(world: World) -> None:
    world.led(leader_lease_seconds="6").kill()
    second = world.start()
    world.until(second.leads, "the second leads after the first one's lease", 60)


def test_a_leader_that_lost_its_lease_stops(world: World) -> None:
    first = world.led()
    lease = client.CoordinationV1Api(world.api)
    thief = {"spec": {"holderIdentity": "somebody", "leaseDurationSeconds": 600}}
    lease.patch_namespaced_lease("trace-controller", world.namespace, thief)
    world.until(lambda: first.ended() is not None, "it ends", 60)
    assert first.ended() == 1


def test_a_paused_leader_that_wakes_up_late_stops(world: World) -> None:
    first = world.led(leader_lease_seconds="6")
    first.process.send_signal(signal.SIGSTOP)
    second = world.start()
    try:
        world.until(second.leads, "the second leads", 60)
    finally:
        first.process.send_signal(signal.SIGCONT)
    world.until(lambda: first.ended() == 1, "the first finds out and ends", 60)
    assert second.ended() is None


def test_two_controllers_at_once_make_nothing_twice(world: World) -> None:
    # Two Leases: both believe that they lead, as after a split brain.
    one, two = world.start(lease_name="one"), world.start(lease_name="two")
    world.until(lambda: one.leads() and two.leads(), "both lead")
    world.running_chain()
    world.enqueue(5)
    world.until(lambda: set(world.pods()) == {"w0", "w1"}, "two workers")
    for slot in ("w0", "w1"):
        world.set_pod(slot, {"phase": "Succeeded"})
    world.until(
        lambda: {p.status.phase for p in world.pods().values()} == {"Pending"} and len(world.pods()) == 2,
        "two new workers, never more than two",
    )
    assert world.names("jobs") == PROJECTED_JOBS
    assert world.names("assets") == PROJECTED_ASSETS
    assert len(world.deployments()) == 1
    assert len(world.sql("SELECT 1 AS n FROM dag_versions")) == 1
    assert len(world.sql("SELECT 1 AS n FROM jobs")) == 3
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE cause = 'Source'") == [{"n": 1}]
    world.delete("dags", "chain")
    world.until(lambda: not world.names("dags") and not world.pods(), "both agree on its end")
