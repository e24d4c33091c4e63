"""The commands that the pages tell a reader to type: every line of every fenced `sh` or `console` block."""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
PAGES = (*sorted(ROOT.glob("*.md")), *sorted((ROOT / "docs").rglob("*.md")))
_BLOCK = re.compile(r"^ *```(sh|console)\n(.*?)^ *```", re.MULTILINE | re.DOTALL)


@dataclass(frozen=True)
class Command:
    """One command as written; `fails` where the page says so (`# fails`)."""

    page: str
    text: str
    fails: bool

    def __str__(self) -> str:
        return f"{self.page}: {self.text}"


def commands() -> list[Command]:
    """All of them, in the order of the pages."""
    return [found for page in PAGES for found in of_page(page)]


def of_page(page: Path) -> Iterator[Command]:
    """The commands of one page. A backslash continues a line; `# ...` after two spaces is a remark."""
    for block in _BLOCK.finditer(page.read_text()):
        for line in block[2].replace("\\\n", " ").splitlines():
            text, _, remark = line.strip().removeprefix("$ ").partition("  #")
            if text and not text.startswith("#"):
                yield Command(
                    str(page.relative_to(ROOT)), " ".join(text.split()), remark.strip().startswith("fails")
                )
