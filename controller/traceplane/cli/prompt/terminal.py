"""The prompt for a person: what is typed is edited, completed and remembered by prompt_toolkit."""

from __future__ import annotations

import shutil
import sys

from prompt_toolkit import PromptSession
from prompt_toolkit.application import get_app
from prompt_toolkit.filters import Condition
from prompt_toolkit.key_binding import KeyBindings, KeyPressEvent

from traceplane.cli import answers
from traceplane.cli.prompt import commands, history, output, pager, script, statements
from traceplane.cli.prompt.completion import SqlCompleter
from traceplane.cli.prompt.session import Session
from traceplane.errors import TraceError

GREETING = "A statement ends with ;  \\? lists commands, \\q leaves."


def run(session: Session) -> None:
    """Read and answer until the person leaves."""
    _load(session)
    title = session.namespace or "trace"
    reader: PromptSession[str] = PromptSession(
        f"{title}=> ",
        history=history.opened(),
        completer=SqlCompleter(lambda: session.catalog),
        complete_while_typing=False,
        multiline=True,
        prompt_continuation=f"{title}-> ",
        key_bindings=_keys(),
    )
    sys.stdout.write(f"{GREETING}\n")
    while True:
        try:
            text = reader.prompt()
            for statement in script.pieces(text):
                _run(statement.text, session)
        except KeyboardInterrupt:
            continue  # of what was typed
        except (EOFError, commands.Leave):
            return


def is_complete(text: str) -> bool:
    """Whether Enter ends what was typed: a command, nothing, or statements of which the last has its `;`."""
    return commands.is_command(text.strip()) or statements.split(text)[1] is None


def _load(session: Session) -> None:
    """The catalog, for completion. Statements can be asked without it."""
    try:
        session.reload()
    except TraceError as error:
        output.error(error, "", "no completion of names: ")


def _keys() -> KeyBindings:
    keys = KeyBindings()

    @keys.add("enter", filter=Condition(lambda: is_complete(get_app().current_buffer.text)))
    def _(event: KeyPressEvent) -> None:
        event.current_buffer.validate_and_handle()

    return keys


def _run(text: str, session: Session) -> None:
    """One statement or command. An error ends neither the session nor what was typed after it."""
    try:
        if commands.is_command(text):
            pager.show(list(commands.run(text, session)))
            return
        found = session.ask(text)
        if found.get("output"):
            answers.exported(found, download=False)
        else:
            pager.show(list(output.answer(found, session, shutil.get_terminal_size().columns)))
            sys.stdout.writelines(f"{line}\n" for line in output.summary(found, session))
            sys.stdout.flush()
    except TraceError as error:
        output.error(error, text)
    except KeyboardInterrupt:
        sys.stderr.write("canceled\n")
        raise
