"""The end of a DAG: bounded, complete, and possible while anything else is away."""

from __future__ import annotations

import pytest

from tests.apiserver.reconcile.world import World
from tests.services import Postgres

pytestmark = pytest.mark.apiserver


def left(world: World) -> list[str]:
    """Everything that a drained DAG must not leave behind."""
    return [*world.names("dags"), *world.names("jobs"), *world.names("assets"), *world.pods()] + [
        deployment.metadata.name for deployment in world.collect()
    ]


def test_a_deleted_dag_drains_and_its_data_stays(world: World) -> None:
    world.led(drain_seconds="120")
    world.running_chain()
    world.enqueue(3)
    pod = world.until(lambda: world.pods().get("w0"), "a worker")
    world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
    versions = world.sql("SELECT id, location FROM dataset_versions ORDER BY id")
    world.delete("dags", "chain")
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "Draining"), "the drain is told")
    (leaving,) = world.until(
        lambda: (d := world.deployments())[0].metadata.deletion_timestamp and d, "the source is stopped first"
    )
    assert leaving.metadata.finalizers == ["foregroundDeletion"], "it is gone after its pods"
    assert world.sql("SELECT DISTINCT status FROM tasks ORDER BY status") == [
        {"status": "Canceled"},
        {"status": "Running"},
    ]
    world.until(lambda: set(world.pods()) == {"w0"}, "the busy worker stays, the idle one goes")
    world.sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE status = 'Running'")
    world.until(lambda: not left(world), "all that was the DAG's is gone")
    assert world.sql("SELECT id, location FROM dataset_versions ORDER BY id") == versions
    world.until(lambda: "Drained" in world.events(), "the Event is posted")


def test_a_drain_is_bounded(world: World) -> None:
    world.led(drain_seconds="4")
    world.running_chain()
    world.enqueue(1)
    pod = world.until(lambda: world.pods().get("w0"), "a worker")
    world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
    world.delete("dags", "chain")
    world.until(lambda: not left(world), "the DAG goes though a task never ends", 20)
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE status IN ('Queued', 'Running')") == [{"n": 0}]


def test_a_dag_deleted_while_no_controller_ran_is_drained_by_the_next(world: World) -> None:
    first = world.led()
    world.running_chain()
    assert first.stop() == 0
    world.delete("dags", "chain")
    assert (world.get("dags", "chain") or {})["metadata"]["deletionTimestamp"]
    world.start()
    world.until(lambda: not left(world), "the next controller ends it")


def test_a_dag_whose_finalizer_was_taken_off_by_hand_is_retired(world: World) -> None:
    first = world.led()
    world.running_chain()
    world.enqueue(2)
    assert first.stop() == 0
    world.patch("dags", "chain", {"metadata": {"finalizers": None}})
    world.delete("dags", "chain")
    assert world.get("dags", "chain") is None
    world.start()
    world.until(
        lambda: world.sql("SELECT count(*) AS n FROM tasks WHERE status = 'Queued'") == [{"n": 0}],
        "state is told that the DAG is gone",
    )
    assert world.sql("SELECT count(*) AS n FROM asset_publications") == [{"n": 0}]


def test_a_drain_ends_without_the_database(world: World, postgres: Postgres) -> None:
    nobody = f"postgresql://nobody@127.0.0.1:1/{world.namespace}"
    first = world.led()
    world.running_chain()
    first.kill()
    world.delete("dags", "chain")
    working, world.state_dsn = world.state_dsn, nobody
    blind = world.start(drain_seconds="6", lease_name="blind")  # a killed one cannot release its own
    world.until(lambda: not left(world), "the DAG goes after its time though state never answered", 60)
    blind.kill()
    world.state_dsn = working
    world.start(lease_name="again")
    world.until(
        lambda: world.sql("SELECT 1 AS n FROM dag_current_versions WHERE deleted_at IS NOT NULL"),
        "the sweep of orphans tells state later",
    )


def test_the_same_name_again_is_another_dag(world: World) -> None:
    world.led()
    first = world.running_chain()
    world.enqueue(1)
    old = world.until(lambda: world.pods().get("w0"), "a worker")
    world.delete("dags", "chain")
    world.until(lambda: not left(world), "the first is gone")
    second = world.running_chain()
    assert second["metadata"]["uid"] != first["metadata"]["uid"]
    world.enqueue(1)
    new = world.until(lambda: world.pods().get("w0"), "a worker again")
    assert new.metadata.uid != old.metadata.uid
    assert new.metadata.owner_references[0].uid == second["metadata"]["uid"]
    # The same definition finds its generations and its data again.
    assert len(world.sql("SELECT 1 AS n FROM jobs")) == 3
