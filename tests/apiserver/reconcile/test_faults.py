"""What the controller depends on goes away for a while, and comes back."""

from __future__ import annotations

import pytest

from tests.apiserver.reconcile.proxy import Proxy
from tests.apiserver.reconcile.world import World
from tests.services import Postgres

pytestmark = pytest.mark.apiserver


def test_changes_made_while_the_api_server_was_out_of_reach_come_about(world: World) -> None:
    proxy = Proxy(world.kubeconfig, world.folder)
    world.kubeconfig = proxy.kubeconfig
    controller = world.led(leader_lease_seconds="60", leader_renew_seconds="2")
    world.running_chain()
    world.enqueue(2)
    world.until(lambda: len(world.pods()) == 2, "two workers")
    proxy.cut()
    errors = controller.metric('trace_kubernetes_api_errors_total{resource="dags",status="0",verb="list"}')
    world.until(
        lambda: (
            controller.metric('trace_kubernetes_api_errors_total{resource="dags",status="0",verb="list"}') > errors
        ),
        "the controller notices",
    )
    world.set_pod("w0", {"phase": "Succeeded"})
    spec = world.chain()["spec"]
    spec["jobs"][2]["scaling"]["maxWorkers"] = 1
    world.patch("dags", "chain", {"spec": spec})
    world.delete("jobs", "chain.ranges")
    proxy.heal()

    def settled() -> bool:
        # Which of the two is seen first decides which slot is left: the finished pod's, filled again, or the other.
        phases = [pod.status.phase for pod in world.pods().values()]
        return len(phases) == 1 and phases != ["Succeeded"] and bool(world.get("jobs", "chain.ranges"))

    world.until(settled, "all of it is seen")
    assert controller.ended() is None
    proxy.close()


def test_a_state_database_that_is_away_is_told_and_waited_for(world: World, postgres: Postgres) -> None:
    controller = world.led()
    world.running_chain()
    world.sql("CHECKPOINT")  # commits are asynchronous here: what it knew of would be lost with it
    postgres.crash()
    try:
        world.until(
            lambda: world.holds("dags", "chain", "Degraded", "True", "StateUnavailable"),
            "the DAG says what is wrong",
        )
        assert world.holds("dags", "chain", "Ready"), "what was known stays"
        assert controller.get("/healthz").status_code == 200, "a restart of the controller would not help"
    finally:
        postgres.restart()
    world.until(lambda: world.holds("dags", "chain", "Degraded", "False", "AsExpected"), "it recovers by itself")
    world.enqueue(1)
    world.until(lambda: "w0" in world.pods(), "and works")
    assert controller.ended() is None


def test_a_controller_waits_for_the_crds_and_says_so(world: World) -> None:
    # A kubeconfig that leads nowhere stands for a cluster that is still being set up.
    proxy = Proxy(world.kubeconfig, world.folder)
    proxy.cut()
    world.kubeconfig = proxy.kubeconfig
    controller = world.start()
    world.until(lambda: "API server not reached" in controller.log.read_text(), "it says what it waits for")
    assert controller.get("/healthz").status_code == 200
    proxy.heal()
    world.until(controller.leads, "it starts by itself")
    proxy.close()
