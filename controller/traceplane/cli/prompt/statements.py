"""Where statements end: at a `;` outside of texts, quoted names and comments, as DuckDB's lexer has it. Pure."""

from __future__ import annotations

import re
from dataclasses import dataclass

from rich.cells import cell_len

from traceplane.cli import escapes

MARKED_WIDTH = 100
"""Characters of a line that an error quotes."""

_OPENING = re.compile(r"""(?<![\w$])[eE]'|'|"|(?<![\w$])\$(?:[^\W\d]\w*)?\$|--|/\*|;""")
_CLOSING = {
    "'": re.compile(r"(?:[^']|'')*'(?!')"),
    '"': re.compile(r'(?:[^"]|"")*"(?!")'),
    "e'": re.compile(r"(?:[^'\\]|''|\\.)*'(?!')", re.DOTALL),
    "--": re.compile(r"[^\r\n]*(?:[\r\n]|\Z)"),
}
_COMMENT = re.compile(r"/\*|\*/")


@dataclass(frozen=True, slots=True)
class Statement:
    """The text of a statement without its `;`, and the line of the input that it begins on."""

    text: str
    line: int


def split(text: str) -> tuple[list[Statement], Statement | None]:
    """The statements that end in `text`, and one that does not yet. Empty ones and lone comments are none."""
    found: list[Statement] = []
    begin = place = 0
    content = False  # whether there is more than blanks and comments since `begin`
    while opening := _OPENING.search(text, place):
        content = content or bool(text[place : opening.start()].strip())
        if opening[0] == ";":
            if content:
                found.append(_statement(text, begin, opening.start()))
            begin = place = opening.end()
            content = False
            continue
        content = content or opening[0] not in ("--", "/*")
        end = _end(text, opening)
        if end is None:
            return found, _statement(text, begin, len(text))
        place = end
    content = content or bool(text[place:].strip())
    return found, _statement(text, begin, len(text)) if content else None


def marked(statement: str, position: int) -> str:
    """The line of a statement that holds `position`, with a mark below the place."""
    start = statement.rfind("\n", 0, position) + 1
    line = statement[start:].partition("\n")[0]
    column = min(position - start, len(line))
    first = max(0, column - MARKED_WIDTH // 2)
    head = f"LINE {statement.count(chr(10), 0, position) + 1}: " + ("..." if first else "")
    before = escapes.message_of(line[first:column])
    rest = escapes.message_of(line[column : first + MARKED_WIDTH])
    return f"{head}{before}{rest}\n{' ' * cell_len(head + before)}^"


def _statement(text: str, begin: int, end: int) -> Statement:
    whole = text[begin:end]
    skipped = len(whole) - len(whole.lstrip())
    return Statement(whole.strip(), text.count("\n", 0, begin + skipped) + 1)


def _end(text: str, opening: re.Match[str]) -> int | None:
    """Where what `opening` opens has ended; None where it does not."""
    mark = opening[0].lower()
    if mark == "/*":
        return _comment_end(text, opening.end())
    if mark.startswith("$"):
        place = text.find(opening[0], opening.end())
        return None if place < 0 else place + len(mark)
    closing = _CLOSING[mark].match(text, opening.end())
    return closing.end() if closing else None


def _comment_end(text: str, place: int) -> int | None:
    """Comments nest."""
    depth = 1
    while found := _COMMENT.search(text, place):
        depth += 1 if found[0] == "/*" else -1
        place = found.end()
        if not depth:
            return place
    return None
