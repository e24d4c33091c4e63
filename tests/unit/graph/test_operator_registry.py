"""Operators are found by entry point, and a broken package is named."""

import subprocess
import sys
from importlib.metadata import EntryPoint

import pytest

from traceplane import operator_registry
from traceplane.errors import GiveUp

GROUP = operator_registry.GROUP
HERE = "tests.unit.graph.doubles"


def test_built_in_operators_are_installed():
    assert {"block_follower", "range_aggregator", "parquet_compact"} <= set(operator_registry.load())


def test_declarations_load_without_the_code_that_does_the_work():
    script = (
        "import sys; from traceplane import operator_registry; operator_registry.load();"
        "print([m for m in ('duckdb', 'pyarrow', 'psycopg', 'sqlalchemy', 'kopf', 'httpx') if m in sys.modules])"
    )
    out = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert out.stdout.strip() == "[]"


@pytest.mark.parametrize(
    ("points", "said"),
    [
        ([EntryPoint("x", "no_such_module:OPERATOR", GROUP)], "'x' .* cannot be loaded"),
        ([EntryPoint("x", "json:dumps", GROUP)], "is no traceplane_sdk.operator.Operator"),
        ([EntryPoint("other", "operators.block_follower:OPERATOR", GROUP)], "calls itself 'block_follower'"),
        ([EntryPoint("block_follower", "operators.block_follower:OPERATOR", GROUP)] * 2, "installed twice"),
    ],
)
def test_an_operator_that_cannot_be_used_stops_the_process_by_name(points, said):
    with pytest.raises(GiveUp, match=said):
        operator_registry.collect(points)
