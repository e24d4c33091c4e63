"""Every manifest that the project shows to people: dags/, the operators' examples, and the pages of docs/."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[3]
_BLOCK = re.compile(r"^( *)```ya?ml\n(.*?)^\1```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Example:
    """A manifest of ours and where it is written."""

    where: str
    document: dict[str, Any]

    def __str__(self) -> str:
        return self.where


def example_files() -> list[Path]:
    """Files that are manifests as a whole."""
    return sorted([*ROOT.glob("dags/*.yaml"), *ROOT.glob("operators/*/example.yaml")])


def examples() -> list[Example]:
    """All of them; a block of a page counts where it says a kind of ours."""
    found = [example for path in example_files() for example in _in(path, path.read_text())]
    pages = [
        *ROOT.glob("docs/**/*.md"),
        *ROOT.glob("*.md"),
        *ROOT.glob("dags/*.md"),
        *ROOT.glob("operators/*/*.md"),
    ]
    for page in sorted(pages):
        for block in _BLOCK.finditer(page.read_text()):
            found += _in(page, block[2])
    return found


def _in(path: Path, text: str) -> list[Example]:
    documents = [d for d in yaml.safe_load_all(text) if isinstance(d, dict)]
    ours = [d for d in documents if str(d.get("apiVersion", "")).startswith("trace.dev/") and "spec" in d]
    return [Example(f"{path.relative_to(ROOT)}:{d['kind']}/{d['metadata']['name']}", d) for d in ours]
