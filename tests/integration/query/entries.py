"""What the gate's process and the zygote run in tests instead of their own `main`, for what cannot be brought about
from outside: see `GateSupervisor.entry` and `Cells.entry`."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NoReturn
from unittest.mock import patch

from traceplane.query.cell import child, execution, warm, zygote
from traceplane.query.gate import process
from traceplane.query.sandbox import confine


def unfit(*_: object, **__: object) -> NoReturn:
    """A part that fails."""
    raise ZeroDivisionError


def break_out(*_: object) -> NoReturn:
    """What SQL that took over its process would try: write wherever that may lead."""
    for descriptor in range(64):
        with contextlib.suppress(OSError):
            os.write(descriptor, b"forged")
    raise ValueError


@contextlib.contextmanager
def once_warm(*parts: tuple[Any, str, Any]) -> Iterator[None]:
    """Replace `parts` (owner, name, value) when the zygote has opened its databases."""
    real = warm.opened
    with contextlib.ExitStack() as patches:

        def opened(folder: Path) -> warm.Databases:
            databases = real(folder)
            for part in parts:
                patches.enter_context(patch.object(*part))
            return databases

        patches.enter_context(patch.object(warm, "opened", opened))
        yield


def gate_that_cannot_be_confined(descriptor: int, folder: str) -> None:
    with patch.object(confine, "confine", unfit):
        process.main(descriptor, folder)


def gate_that_is_taken_over(descriptor: int, folder: str) -> None:
    with patch.object(process, "_reply", break_out):
        process.main(descriptor, folder)


def gate_that_has_used_its_processor_time(descriptor: int, folder: str) -> None:
    with patch.object(process, "CPU_SECONDS", 0):
        process.main(descriptor, folder)


def cells_that_cannot_be_confined(descriptor: int, folder: str) -> None:
    with patch.object(confine, "confine", unfit):
        zygote.main(descriptor, folder)


def cells_that_fail_their_rehearsal(descriptor: int, folder: str) -> None:
    """The zygote's own rehearsal succeeds."""
    with once_warm((warm.Rehearsal, "run", unfit)):
        zygote.main(descriptor, folder)


def cells_that_are_taken_over(descriptor: int, folder: str) -> None:
    """By the query that comes at once."""
    with once_warm((child, "_query_arrives", lambda *_: True), (execution, "serve", break_out)):
        zygote.main(descriptor, folder)
