"""Writes docs/reference/values.md from the chart's values.yaml, its comments and values.schema.json.

A value's meaning is the comment above it (of a group: above the group), its default what stands there, and what it
takes what the schema lets through. So the page can name no value that the chart does not have, and a value without
a comment shows as one without a meaning.

Usage: python -m hack.generate.values_reference [--check]
"""

from __future__ import annotations

import json
import re
import sys
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, NamedTuple

import yaml

ROOT = Path(__file__).resolve().parents[2]
VALUES = ROOT / "charts" / "trace" / "values.yaml"
SCHEMA = ROOT / "charts" / "trace" / "values.schema.json"
PAGE = ROOT / "docs" / "reference" / "values.md"

_HEAD = """\
# Values of the chart

Generated from `charts/trace/values.yaml` and `values.schema.json` by `python -m hack.generate.values_reference`.

A name that is not listed here is refused, as is a value that does not fit. `helm show values charts/trace` prints
the file with its comments. What stands under `config` are [settings](settings.md) of the processes.
"""
_TABLE = "\n| value | default | takes | meaning |\n|---|---|---|---|\n"
_SECTION = re.compile(r"^# --- (.+?) -+$")


class Value(NamedTuple):
    """A row: one value, or a group of values, which has no default."""

    path: str
    default: str | None
    takes: str
    meaning: str


def rendered() -> str:
    """The whole page."""
    lines = VALUES.read_text().splitlines()
    sections = [(number, found[1]) for number, line in enumerate(lines) if (found := _SECTION.match(line))]
    page, current = _HEAD, ""
    for number, value in values():
        section = next((title for at, title in reversed(sections) if at < number), "The release")
        if section != current:
            page += f"\n## {section}\n{_TABLE}"
            current = section
        shown = "" if value.default is None else f"`{value.default}`"
        cells = (f"`{value.path}`", shown, value.takes, value.meaning)
        page += "|".join(["", *(f" {cell} " if cell else " " for cell in cells), "\n"])
    return page


def values() -> list[tuple[int, Value]]:
    """Every value in the order of the file, with its line there."""
    lines = VALUES.read_text().splitlines()
    schema = json.loads(SCHEMA.read_text())
    return list(_values(yaml.compose(VALUES.read_text()), schema, schema["definitions"], lines, ""))


def _values(
    node: yaml.Node, schema: Mapping[str, Any], known: Mapping[str, Any], lines: list[str], above: str
) -> Iterator[tuple[int, Value]]:
    assert isinstance(node, yaml.MappingNode)
    for key, value in node.value:
        line, path = key.start_mark.line, f"{above}{key.value}"
        described = _resolved(schema["properties"][key.value], known)
        meaning = _comment(lines, line)
        if isinstance(value, yaml.MappingNode) and value.value and not value.flow_style:
            if meaning:
                yield line, Value(path, None, "", meaning)
            yield from _values(value, described, known, lines, f"{path}.")
        else:
            yield line, Value(path, _default(value), _takes(described, known), meaning)


def _comment(lines: list[str], line: int) -> str:
    """The comment that ends above a line, at its indentation; not one that heads a section or the file."""
    indent, found = re.match(" *", lines[line])[0], []  # type: ignore[index]  # it matches the empty text, too
    for text in reversed(lines[:line]):
        if not text.startswith(f"{indent}# ") or _SECTION.match(text):
            break
        found.append(text.strip().removeprefix("#").strip())
    return " ".join(reversed(found)).replace("|", "\\|")


def _default(node: yaml.Node) -> str:
    loaded = yaml.safe_load(yaml.serialize(node))
    return json.dumps(loaded, ensure_ascii=False).replace("|", "\\|")


def _resolved(schema: Mapping[str, Any], known: Mapping[str, Any]) -> Mapping[str, Any]:
    reference = schema.get("$ref", "").rpartition("/")[2]
    return {**known[reference], "named": reference} if reference else schema


def _takes(schema: Mapping[str, Any], known: Mapping[str, Any]) -> str:
    """What the schema lets through, in a few words."""
    if "enum" in schema:
        return ", ".join(f"`{json.dumps(choice)}`" for choice in schema["enum"])
    if schema.get("named") in ("quantity", "url"):
        return str(schema["named"])
    kinds = schema.get("type", "any")
    words = {"string": "text", "boolean": "true or false", "object": "map", "array": "list", "null": "null"}
    said = " or ".join(words.get(kind, kind) for kind in ([kinds] if isinstance(kinds, str) else kinds))
    if "array" in kinds and "items" in schema:
        said += f" of {_takes(_resolved(schema['items'], known), known)}"
    bounds = (("minimum", "≥"), ("exclusiveMinimum", ">"), ("maximum", "≤"), ("exclusiveMaximum", "<"))
    return ", ".join([said, *(f"{sign} {schema[key]}" for key, sign in bounds if key in schema)])


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and the chart's values differ; run: python -m hack.generate.values_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
