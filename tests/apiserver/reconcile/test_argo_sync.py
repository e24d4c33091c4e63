"""Argo CD's own engine syncs DAGs from git while a controller brings them about: neither undoes the other."""

from __future__ import annotations

import copy
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml
from kubernetes import client, config

from tests.apiserver.conftest import CRDS
from tests.apiserver.reconcile.world import PROJECTED_ASSETS, ROOT, World
from tests.services import Databases
from tests.services.api_server import api_server as started_api_server
from tests.support.argo import Application, Outcome, Repository

pytestmark = [pytest.mark.apiserver, pytest.mark.services]

Object = dict[str, Any]
WAVE = "argocd.argoproj.io/sync-wave"


@pytest.fixture
def repository(tmp_path: Path) -> Repository:
    return Repository.make(tmp_path)


@pytest.fixture
def application(world: World, repository: Repository) -> Application:
    return Application("data", world.namespace, world.kubeconfig, repository)


def shipped(name: str) -> list[Object]:
    """The documents of an example."""
    return list(yaml.safe_load_all((ROOT / "dags" / f"{name}.yaml").read_text()))


def chain(change: Callable[[Object], object] = lambda dag: None) -> dict[str, str]:
    """The file of the example, its DAG changed."""
    dag, *assets = copy.deepcopy(shipped("chain"))
    change(dag)
    return {"dags/chain.yaml": yaml.safe_dump_all([dag, *assets])}


def synced(application: Application, repository: Repository, world: World) -> None:
    """The example as it is, synced once, with everything of it healthy."""
    repository.commit(chain())
    world.led()
    assert application.sync().phase == "Succeeded"
    converged(application, world)


def job(dag: Object, name: str) -> Object:
    found: Object = next(one for one in dag["spec"]["jobs"] if one["name"] == name)
    return found


def converged(application: Application, world: World) -> Outcome:
    """Play the cluster and the dispatcher until everything of the application is healthy."""
    wanted = len([one for one in application.compare().objects if one["kind"] == "DAG"])
    world.until(lambda: len(world.deployments()) == wanted, "every source has a Deployment")
    world.provision()
    world.source_up()
    return world.until(
        lambda: (now := application.compare()) and set(now.health.values()) == {"Healthy"} and now,
        f"all of {application.name} is healthy",
    )


def generations(world: World) -> dict[str, int]:
    listed = [*world.items("dags"), *world.items("assets"), *world.items("jobs")]
    return {f"{one['kind']}/{one['metadata']['name']}": one["metadata"]["generation"] for one in listed}


@pytest.mark.parametrize("server_side", [False, True], ids=["client side", "server side"])
def test_the_examples_are_synced_once_and_differ_in_nothing_afterwards(
    world: World, repository: Repository, server_side: bool
) -> None:
    application = Application("data", world.namespace, world.kubeconfig, repository, server_side=server_side)
    repository.commit({f"dags/{name}.yaml": yaml.safe_dump_all(shipped(name)) for name in ("chain", "ethereum")})
    world.led()
    first = application.sync()
    assert first.phase == "Succeeded", first
    applied = {
        f"{one['kind']}/{one['metadata']['name']}" for name in ("chain", "ethereum") for one in shipped(name)
    }
    assert first.synced == dict.fromkeys(applied, "Synced")
    now = converged(application, world)
    world.until(
        lambda: application.compare().different == {},
        "neither the server's defaults nor what the controller adds is a difference",
    )
    assert now.health.keys() == applied, "what the controller makes is not the application's"
    before = generations(world)
    assert application.sync().phase == "Succeeded"
    assert generations(world) == before, "a sync without a change writes no spec"
    assert application.compare().different == {}


def test_an_edit_is_the_only_difference_and_is_brought_about(
    world: World, repository: Repository, application: Application
) -> None:
    synced(application, repository, world)
    commit = repository.commit(chain(lambda dag: job(dag, "compact")["scaling"].update(maxWorkers=1)))
    assert application.compare().different.keys() == {"DAG/chain"}
    done = application.sync()
    assert (done.phase, done.commit) == ("Succeeded", commit)
    now = converged(application, world)
    assert now.different == {}
    workers = world.sql("SELECT max_workers AS n FROM dag_version_jobs v JOIN jobs j ON j.id = v.job_id"
                        " JOIN dag_current_versions c ON c.active_version_id = v.dag_version_id"
                        " WHERE j.name = 'compact'")  # fmt: skip
    assert workers == [{"n": 1}]


