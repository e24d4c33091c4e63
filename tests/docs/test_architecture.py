"""The page that leads a reader through the code names files and functions that exist."""

from __future__ import annotations

import ast
import re

import pytest

from tests.services import ROOT

PAGE = (ROOT / "docs" / "explanation" / "architecture.md").read_text()
STOPS = re.findall(r"^\| \d+ \| \*{0,2}`([^`]+)`\*{0,2} \| `(\w+)` \|", PAGE, re.MULTILINE)
ROOMS = re.findall(r"`(\w+)`", "".join(re.findall(r"^\| (`[^|]+)\|", PAGE, re.MULTILINE)))


def test_the_way_has_stops_and_five_of_them_are_enough_for_a_first_reading() -> None:
    assert len(STOPS) >= 10
    assert len(re.findall(r"^\| \d+ \| \*\*", PAGE, re.MULTILINE)) == 5


@pytest.mark.parametrize(("path", "name"), STOPS)
def test_a_stop_is_there(path: str, name: str) -> None:
    tree = ast.parse((ROOT / path).read_text())
    defined = {getattr(node, "name", "") for node in tree.body}
    assigned = [node for node in tree.body if isinstance(node, ast.Assign)]
    defined |= {getattr(target, "id", "") for node in assigned for target in node.targets}
    assert name in defined


def test_every_room_is_named_and_every_named_room_is_there() -> None:
    package = ROOT / "controller" / "traceplane"
    there = {path.name for path in package.iterdir() if (path / "__init__.py").exists()}
    # Settings and the kit are what every room stands on; neither is a stop of anything.
    assert set(ROOMS) == there - {"settings", "kit"}
