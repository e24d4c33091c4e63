"""A controller killed between any two of its writes: the next one ends with the same objects, none twice.

Every crash point that the controller declares is armed in turn, again and again while it is still passed, in the
course of one life of a DAG. A point that was never hit fails the test: then the course has to be made to pass it.
"""

from __future__ import annotations

import importlib
from collections.abc import Callable

import pytest

from tests.apiserver.reconcile.world import PROJECTED_ASSETS, PROJECTED_JOBS, Controller, World
from traceplane.kit import crash

pytestmark = [pytest.mark.apiserver, pytest.mark.timeout(900)]


def declared() -> set[str]:
    """All points of the controller's own modules."""
    for module in ("apply", "dag", "deletion", "asset"):
        importlib.import_module(f"traceplane.reconcile.{module}")
    return {point for point in crash.declared() if point.partition(".")[0] in ("reconcile", "deletion", "asset")}


def lives_on(controller: Controller) -> bool:
    """Whether it leads, and has come past the write that was just seen.

    A write may be seen before its writer has its answer; each answer that it gives us takes it turns of its loop.
    """
    return all(controller.leads() for _ in range(5))


def killed_at(world: World, point: str, rounds: int, reached: Callable[[], object]) -> int:
    """Run controllers armed with `point` until `reached` holds, `rounds` in a row; how many of them died there."""
    kills = 0
    while True:
        # Each has a Lease of its own, for a killed one cannot release it and waiting adds nothing here.
        armed = world.start(lease_name=f"{point}-{kills}", **({"crash_at": point} if kills < rounds else {}))
        world.until(
            lambda armed=armed: armed.ended() is not None or (reached() and lives_on(armed)),
            f"{point} or its stage's end",
        )
        if armed.ended() is None:
            armed.kill()
            return kills
        assert armed.ended() == crash.EXIT_CODE, armed.log.read_text()[-3000:]
        kills += 1


def phases(world: World) -> list[str]:
    """Of every worker pod."""
    return [pod.status.phase for pod in world.pods().values()]


def active(world: World) -> int:
    """The number of the active version."""
    found = world.sql(
        "SELECT v.number FROM dag_current_versions c JOIN dag_versions v ON v.id = c.active_version_id"
    )
    return int(found[0]["number"])


def finish(world: World) -> Controller:
    """A controller that nobody kills."""
    return world.led(lease_name="last")


@pytest.mark.parametrize("rounds", [1, pytest.param(3, marks=pytest.mark.soak)])
def test_killed_at_every_point_of_a_life(world: World, rounds: int) -> None:
    """After three kills in a row at a point the next write is reached."""
    hits: dict[str, int] = {}

    def stage(point: str, reached: Callable[[], object]) -> None:
        hits[point] = killed_at(world, point, rounds, reached)

    world.apply(world.chain())
    stage("reconcile.finalizer", lambda: (world.get("dags", "chain") or {})["metadata"].get("finalizers"))
    stage("reconcile.deployed", lambda: world.deployments())
    for plural, names in (("jobs", world.names("jobs")), ("assets", world.names("assets"))):
        for name in names:
            world.delete(plural, name)
    stage(
        "reconcile.applied",
        lambda: (world.names("jobs"), world.names("assets")) == (PROJECTED_JOBS, PROJECTED_ASSETS),
    )
    world.provision()
    world.source_up()
    stage("reconcile.status", lambda: world.holds("dags", "chain", "Ready"))
    spec = world.chain()["spec"]
    spec["jobs"][2]["operator"] = "unheard_of"
    world.patch("dags", "chain", {"spec": spec})
    stage("reconcile.posted", lambda: "Invalid" in world.events())
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    world.patch("assets", "hot-blocks", {"spec": {"readRoles": ["finance"]}})
    stage("asset.stored", lambda: world.sql("SELECT 1 AS n FROM assets WHERE read_roles = '{finance}'"))
    rebuilt = world.chain()["spec"]
    rebuilt["jobs"][1]["config"]["rangeSize"] = 70
    world.patch("dags", "chain", {"spec": rebuilt})
    stage("reconcile.swapped", lambda: world.provision() or active(world) == 2)
    world.patch("dags", "chain", {"spec": world.chain()["spec"]})
    back = world.led(lease_name="back")
    world.until(lambda: active(world) == 1, "the version before is active again")
    back.kill()
    for name in ("cold-blocks", "cold-transactions", "cold-logs"):
        world.patch("assets", name, {"spec": {"retention": {"versions": 1}}})
    stage("asset.purged", lambda: world.sql("SELECT 1 AS n FROM jobs WHERE purged_at IS NOT NULL"))
    world.enqueue(2)
    stage("reconcile.created", lambda: len(world.pods()) == 2)
    for slot, pod in world.pods().items():
        world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
        world.set_pod(slot, {"phase": "Failed", "reason": "Evicted", "message": "low on memory"})
    stage("reconcile.released", lambda: len(world.sql("SELECT 1 AS n FROM task_attempts")) == 2)
    # Whoever released them last was killed before or after it had replaced the pods: now there is what to delete.
    between = world.led(lease_name="between")
    world.until(lambda: phases(world) == ["Pending", "Pending"], "two workers in place of those that failed")
    between.kill()
    for slot in world.pods():
        world.set_pod(slot, {"phase": "Succeeded"})
    stage("reconcile.deleted", lambda: phases(world) == ["Pending", "Pending"])
    spec = world.chain()["spec"]
    spec["jobs"][1]["paused"] = True
    world.patch("dags", "chain", {"spec": spec})
    stage("reconcile.paused", lambda: world.sql("SELECT 1 AS n FROM jobs WHERE paused"))

    last = finish(world)
    world.until(lambda: world.holds("dags", "chain", "Ready"), "the DAG is ready after all of it")
    assert world.names("jobs") == PROJECTED_JOBS
    assert world.names("assets") == PROJECTED_ASSETS
    assert len(world.deployments()) == 1
    world.until(lambda: set(world.pods()) == {"w0", "w1"}, "two workers")
    assert len(world.sql("SELECT 1 AS n FROM dag_versions WHERE NOT spec::text LIKE '%%unheard%%'")) <= 3
    assert len(world.sql("SELECT 1 AS n FROM jobs")) == 5
    assert len(world.sql("SELECT 1 AS n FROM dataset_versions")) == 11
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE cause = 'Source'") == [{"n": 1}]
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE cause = 'Event'") == [{"n": 2}]
    last.kill()

    world.delete("dags", "chain")
    gone = lambda: not world.names("dags")  # noqa: E731
    for point in ("deletion.begun", "deletion.stopped", "deletion.finished"):
        armed = world.start(lease_name=point, crash_at=point)
        world.until(lambda armed=armed: armed.ended() is not None, f"a kill at {point}")
        hits[point] = armed.ended() == crash.EXIT_CODE
        assert not gone()
    stage("deletion.released", gone)
    world.led(lease_name="a-last-look")
    world.until(lambda: not world.collect() and not world.pods() and not world.names("jobs"), "nothing is left")
    assert world.names("assets") == ["cold-blocks", "cold-logs", "cold-transactions", "hot-blocks"], (
        "taken over by a user"
    )
    assert world.sql("SELECT count(*) AS n FROM tasks WHERE status IN ('Queued', 'Running')") == [{"n": 0}]
    assert {point for point, kills in hits.items() if kills} == declared(), hits
