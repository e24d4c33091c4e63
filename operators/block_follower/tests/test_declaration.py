"""What the follower accepts and declares; and that declaring loads nothing heavy."""

from __future__ import annotations

import subprocess
import sys
from types import SimpleNamespace
from typing import Any

import pytest
from pydantic import ValidationError

from operators.block_follower import OPERATOR
from operators.block_follower.config import NEUTRAL, BlockFollowerConfig
from operators.block_follower.run import check_columns
from operators.chain.profiles import CUSTOM, PROFILES
from traceplane_sdk import wire
from traceplane_sdk.errors import OperatorError
from traceplane_sdk.operator import InputSchema, OperatorRefusal

CONFIG = OPERATOR.config_model.model_validate({"chainId": 5, "rpcPool": "local", "startBlock": 7})


def test_outputs_carry_start_and_finality() -> None:
    declared = OPERATOR.declare_outputs(CONFIG, [], ["logs", "blocks"])
    assert list(declared) == ["logs", "blocks"]
    assert {(one.first_value, one.finality_depth, one.scope_column) for one in declared.values()} == {
        (7, 64, "block_number")
    }


@pytest.mark.parametrize(
    ("config", "name", "unverified", "sparse"),
    [
        ({"chainId": 1}, "Ethereum", (), False),
        ({"chainId": 999_999}, "Ethereum", (), False),
        ({"chainId": 8453}, "OpStack", (), False),
        ({"chainId": 42161}, "Arbitrum", ("gas",), False),
        ({"chainId": 314}, "Filecoin", ("consecutive_heights", "gas", "header_bloom"), True),
        ({"chainId": 314, "chain": {"profile": "Ethereum"}}, "Ethereum", (), False),
        ({"chainId": 137}, "PolygonPos", ("state-sync transactions of before Madhugiri",), False),
        (
            {"chainId": 7, "chain": {"profile": "Custom", "skip": ["log_indexes"]}},
            "Custom",
            ("log_indexes",),
            False,
        ),
    ],
)
def test_a_profile_follows_from_the_chain_id_unless_it_is_named(
    config: dict[str, object], name: str, unverified: tuple[str, ...], sparse: bool
) -> None:
    chosen = BlockFollowerConfig.model_validate({"rpcPool": "local", **config})
    assert chosen.profile.name == name
    for schema in OPERATOR.declare_outputs(chosen, [], ["blocks", "logs"]).values():
        assert (schema.unverified, schema.sparse) == (unverified, sparse)


@pytest.mark.parametrize(
    ("config", "rules"),
    [
        ({"chainId": 1}, "chain 1 by the rules of profile Ethereum, known by its id"),
        ({"chainId": 999_999}, "chain 999999 by Ethereum's rules, since no profile lists its id"),
        (
            {"chainId": 5, "chain": {"profile": "Bsc"}},
            "chain 5 by the rules of profile Bsc, as configured",
        ),
    ],
)
def test_the_rules_in_use_are_said_with_why(config: dict[str, object], rules: str) -> None:
    assert BlockFollowerConfig.model_validate({"rpcPool": "local", **config}).rules == rules


def test_every_profile_can_be_named() -> None:
    for name in (*PROFILES, CUSTOM):
        chosen = BlockFollowerConfig.model_validate({"chainId": 5, "rpcPool": "local", "chain": {"profile": name}})
        assert chosen.profile.name == name


@pytest.mark.parametrize(
    ("outputs", "field"), [(["blocks", "traces"], "outputs[1]"), (["logs"], "outputs"), ([], "outputs")]
)
def test_outputs_it_does_not_have_are_refused(outputs: list[str], field: str) -> None:
    with pytest.raises(OperatorRefusal) as refusal:
        OPERATOR.declare_outputs(CONFIG, [], outputs)
    assert refusal.value.field == field


def test_a_source_takes_no_inputs() -> None:
    blocks = OPERATOR.declare_outputs(CONFIG, [], ["blocks"])["blocks"]
    with pytest.raises(OperatorRefusal) as refusal:
        OPERATOR.declare_outputs(CONFIG, [InputSchema("blocks", blocks, True)], ["blocks"])
    assert refusal.value.field == "inputs"


@pytest.mark.parametrize(
    "wrong",
    [
        {"chainId": 0},
        {"rpcPool": "../secret"},
        {"startBlock": -1},
        {"finalityDepthBlocks": 0},
        {"batchBlocks": 0},
        {"start_block": 3},
        {"emitStrategy": "Sometimes"},
        {"finality": "latest"},
        {"chain": {"profile": "Solana"}},
        {"chain": {"profile": "Ethereum", "skip": ["gas"]}},
        {"chain": {"skip": ["gas"]}},
        {"chain": {"profile": "Custom", "skip": ["same_block"]}},
    ],
)
def test_a_wrong_config_is_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ValidationError):
        OPERATOR.config_model.model_validate({"chainId": 1, "rpcPool": "local", **wrong})


def test_what_decides_rows_is_not_neutral() -> None:
    fields = {field.alias for field in BlockFollowerConfig.model_fields.values()}
    assert fields - NEUTRAL == {"chainId", "chain", "startBlock", "finality", "finalityDepthBlocks"}


def test_declaring_loads_no_driver() -> None:
    heavy = "{'psycopg', 'pyarrow', 'duckdb', 'boto3', 'httpx', 'adbc_driver_postgresql'}"
    script = (
        "import importlib.metadata, sys; from traceplane_sdk.runner import ENTRY_POINTS;"
        "[entry.load() for entry in importlib.metadata.entry_points(group=ENTRY_POINTS)];"
        f"sys.exit(', '.join({heavy} & set(sys.modules)))"
    )
    assert subprocess.run([sys.executable, "-c", script], capture_output=True, text=True).stderr.strip() == ""


def test_a_table_of_a_release_with_other_columns_is_named_with_the_remedy() -> None:
    columns = [
        wire.ColumnDef(name=one.name, type=one.type, nullable=one.nullable)
        for one in OPERATOR.declare_outputs(CONFIG, [], ["blocks"])["blocks"].columns
    ]

    def outputs(had: list[wire.ColumnDef]) -> list[wire.TaskOutput]:
        made: Any = SimpleNamespace(name="blocks", columns=had)
        return [made]

    check_columns(outputs(columns), CONFIG)
    gas_limit = next(at for at, one in enumerate(columns) if one.name == "gas_limit")
    narrow = wire.ColumnDef(name="gas_limit", type="Int64", nullable=False)
    for had in (columns[:-1], [*columns[:gas_limit], narrow, *columns[gas_limit + 1 :]]):
        with pytest.raises(OperatorError, match=r"blocks was made by a release .* under a new name"):
            check_columns(outputs(had), CONFIG)
