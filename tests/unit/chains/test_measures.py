"""Everything that the follower measures is listed, and everything listed is measured."""

from __future__ import annotations

import re

from operators.block_follower.measures import MEASURES
from tests.services import ROOT

FOLDER = ROOT / "operators" / "block_follower"


def test_what_is_measured_is_listed() -> None:
    code = "".join(path.read_text() for path in FOLDER.glob("*.py"))
    measured = set(re.findall(r'measure\("(\w+)"', code))
    per_provider = (FOLDER / "reporting.py").read_text().partition("def _show_providers")[2]
    measured |= {f"source_provider_{name}" for name in re.findall(r'^ +\("(\w+)", ', per_provider, re.MULTILINE)}
    assert measured == set(MEASURES)
