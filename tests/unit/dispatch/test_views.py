"""Which names Trace makes its views at, and which it leaves to whom they are."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

from traceplane.dispatch.views import decide
from traceplane.store.statements.pointers import DagKey
from traceplane.store.statements.views import NAME_BYTES, SCHEMA_MARK, Found, Schema, Wanted, mark

DAG = DagKey(UUID(int=1), "demo", "chain")
WANTED = Wanted(
    dag="chain",
    namespace="demo",
    asset="blocks",
    location="hot.d_1",
    columns=[{"name": "number"}],
    provisioned=True,
    open=True,
)
THERE = Found(
    schema="demo",
    name="blocks",
    is_view=True,
    comment=mark(DAG.org_id, WANTED),
    columns=["number"],
    reads=["hot.d_1"],
    granted=True,
)
OWN = Schema(name="demo", comment=f"{SCHEMA_MARK}demo", granted=True)


def refused(wanted: Wanted = WANTED, there: Found | None = None, schema: Schema | None = OWN) -> str:
    """Why no view is made; then nothing is done about it."""
    found = {there.key: there} if there else {}
    plan = decide(DAG, [wanted], found, {schema.name: schema} if schema else {}, role=True)
    assert bool(plan.refused) is not plan.behind
    return plan.refused.get(wanted.key, "")


def test_a_view_is_made_where_nothing_is_or_what_is_there_is_its_own() -> None:
    assert refused() == refused(schema=None) == refused(there=replace(THERE, reads=["hot.d_2"])) == ""


def test_what_is_not_traces_and_what_has_no_name_in_postgres_is_refused() -> None:
    assert "no name longer" in refused(replace(WANTED, asset="a" * (NAME_BYTES + 1)))
    assert "schema demo is not Trace's" in refused(schema=replace(OWN, comment="mine"))
    other = replace(THERE, comment=mark(UUID(int=2), WANTED))
    for there in (replace(THERE, comment="mine"), replace(THERE, is_view=False), other):
        assert "demo.blocks is not Trace's" in refused(there=there)
