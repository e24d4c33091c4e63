"""A batch holds rows of its own range alone, and is told by the first row that is not."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from traceplane_sdk.errors import OperatorError
from traceplane_sdk.hot import check_range

BLOCKS: Any = SimpleNamespace(
    name="blocks", scope_column="number", columns=[SimpleNamespace(name="hash"), SimpleNamespace(name="number")]
)


def test_rows_of_the_range_are_taken_with_both_its_ends() -> None:
    check_range(BLOCKS, 5, 7, [("a", 5), ("b", 6), ("c", 7)])


@pytest.mark.parametrize(
    ("value", "said"),
    [(4, "number 4 is no part of 5-7"), (8, "number 8 is no part of 5-7"), (True, "a bool"), ("6", "a str")],
)
def test_a_row_of_another_value_is_named(value: object, said: str) -> None:
    with pytest.raises(OperatorError, match=said) as refused:
        check_range(BLOCKS, 5, 7, [("a", 6), ("b", value)])
    assert refused.value.code == "RowOutsideRange"
