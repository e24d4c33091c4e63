"""Writes docs/reference/tracectl.md from the command line itself: what `--help` says, on one page.

Usage: python -m hack.generate.tracectl_reference [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import typer.main

from traceplane.cli.main import app

PAGE = Path(__file__).resolve().parents[2] / "docs" / "reference" / "tracectl.md"

_HEAD = """\
# tracectl

Generated from the commands themselves by `python -m hack.generate.tracectl_reference`.

Exit codes: 0 done; 1 the answer is no (an invalid manifest, a refused query, nothing found); 2 wrong usage.
"""


def rendered() -> str:
    """The whole page."""
    return "\n".join([_HEAD, *_commands(typer.main.get_command(app), "tracectl")])


def _commands(command: Any, path: str) -> Iterator[str]:
    children = getattr(command, "commands", None)
    if children is None:
        yield _command(command, path)
        return
    for name in sorted(children):
        yield from _commands(children[name], f"{path} {name}")


def _command(command: Any, path: str) -> str:
    positional = [parameter for parameter in command.params if parameter.param_type_name == "argument"]
    options = [parameter for parameter in command.params if parameter.param_type_name == "option"]
    usage = " ".join([path, "[options]" if options else "", *(_argument(found) for found in positional)])
    lines = [
        f"## {path}",
        "",
        " ".join((command.help or "").split()),
        "",
        "```text",
        " ".join(usage.split()),
        "```",
        "",
    ]
    rows = [f"| `{_argument(found)}` | | {_text(found)} |" for found in positional]
    rows += [f"| {_names(option)} | {_default(option)} | {_text(option)} |" for option in options]
    if rows:
        lines += ["| argument or option | default | meaning |", "|---|---|---|", *rows, ""]
    return "\n".join(lines)


def _argument(parameter: Any) -> str:
    name = (parameter.metavar or parameter.name).upper()
    name = f"{name}..." if parameter.nargs == -1 else name
    return name if parameter.required else f"[{name}]"


def _names(option: Any) -> str:
    return ", ".join(f"`{name}`" for name in (*option.opts, *option.secondary_opts))


def _default(option: Any) -> str:
    default = option.default
    if callable(default) or default in (None, False, (), []):
        return ""
    return f"`{getattr(default, 'value', default)}`"


def _text(parameter: Any) -> str:
    text = getattr(parameter, "help", None) or ""
    variable = f" Environment: `{parameter.envvar}`." if getattr(parameter, "envvar", None) else ""
    return " ".join(f"{text}{variable}".split()).replace("|", "\\|")


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the commands differ; run: python -m hack.generate.tracectl_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
