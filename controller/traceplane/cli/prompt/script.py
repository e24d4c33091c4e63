"""`tracectl sql < file`: statements without a person. It stops at the first that has no answer.

Exit codes are psql's with ON_ERROR_STOP: 3 where a statement failed, 2 where the service cannot be reached.
"""

from __future__ import annotations

import sys

from traceplane.cli import answers
from traceplane.cli.prompt import commands, output, statements
from traceplane.cli.prompt.session import Session
from traceplane.errors import TraceError, Unavailable

FAILED = 3
UNREACHABLE = 2


def run(text: str, session: Session) -> int:
    """Run everything in `text`; the exit code."""
    for statement in pieces(text):
        try:
            _run(statement.text, session)
        except commands.Leave:
            break
        except TraceError as error:
            sys.stdout.flush()
            output.error(error, statement.text, f"line {statement.line}: ")
            return UNREACHABLE if isinstance(error, Unavailable) else FAILED
    return 0


def pieces(text: str) -> list[statements.Statement]:
    """Statements and commands in their order. A command is a line of its own, between statements."""
    found: list[statements.Statement] = []
    kept: list[str] = []
    first = 1

    def flush() -> None:
        ended, rest = statements.split("".join(kept))
        several = [*ended, rest] if rest else ended
        found.extend(statements.Statement(each.text, each.line + first - 1) for each in several)

    for number, line in enumerate(text.splitlines(keepends=True), 1):
        between = commands.is_command(line.strip()) and statements.split("".join(kept))[1] is None
        if between:
            flush()
            kept, first = [], number + 1
            found.append(statements.Statement(line.strip(), number))
        else:
            kept.append(line)
    flush()
    return found


def _run(text: str, session: Session) -> None:
    if commands.is_command(text):
        sys.stdout.writelines(f"{line}\n" for line in commands.run(text, session))
        return
    found = session.ask(text)
    if found.get("output"):
        answers.exported(found, download=False)
        return
    sys.stdout.writelines(f"{line}\n" for line in output.answer(found, session))
    sys.stderr.writelines(f"{line}\n" for line in output.summary(found, session))
