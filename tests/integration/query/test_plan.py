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
from traceplane.settings import Settings
from traceplane.store.engine import Database
from traceplane.userapi.app import app
from traceplane.versions import deploy

pytestmark = pytest.mark.services

Plan = Callable[..., subprocess.CompletedProcess[str]]


@pytest.fixture
def plan(world: World, oidc: Issuer, serve: Callable[[Any], str], tmp_path: Path) -> Plan:
    """`tracectl plan` of a reader for a manifest, beside the deployed chain."""
    world.user(oidc.url, "rita", "reader")
    url = serve(app(Settings(state_dsn=world.databases.state_dsn, oidc_issuer=oidc.url), pytest.fail))

    async def deployed() -> None:
        state, graph = Database(world.databases.state_dsn, application="test"), graphs.assembled(graphs.chain())
        async with state.transaction() as conn:
            await deploy.deploy(
                conn, org_id=services.ORG_ID, graph=graph, resource_uid="u", generation=1, bucket=world.bucket
            )
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
    comment = plan(manifest, "-o", "markdown").stdout.splitlines()
    assert comment[0] == f"**{drawn[0]}**"
    assert comment[3] == "| --- | --- | --- | --- | --- | --- | --- | --- |"
    assert len({line.count("|") for line in comment if line.startswith("|")}) == 1


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
