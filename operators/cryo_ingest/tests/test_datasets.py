"""The table of datasets is what the installed cryo says of itself."""

from __future__ import annotations

import re
import subprocess
import sys

import pytest

from operators.cryo_ingest.datasets import DATASETS

_HELP = (
    "import cryo, os, sys; [cryo.freeze(['help', name]) for name in sys.argv[1:]]; sys.stdout.flush(); os._exit(0)"
)


@pytest.fixture(scope="module")
def said() -> dict[str, str]:
    """cryo's page of each dataset, and the list of them all."""
    found = subprocess.run(
        [sys.executable, "-c", _HELP, "datasets", *DATASETS], capture_output=True, text=True, check=True, timeout=60
    )
    pages = re.split(r"\n(?=[a-z0-9_]+\n─+\n- can collect)", "\n" + re.sub(r"\x1b\[[0-9;]*m", "", found.stdout))
    return {"datasets": pages[0], **{page.lstrip().partition("\n")[0]: page for page in pages[1:]}}


def _columns(page: str) -> dict[str, str]:
    """The default columns with their types; of a 256-bit integer the one that is spelt as digits."""
    found = dict(re.findall(r"^- (\w+): (\w+)$", page.partition("schema for")[2], re.MULTILINE))
    return {
        name.removesuffix("_string"): "u256" if f"{name.removesuffix('_string')}_binary" in found else kind
        for name, kind in found.items()
        if not (name.endswith(("_binary", "_f64")) and f"{name.rpartition('_')[0]}_string" in found)
    }


def _names(page: str, what: str) -> set[str]:
    text = re.search(rf"{what}: (.*)", page)
    assert text is not None, page
    return set() if "[none]" in text[1] else set(re.split(r",\s*", text[1].strip()))


def test_there_are_no_other_datasets(said: dict[str, str]) -> None:
    listed = re.findall(r"^- (\w+)(?: \(alias.*\))?$", said["datasets"].partition("dataset group")[0], re.MULTILINE)
    assert sorted(listed) == sorted(DATASETS)


@pytest.mark.parametrize("name", sorted(DATASETS))
def test_columns_and_parameters_are_those_of_cryo(name: str, said: dict[str, str]) -> None:
    known, page = DATASETS[name], said[name]
    spelt = {"seconds": "uint32", "digits": "string", "hex_of_hex": "binary"}
    assert {column: spelt.get(kind, kind) for column, kind in known.columns.items()} == _columns(page)
    assert set(known.more) == _names(page, "other available columns")
    # One that cryo's page leaves out: without a tracer there is nothing to trace.
    assert set(known.needs) - {"js_tracer"} == _names(page, "required parameters")
    assert set(known.takes) == _names(page, "optional parameters")
