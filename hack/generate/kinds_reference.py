"""Writes docs/reference/kinds.md from the generated CRDs: every field that the API server knows, with its rule.

Usage: python -m hack.generate.kinds_reference [--check]
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import yaml

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reference" / "kinds.md"

_HEAD = """\
# Kinds

Generated from `crds/` by `python -m hack.generate.kinds_reference`. Group `trace.dev`, version `v1alpha1`, all
namespaced, all in the category `trace` (`kubectl get trace`).

A field that is listed here and not built yet is refused as not supported, by `tracectl lint` and in the condition
`Valid`, never accepted and ignored.
"""


def rendered() -> str:
    """The whole page."""
    crds = [yaml.safe_load(path.read_text()) for path in sorted((ROOT / "crds").glob("*.yaml"))]
    return "\n".join([_HEAD, *(_kind(crd) for crd in crds)])


def _kind(crd: dict[str, Any]) -> str:
    names, version = crd["spec"]["names"], crd["spec"]["versions"][0]
    schema = version["schema"]["openAPIV3Schema"]
    short = ", ".join(f"`{name}`" for name in names.get("shortNames", []))
    lines = [f"## {names['kind']}", "", f"`{names['plural']}`{f', short {short}' if short else ''}. "]
    lines[-1] += " ".join(schema.get("description", "").split())
    for part in ("spec", "status"):
        fields = list(_fields(schema["properties"].get(part, {}), part))
        if fields:
            lines += ["", f"### {names['kind']} {part}", "", "| field | type | default | rule and meaning |"]
            lines += ["|---|---|---|---|", *fields]
    columns = ", ".join(f"`{column['name']}`" for column in version.get("additionalPrinterColumns", []))
    return "\n".join([*lines, "", f"Columns of `kubectl get {names['plural']}`: {columns}.", ""])


def _fields(schema: dict[str, Any], path: str) -> Iterator[str]:
    required = set(schema.get("required", []))
    for name, field in schema.get("properties", {}).items():
        here = f"{path}.{name}"
        default = f"`{_plain(field['default'])}`" if "default" in field else ""
        meaning = _cell(" ".join(filter(None, [_rule(field), field.get("description", "")])))
        yield f"| `{here}`{' (required)' if name in required else ''} | {_type(field)} | {default} | {meaning} |"
        yield from _fields(field, here)
        if "items" in field:
            yield from _fields(field["items"], f"{here}[]")


def _type(field: dict[str, Any]) -> str:
    if "enum" in field:
        return " \\| ".join(f"`{value}`" for value in field["enum"])
    if field.get("type") == "array":
        return f"list of {_type(field['items'])}"
    if field.get("x-kubernetes-int-or-string"):
        return "integer or text"
    return {"string": "text"}.get(field.get("type", "any"), field.get("type", "any"))


def _rule(field: dict[str, Any]) -> str:
    bounds = [
        f"{word} {field[key]}"
        for key, word in (
            ("minimum", "at least"),
            ("maximum", "at most"),
            ("maxLength", "at most characters:"),
            ("maxItems", "at most items:"),
        )
        if key in field
    ]
    if "pattern" in field:
        bounds.append(f"matches `{field['pattern']}`")
    rules = [rule.get("message", rule["rule"]) for rule in field.get("x-kubernetes-validations", [])]
    return ". ".join([*(["; ".join(bounds)] if bounds else []), *rules]) + ("." if bounds or rules else "")


def _plain(value: Any) -> str:
    return str(value).lower() if isinstance(value, bool) else str(value)


def _cell(text: str) -> str:
    return " ".join(text.split()).replace("|", "\\|")


def main(argv: list[str]) -> int:
    """Write the page, or with --check say whether it is right (exit code 1 when not)."""
    if "--check" not in argv:
        PAGE.write_text(rendered())
    elif not PAGE.exists() or PAGE.read_text() != rendered():
        print(f"{PAGE.name} and crds/ differ; run: python -m hack.generate.kinds_reference")
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