def test_a_manifest_that_the_server_refuses_changes_nothing(
    world: World, repository: Repository, application: Application
) -> None:
    synced(application, repository, world)
    before = generations(world)
    repository.commit(chain(lambda dag: job(dag, "compact").update(activation="Sometimes")))
    failed = application.sync()
    assert failed.phase == "Failed"
    assert "activation" in next(one["message"] for one in failed.results if one["name"] == "chain")
    assert generations(world) == before
    assert set(failed.health.values()) == {"Healthy"}, "the version of before runs on"


def test_a_wrong_dag_fails_its_wave_and_what_comes_after_is_not_applied(
    world: World, repository: Repository, application: Application
) -> None:
    def wrong(dag: Object) -> None:
        job(dag, "compact")["operator"] = "no_such_operator"

    later = {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "later", "annotations": {WAVE: "1"}}}
    repository.commit(chain(wrong) | {"dags/later.yaml": yaml.safe_dump(later)})
    world.led()
    failed = application.sync()
    assert failed.phase == "Failed", failed
    assert failed.health["DAG/chain"] == "Degraded"
    assert "ConfigMap/later" in failed.different
    repository.commit(chain())
    again = application.sync(seconds=2)
    assert again.phase == "Running", "the first wave is awaited"
    world.until(world.deployments, "the source has a Deployment")
    world.provision()
    world.source_up()
    world.until(lambda: application.sync(seconds=5).phase == "Succeeded", "both waves are applied", 90)
    assert world.core.read_namespaced_config_map("later", world.namespace)


def test_drift_is_healed_once_by_the_one_whose_it_is(
    world: World, repository: Repository, application: Application
) -> None:
    synced(application, repository, world)
    drifted = copy.deepcopy(world.get("dags", "chain") or {})
    wanted = job(drifted, "compact")["scaling"]["maxWorkers"]
    job(drifted, "compact")["scaling"]["maxWorkers"] = wanted + 5
    world.patch("dags", "chain", {"spec": {"jobs": drifted["spec"]["jobs"]}})
    world.patch("jobs", "chain.compact", {"spec": {"scaling": {"maxWorkers": wanted + 9}}})
    assert application.compare().different.keys() == {"DAG/chain"}, "a Job that the controller makes is its own"
    assert application.sync().phase == "Succeeded"

    def projected() -> int:
        return int((world.get("jobs", "chain.compact") or {})["spec"]["scaling"]["maxWorkers"])

    world.until(lambda: projected() == wanted, "the controller puts its own right")
    assert application.compare().different == {}
    before = generations(world)
    assert application.sync().phase == "Succeeded"
    assert generations(world) == before


def test_an_asset_of_the_repository_takes_over_the_one_that_was_made(
    world: World, repository: Repository, application: Application
) -> None:
    synced(application, repository, world)
    made = world.get("assets", "hot-blocks") or {}
    spec = {key: made["spec"][key] for key in made["spec"] if key in ("storage",)} | {"description": "From git."}
    asset = {"apiVersion": "trace.dev/v1alpha1", "kind": "Asset", "metadata": {"name": "hot-blocks"}, "spec": spec}
    repository.commit({"dags/asset.yaml": yaml.safe_dump(asset)})
    assert application.sync().phase == "Succeeded"
    world.until(
        lambda: not (world.get("assets", "hot-blocks") or {})["metadata"].get("ownerReferences"),
        "the controller lets it go",
    )
    now = converged(application, world)
    assert now.different == {}
    assert now.health["Asset/hot-blocks"] == "Healthy"
    repository.commit({"dags/asset.yaml": None})
    assert application.sync().phase == "Succeeded"
    world.until(
        lambda: world.collected() and (world.get("assets", "hot-blocks") or {}).get("spec") == made["spec"],
        "the one of before is made again",
    )


def pruned(application: Application) -> None:
    """Sync what is no longer in git; the DAG is on its way out, and its application says so."""
    done = application.sync()
    assert done.phase == "Succeeded", done
    assert done.synced["DAG/chain"] == "Pruned"
    if "DAG/chain" in done.different:
        assert done.health["DAG/chain"] == "Progressing"


def gone(application: Application, world: World) -> None:
    """Play the garbage collector until nothing of the DAG is left; then the application is in sync."""
    world.until(lambda: not world.collected(), "the DAG and all that was its own are gone")
    now = application.compare()
    assert (now.different, now.health) == ({}, {})


