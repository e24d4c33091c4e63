"""The project's words are the field's, and one word means one thing (docs/glossary.md, "Terms").

What is listed here was written once and read by nobody with ease. It stays out of names, and out of every text that
a user or an engineer reads.
"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
CODE = ("controller", "operators", "hack")
TEXTS = (*CODE, "charts", "docs", "dags", "README.md", "CONTRIBUTING.md")

NAMES = frozenset(
    {"asker", "askers", "told", "gone", "departed", "judge", "judges", "judged", "undertaker", "bury", "buried"}
    | {"unburied", "lane", "lanes", "spoiled", "beaten", "catalogue", "whoever"}
)
"""Parts of names, between underscores and capitals."""

PHRASES = re.compile(
    r"\b(askers?|whoever|who asks|of then|of ours|left to be run|in the same breath|undertaker|unburied|catalogues?"
    r"|its turn|a turn|whose turn|in line|waiting line|told)\b",
    re.IGNORECASE,
)


def paths(places: tuple[str, ...], *suffixes: str) -> Iterator[Path]:
    for place in places:
        found = [ROOT / place] if (ROOT / place).is_file() else (ROOT / place).rglob("*")
        # Decisions are history, and keep the words of their day.
        yield from (path for path in found if path.suffix in suffixes and "adr" not in path.parts)


def names(tree: ast.AST) -> Iterator[tuple[int, str]]:
    for node in ast.walk(tree):
        line = getattr(node, "lineno", 0)
        for field in ("name", "id", "attr", "arg"):
            if isinstance(name := getattr(node, field, None), str):
                yield line, name


def parts(name: str) -> list[str]:
    return [part.lower() for part in re.findall(r"[A-Z]?[a-z0-9]+|[A-Z]+(?![a-z])", name)]


def test_names_are_the_fields_terms() -> None:
    found = {
        f"{path.relative_to(ROOT)}:{line}: {name}"
        for path in paths(CODE, ".py")
        for line, name in names(ast.parse(path.read_text()))
        if NAMES.intersection(parts(name))
    }
    assert not found, "see the terms in docs/glossary.md"


def test_texts_are_plain() -> None:
    found = [
        f"{path.relative_to(ROOT)}:{number}: {match[0]}"
        for path in paths(TEXTS, ".py", ".md", ".yaml", ".tpl", ".txt", ".json")
        # The glossary's last table names what it rules out.
        for number, line in enumerate(path.read_text().partition("\n## Terms\n")[0].splitlines(), start=1)
        for match in PHRASES.finditer(line)
    ]
    assert not found, "see the terms in docs/glossary.md"


@pytest.mark.parametrize("text", ["whoever asks", "the files of then", "a query that was left to be run"])
def test_a_coinage_would_be_found(text: str) -> None:
    assert PHRASES.search(text)
