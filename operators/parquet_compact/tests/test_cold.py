"""Which row groups of a cold file are read for a `where`."""

from __future__ import annotations

from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from operators.parquet_compact.cold import row_groups
from traceplane_sdk.where import arrow

TYPES = {"n": "Int64", "value": "UInt256", "address": "Hex", "ratio": "Float64"}


@pytest.mark.parametrize(
    ("where", "groups"),
    [
        ({"n": ["1"]}, [0]),
        ({"n": ["0", "5"]}, [0, 2]),
        ({"n": ["99"]}, []),
        ({"value": ["30", "7"]}, [1, 2]),
        ({"address": ["0xbb"]}, [1]),
        ({"address": ["0xbb", "0xcc"], "n": ["4", "1"]}, [2]),
        ({"ratio": ["2.5"]}, [1]),
    ],
)
def test_a_row_group_in_which_nothing_can_match_is_not_read(
    tmp_path: Path, where: dict[str, list[str]], groups: list[int]
) -> None:
    table = pa.table(
        {
            "n": range(6),
            "value": ["10", "19", "30", "31", "70", "7"],
            "address": ["0xaa", "0xab", "0xba", "0xbc", "0xca", "0xcd"],
            "ratio": [0.5, 1.5, 2.5, 3.5, 4.5, 5.5],
        }
    )
    pq.write_table(table, tmp_path / "file.parquet", row_group_size=2)
    assert row_groups(tmp_path / "file.parquet", arrow(where, TYPES)) == groups
    assert row_groups(tmp_path / "file.parquet", None) is None