def test_a_pruned_dag_drains_first_and_is_shown_as_progressing(
    world: World, repository: Repository, application: Application
) -> None:
    repository.commit(chain() | {"dags/keep.yaml": yaml.safe_dump(_note())})
    world.led(drain_seconds="120")
    assert application.sync().phase == "Succeeded"
    converged(application, world)
    world.enqueue(1)
    pod = world.until(lambda: world.pods().get("w0"), "a worker")
    world.claim(f"{pod.metadata.name}.{pod.metadata.uid}")
    repository.commit({"dags/chain.yaml": None})
    kept = application.sync(prune=False)
    assert (kept.phase, kept.synced["DAG/chain"]) == ("Succeeded", "PruneSkipped")
    pruned(application)
    world.until(lambda: world.holds("dags", "chain", "Ready", "False", "Draining"), "the drain is told")
    now = application.compare()
    assert now.different.keys() >= {"DAG/chain"}
    assert now.health["DAG/chain"] == "Progressing"
    assert set(world.pods()) == {"w0"}, "its task runs on"
    world.sql("UPDATE tasks SET status = 'Completed', finished_at = now() WHERE status = 'Running'")
    gone(application, world)


def test_a_dag_is_pruned_though_the_database_is_away(
    world: World, repository: Repository, application: Application
) -> None:
    repository.commit(chain() | {"dags/keep.yaml": yaml.safe_dump(_note())})
    first = world.led()
    assert application.sync().phase == "Succeeded"
    converged(application, world)
    first.kill()
    world.state_dsn = f"postgresql://nobody@127.0.0.1:1/{world.namespace}"
    world.start(drain_seconds="6", lease_name="blind")  # a killed one cannot release its own
    repository.commit({"dags/chain.yaml": None})
    pruned(application)
    gone(application, world)


def test_two_applications_with_the_same_dag_keep_to_their_namespaces(world: World, repository: Repository) -> None:
    here = [world.beside(f"{world.namespace}-{name}") for name in ("one", "two")]
    one, two = (Application(h.namespace, h.namespace, h.kubeconfig, repository, h.namespace) for h in here)
    for application in (one, two):
        repository.commit({f"{application.path}/chain.yaml": chain()["dags/chain.yaml"]})
    world.led(watch_namespaces=" ".join(h.namespace for h in here))
    for application, h in zip((one, two), here, strict=True):
        assert application.sync().phase == "Succeeded"
        converged(application, h)
    before = generations(here[1])
    repository.commit({f"{one.path}/chain.yaml": None, f"{one.path}/keep.yaml": yaml.safe_dump(_note())})
    pruned(one)
    gone(one, here[0])
    now = two.compare()
    assert now.different == {}
    assert set(now.health.values()) == {"Healthy"}
    assert generations(here[1]) == before


@pytest.fixture
def bare(databases: Databases, tmp_path: Path) -> Iterator[World]:
    """A namespace on an API server of its own, which has none of Trace's kinds."""
    with started_api_server() as server, config.new_client_from_config(str(server.kubeconfig)) as api:
        client.CoreV1Api(api).create_namespace({"metadata": {"name": "first"}})
        made = World(api, server.kubeconfig, databases.state_dsn, "first", tmp_path)
        try:
            yield made
        finally:
            made.end()


def test_definitions_and_dags_go_in_one_application_by_waves(bare: World, repository: Repository) -> None:
    """The controller was there first, and the DAG is followed by what needs it healthy."""
    later = _note() | {"metadata": {"name": "later", "annotations": {WAVE: "2"}}}

    def second(dag: Object) -> None:
        dag["metadata"]["annotations"] = {WAVE: "1"}

    definitions = {f"dags/crds/{path.name}": path.read_text() for path in CRDS.glob("*.yaml")}
    dag, *_ = shipped("chain")
    second(dag)
    repository.commit(
        definitions | {"dags/chain.yaml": yaml.safe_dump(dag), "dags/later.yaml": yaml.safe_dump(later)}
    )
    application = Application("all", bare.namespace, bare.kubeconfig, repository)
    bare.start()
    waiting = bare.until(
        lambda: (seen := application.sync(seconds=5)).health["DAG/chain"] == "Progressing" and seen,
        "the second wave is applied",
        90,
    )
    assert waiting.phase == "Running", waiting
    assert "waiting for healthy state of" in waiting.message
    assert "ConfigMap/later" in waiting.different
    bare.until(bare.deployments, "the source has a Deployment")
    bare.provision()
    bare.source_up()
    bare.until(lambda: application.sync(seconds=5).phase == "Succeeded", "all three waves are applied", 90)
    assert application.compare().different == {}
    assert bare.names("assets") == PROJECTED_ASSETS


def _note() -> Object:
    return {"apiVersion": "v1", "kind": "ConfigMap", "metadata": {"name": "keep"}, "data": {"a": "b"}}
