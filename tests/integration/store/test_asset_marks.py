"""Marks of an asset reach what another DAG makes of it: by a version of the reader that rebuilds nothing."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from tests import graphs, services
from tests.integration.store.conftest import Deploy
from tests.integration.store.rolling import Rows, Versions
from traceplane import graph, operator_registry
from traceplane.graph import AssetRef
from traceplane.store.engine import Database
from traceplane.store.statements.pointers import DagKey
from traceplane.versions import asset_inputs, rollout
from traceplane_sdk.operator import Operator

pytestmark = pytest.mark.services

COPY = DagKey(services.ORG_ID, "demo", "copy")
HOT = {"from": {"asset": "hot-blocks"}}
MARKS = """SELECT d.job, v.finality_depth, v.unverified, (SELECT c -> 'pii' FROM jsonb_array_elements(v.columns) c
           WHERE c ->> 'name' = 'miner') FROM dataset_versions v JOIN datasets d ON d.id = v.dataset_id
           WHERE d.dag = 'copy' AND d.job = 'compact'"""


def marked(**marks: Any) -> dict[str, Operator]:
    """The operators, with marks on what the follower declares, and its miners as personal data."""
    operators = operator_registry.load()
    follower = operators["block_follower"]

    def declare(*given: Any) -> Any:
        declared = follower.declare_outputs(*given)
        return {
            name: replace(
                schema, columns=tuple(replace(one, pii=one.name == "miner") for one in schema.columns), **marks
            )
            for name, schema in declared.items()
        }

    return {**operators, "block_follower": replace(follower, declare_outputs=declare)}


def reader() -> dict[str, Any]:
    """Ranges and a compaction over the other DAG's hot blocks."""
    manifest = graphs.chain("copy")
    manifest["metadata"]["uid"] = "uid-2"
    spec = manifest["spec"]
    spec["jobs"] = spec["jobs"][1:]
    graphs.job(manifest, "ranges")["inputs"] = [HOT]
    compact = graphs.job(manifest, "compact")
    compact["inputs"][1] = HOT | {"trigger": False}
    compact["config"] = {"deleteAfterCompact": False}
    spec["publish"] = [{"asset": "copied", "from": {"job": "compact", "output": "blocks"}}]
    compact["outputs"] = ["blocks"]
    return manifest


async def deployed(state: Database, deploy: Deploy, generation: int) -> tuple[str, str]:
    """What a look at the reader does; and what a person wrote."""
    async with state.transaction() as conn:
        found = await asset_inputs.look_up(conn, COPY, [AssetRef("demo", "hot-blocks")])
    made = graphs.assembled(reader(), read=graph.Assets(found))
    done = await deploy(made, uid="uid-2", generation=generation)
    assert not done.rebuilds
    return done.result, made.written_hash


async def test_marks_of_an_asset_are_those_of_what_its_readers_make(
    state: Database, deploy: Deploy, rows: Rows
) -> None:
    await deploy(graphs.assembled(graphs.chain()))
    first, written = await deployed(state, deploy, 1)
    assert first == "Created"
    assert rows(MARKS) == [("compact", None, [], False)]
    changed = graphs.chain()
    graphs.job(changed, "ranges")["timeoutSeconds"] = 77
    done = await deploy(graphs.assembled(changed, marked(unverified=("bloom",))), generation=2)
    assert done.result == "Updated"
    assert await deployed(state, deploy, 2) == ("Updated", written)
    assert rows(MARKS) == [("compact", None, ["bloom"], True)]
    assert await deployed(state, deploy, 3) == ("Unchanged", written)
    async with state.transaction() as conn:
        # By itself a rollback goes to a version that a person would tell from this one, and there is none.
        with pytest.raises(rollout.NotPossible):
            await rollout.roll_back(conn, COPY, version=None)
    await Versions(state, rows).run(rollout.roll_back, version=None)
    assert await deployed(state, deploy, 4) == ("Updated", written)
    assert rows(MARKS) == [("compact", None, [], False)]
