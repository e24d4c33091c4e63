"""`tracectl plan` as a process: each form, and what is wrong with manifests."""

from __future__ import annotations

import asyncio
import json
import subprocess
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests import graphs, services
from tests.integration.query.command import tracectl
from tests.integration.query.world import World
from tests.issuer import Issuer
from traceplane.graph import AssetRef, Assets
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.userapi.app import app
from traceplane.versions import asset_inputs, deploy

pytestmark = pytest.mark.services

ROOT = Path(__file__).parents[3]
Plan = Callable[..., subprocess.CompletedProcess[str]]


def reading(asset: str = "cold-blocks", namespace: str = "demo") -> dict[str, Any]:
    """The DAG that reads what the chain's publishes."""
    dag: dict[str, Any] = yaml.safe_load((ROOT / "dags" / "activity.yaml").read_text())
    dag["metadata"]["namespace"] = namespace
    dag["spec"]["jobs"][0]["inputs"] = [{"from": {"asset": asset}}]
    return dag


@pytest.fixture
def plan(world: World, oidc: Issuer, serve: Callable[[Any], str], tmp_path: Path) -> Plan:
    """`tracectl plan` of a reader for a manifest, beside the deployed chain."""
    world.user(oidc.url, "rita", "reader")
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))

    async def deployed() -> None:
        state = Database(world.databases.state_dsn, application="test")
        async with state.transaction() as conn:
            for uid, manifest in (("u", graphs.chain()), ("v", reading())):
                key = DagKey(services.ORG_ID, "demo", manifest["metadata"]["name"])
                read = Assets(await asset_inputs.look_up(conn, key, [AssetRef("demo", "cold-blocks")]))
                graph = graphs.assembled(manifest, read=read)
                given = {"graph": graph, "resource_uid": uid, "generation": 1, "bucket": world.bucket}
                await deploy.deploy(conn, org_id=services.ORG_ID, **given)
        await state.close()

    asyncio.run(deployed())

    def command(manifest: dict[str, Any], *arguments: str) -> subprocess.CompletedProcess[str]:
        file = tmp_path / "dag.yaml"
        file.write_text(yaml.safe_dump(manifest))
        given = ("plan", "-f", str(file), "-n", "demo", *arguments)
        return tracectl(*given, TRACE_USER_URL=url, TRACE_TOKEN=oidc.token("rita"))

    return command


def test_each_form_says_what_is_rebuilt_and_why(plan: Plan) -> None:
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 30
    done = plan(manifest, "-o", "json")
    assert done.returncode == 0, done.stderr
    ((found),) = json.loads(done.stdout)
    assert (found["result"], found["active_version"][:3]) == ("Rebuild", "v1-")
    jobs = {job["job"]: (job["action"], job["reasons"]) for job in found["jobs"]}
    assert jobs == {
        "follow": ("Keep", []),
        "ranges": ("Rebuild", ["config.rangeSize 20 -> 30"]),
        "compact": ("Rebuild", ["reads ranges"]),
    }
    assert yaml.safe_load(plan(manifest, "-o", "yaml").stdout) == [found]
    drawn = plan(manifest).stdout.splitlines()
    assert drawn[0].startswith("chain: a new version (")
    assert drawn[0].endswith(f"takes over when it is whole; {found['active_version']} serves")
    manual = plan({**manifest, "spec": {**manifest["spec"], "rollout": {"cutover": "Manual"}}}).stdout
    assert "takes over when it is whole and approved; " in manual
    comment = plan(manifest, "-o", "markdown").stdout.splitlines()
    assert comment[0] == f"**{drawn[0]}**"
    assert comment[3] == "| --- | --- | --- | --- | --- | --- | --- | --- |"
    assert len({line.count("|") for line in comment if line.startswith("|")}) == 1


def test_a_plan_with_a_preview_says_so_and_costs_its_range(plan: Plan) -> None:
    manifest = graphs.chain()
    graphs.job(manifest, "follow")["config"]["startBlock"] = 1
    manifest["spec"]["rollout"] = {"preview": {"range": {"start": 10, "end": 19}}}
    drawn = plan(manifest).stdout.splitlines()
    assert " is built over 10-19 only (spec.rollout.preview), and does not take over; v1-" in drawn[0]
    ((found),) = json.loads(plan(manifest, "-o", "json").stdout)
    assert (found["result"], found["preview"]) == ("Rebuild", {"start": 10, "end": 19})
    unchanged = graphs.chain() | {"spec": graphs.chain()["spec"] | {"rollout": manifest["spec"]["rollout"]}}
    assert plan(unchanged).stdout.splitlines()[0].endswith("changes nothing"), "a preview makes no version"


def test_what_changes_nothing_and_what_is_new_say_so(plan: Plan) -> None:
    assert "changes nothing" in plan(graphs.chain()).stdout
    manifest = graphs.chain("other")
    assert "is new" in plan(manifest).stdout


def test_a_wrong_manifest_has_no_plan(plan: Plan) -> None:
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["operator"] = "nothing"
    done = plan(manifest)
    assert (done.returncode, done.stdout) == (1, "")
    assert "spec.jobs[1].operator" in done.stderr


def test_who_reads_what_is_made_anew_is_named(plan: Plan) -> None:
    manifest = graphs.chain()
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 30
    line = "read by demo/activity: job count reads compact/blocks, and is rebuilt after the cutover"
    assert plan(manifest).stdout.splitlines()[-1] == line
    assert f"- {line}" in plan(manifest, "-o", "markdown").stdout
    ((found),) = json.loads(plan(manifest, "-o", "json").stdout)
    assert [(one["dag"], one["reader"]) for one in found["readers"]] == [("activity", "count")]
    graphs.job(manifest, "ranges")["config"]["rangeSize"] = 20
    assert "read by" not in plan(manifest).stdout
    manifest["spec"]["publish"].pop()
    assert plan(manifest).stdout.splitlines()[-1].endswith("nobody publishes asset cold-blocks then")


@pytest.mark.parametrize("namespace", ["demo", "default"])
def test_a_reader_is_planned_over_the_version_that_it_would_get(plan: Plan, namespace: str) -> None:
    """Whatever namespace the manifest says: it is planned where -n says."""
    assert "changes nothing" in plan(reading(namespace=namespace)).stdout
    named = reading(namespace=namespace)
    named["spec"]["jobs"][0]["inputs"][0]["from"]["namespace"] = "demo"
    assert "changes nothing" in plan(named).stdout
    wrong = plan(reading("cold-block", namespace))
    assert (wrong.returncode, wrong.stdout) == (1, "")
    assert "spec.jobs[0].inputs[0].from.asset: no DAG publishes an asset 'cold-block'" in wrong.stderr
