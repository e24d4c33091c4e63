"""What begins with a backslash: commands to the prompt itself, named as psql names them."""

from __future__ import annotations

from collections.abc import Iterator
from typing import TYPE_CHECKING

from traceplane.cli import tables
from traceplane.errors import NotFound, Refused

if TYPE_CHECKING:
    from traceplane.cli.prompt.catalog import Relation
    from traceplane.cli.prompt.session import Session

COMMANDS = (
    ("\\d", "list what may be asked about; \\d NAME: the columns of one"),
    ("\\dt", "the same as \\d"),
    ("\\x", "a line for each value instead of one for each row, on or off"),
    ("\\timing", "say how long a query took, on or off"),
    ("\\?", "this list"),
    ("\\q", "leave, as Ctrl-D does"),
)
_LEAVE = ("\\q", "quit", "exit")


class Leave(Exception):
    """The person wants to leave."""


def is_command(text: str) -> bool:
    """Whether a line is for the prompt, and not the beginning of a statement."""
    return text.startswith("\\") or text.rstrip("; ").lower() in _LEAVE


def run(text: str, session: Session) -> Iterator[str]:
    """The lines that a command prints. Raises Leave, and TraceError with the remedy."""
    name, *arguments = text.rstrip("; ").split()
    if name.lower() in _LEAVE:
        raise Leave
    if name in ("\\d", "\\dt"):
        session.reload()
        yield from _columns(session, arguments[0]) if arguments else _relations(session)
    elif name == "\\x":
        session.expanded = not session.expanded
        yield f"a line for each value: {_on_or_off(session.expanded)}"
    elif name == "\\timing":
        session.timing = not session.timing
        yield f"timing: {_on_or_off(session.timing)}"
    elif name == "\\?":
        yield from tables.lines(("command", "meaning"), COMMANDS, null="")
        yield "A statement ends with ; and may have several lines. Tab completes. Ctrl-C cancels."
    else:
        raise Refused(f"no command {name}: \\? lists them", code="NoCommand")


def _relations(session: Session) -> Iterator[str]:
    catalog = session.catalog
    rows = [(catalog.title(each), each.storage, each.description) for each in catalog.relations]
    return tables.lines(("name", "storage", "description"), rows, null="")


def _columns(session: Session, name: str) -> Iterator[str]:
    found = session.catalog.find(name)
    own = [each for each in found if "." not in session.catalog.title(each)]
    if not found:
        raise NotFound(f"there is no {name}, or you may not read it: \\d lists what there is")
    for relation in own or found:
        yield f"{session.catalog.title(relation)} ({relation.storage})"
        yield from _described(relation)


def _described(relation: Relation) -> Iterator[str]:
    rows = [(name, kind, "yes" if nullable else "no") for name, kind, nullable in relation.columns]
    return tables.lines(("column", "type", "nullable"), rows, null="")


def _on_or_off(value: bool) -> str:
    return "on" if value else "off"
