"""What a name in a statement means: one relation, or a refusal that says how to name each of two."""

from __future__ import annotations

from dataclasses import replace
from typing import Any
from uuid import UUID, uuid4

import pytest

from traceplane.errors import Refused
from traceplane.query.gate.statement import Refusal, RelationName
from traceplane.query.relations.resolve import Reader, check_columns, match, task_rows
from traceplane.query.relations.rows import CatalogRow, catalog_row


def version(job: str, output: str, asset: str | None = None) -> dict[str, Any]:
    """A row of `catalog.versions`."""
    return {
        "namespace": "chain-a",
        "job": job,
        "output": output,
        "asset": asset,
        "storage": "Postgres",
        "columns": (),
        "scope_column": "n",
        "dataset_id": uuid4(),
        "dataset_version_id": uuid4(),
        "location": "hot.d_1",
        "provisioned": True,
    }


def federated(name: str, hot: UUID, cold: UUID) -> CatalogRow:
    row = {**version("", ""), "name": name, "storage": "Federated", "hot_version_id": hot, "cold_version_id": cold}
    roles = {f"{half}read_roles": () for half in ("", "hot_", "cold_")}
    return catalog_row({**row, **roles, "hot_location": "hot.d_1"})


def meant(name: str, rows: list[CatalogRow]) -> UUID | None:
    """The hot version that a task's statement reads under a name."""
    listed = frozenset(found for row in rows for found in (row.hot_version, row.cold_version) if found)
    ((row, _),) = match([RelationName(None, name, 14)], "chain-a", rows, Reader(versions=listed))
    return row.hot_version


def test_outputs_of_the_same_name_in_sql_are_refused_and_found_by_their_assets() -> None:
    one, other = version("a", "b_c", "prices"), version("a-b", "c")
    for rows in (task_rows([one, other]), task_rows([other, one])):
        with pytest.raises(Refusal) as refused:
            meant("a_b_c", rows)
        assert (refused.value.code, refused.value.name, refused.value.position) == (
            "RelationAmbiguous",
            "a_b_c",
            14,
        )
        for said in ("output 'b_c' of job 'a', asset 'prices'", "output 'c' of job 'a-b', no asset", "publish it"):
            assert said in refused.value.message
        assert meant("prices", rows) == one["dataset_version_id"]


def test_an_ambiguous_name_that_is_not_used_refuses_nothing() -> None:
    rows = task_rows([version("a", "b_c"), version("a-b", "c"), third := version("d", "e")])
    assert meant("d_e", rows) == third["dataset_version_id"]


def test_two_versions_of_one_output_are_ambiguous() -> None:
    with pytest.raises(Refusal) as refused:
        meant("a_b", task_rows(both := [version("a", "b"), version("a", "b")]))
    assert all(str(one["dataset_version_id"]) in refused.value.message for one in both)


def test_one_version_under_two_assets_is_not_ambiguous() -> None:
    one = version("a", "b", "x")
    rows = task_rows([one, {**one, "asset": "y"}])
    assert {meant(name, rows) for name in ("a_b", "x", "y")} == {one["dataset_version_id"]}


def test_the_name_of_an_asset_counts_before_that_of_an_output() -> None:
    rows = task_rows([version("a", "b"), published := version("c", "d", "a-b")])
    assert meant("a_b", rows) == published["dataset_version_id"]


def test_a_federated_asset_with_the_name_of_a_published_one_is_refused() -> None:
    published = task_rows([version("a", "b", "blocks")])
    for rows in (
        [*published, federated("blocks", uuid4(), uuid4())],
        [federated("blocks", uuid4(), uuid4()), *published],
    ):
        with pytest.raises(Refusal, match="Federated asset chain-a/blocks"):
            meant("blocks", rows)


def test_a_task_sees_each_input_by_its_where_and_a_user_sees_all() -> None:
    one, other = version("a", "b", "x"), version("c", "d")
    rows, names = task_rows([one, other]), [RelationName(None, name, 0) for name in ("a_b", "x", "c_d")]
    ids = [row["dataset_version_id"] for row in (one, other)]
    reader = Reader(versions=frozenset(ids), filters={ids[0]: {"n": ["1"]}})
    assert [row.where for row, _ in match(names, "chain-a", rows, reader)] == [{"n": ["1"]}, {"n": ["1"]}, {}]
    assert [row.where for row, _ in match(names, "chain-a", rows, Reader())] == [{}, {}, {}]


def test_a_federated_asset_has_one_where_or_is_refused() -> None:
    hot, cold = uuid4(), uuid4()
    rows, name = [federated("blocks", hot, cold)], RelationName(None, "blocks", 14)
    for filters in ({hot: {"n": ["1"]}}, {cold: {"n": ["1"]}}, {hot: {"n": ["1"]}, cold: {"n": ["2"]}}):
        with pytest.raises(Refusal, match="give both the same") as refused:
            match([name], "chain-a", rows, Reader(versions=frozenset([hot, cold]), filters=filters))
        assert (refused.value.code, refused.value.position) == ("WhereDiffers", 14)
    both = Reader(versions=frozenset([hot, cold]), filters={hot: {"n": ["1"]}, cold: {"n": ["1"]}})
    assert match([name], "chain-a", rows, both)[0][0].where == {"n": ["1"]}


@pytest.mark.parametrize("schema", [None, "elsewhere", "main", "information_schema"])
def test_a_name_that_nothing_has_is_not_found(schema: str | None) -> None:
    # A schema of DuckDB's own is no namespace, even where there is one of its name.
    one = version("a", "b", "blocks")
    rows = [replace(row, namespace="main") for row in task_rows([one])]
    reader = Reader(versions=frozenset([one["dataset_version_id"]]))
    with pytest.raises(Refusal) as refused:
        match([RelationName(schema, "blocks", 14)], "chain-a", rows, reader)
    assert (refused.value.code, refused.value.position) == ("RelationNotFound", 14)


def test_a_relation_without_its_table_is_not_ready() -> None:
    with pytest.raises(Refusal) as refused:
        meant("blocks", task_rows([{**version("a", "b", "blocks"), "provisioned": False}]))
    assert refused.value.code == "RelationNotReady"


def test_a_relation_with_a_column_of_a_type_that_came_later_is_refused() -> None:
    (row, *_) = task_rows([{**version("a", "b"), "columns": [{"name": "n", "type": "Int512"}]}])
    with pytest.raises(Refused, match="'n' has the unknown type 'Int512'"):
        check_columns(row)
