"""Read YAML manifests from files that may be wrong.

kubectl turns YAML into JSON before anybody looks at it, and forgives on the way: of two equal keys the last wins,
`.nan` and numbers of a thousand digits become something else. Here they are refused, with the line.
"""

from __future__ import annotations

import os
import re
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import count
from pathlib import Path
from typing import Any

import yaml

from traceplane.cli.yaml_nodes import MAX_DEPTH, TAG, Loader, Unreadable, line_of, scalar

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_VALUES = 500_000
"""Values of one document, with aliases written out; long text counts as one for each 32 characters."""
TEXT_A_VALUE = 32
MAX_DOCUMENTS = 10_000
MAX_WRONG = 50
SUFFIXES = frozenset({".yaml", ".yml", ".json"})


@dataclass
class Document:
    """One YAML document: its value, and where it is written."""

    value: Any
    root: yaml.Node
    wrong: list[Unreadable] = field(default_factory=list)
    """What makes the value not what was written: it must not be used then."""

    @property
    def line(self) -> int:
        """The line it begins on (from 1)."""
        return line_of(self.root)

    def line_of(self, path: str) -> int:
        """The line of a field path, or of the nearest thing around it that is written down."""
        node, line = self.root, self.line
        for step in re.findall(r"[^.\[\]]+", path):
            below = _child(node, step)
            if below is None:
                break
            name, node = below
            line = line_of(name)
        return line


def _child(node: yaml.Node, step: str) -> tuple[yaml.Node, yaml.Node] | None:
    """What names the field or item `step` of a node (its key, or itself), and its value; None where it has none."""
    if isinstance(node, yaml.MappingNode):
        return next(((name, value) for name, value in reversed(node.value) if name.value == step), None)
    if isinstance(node, yaml.SequenceNode) and step.isdecimal() and int(step) < len(node.value):
        return node.value[int(step)], node.value[int(step)]
    return None


def files_in(paths: list[Path]) -> Iterator[Path]:
    """The files that `paths` name, folders searched for YAML and JSON; in order, each once."""
    seen: set[Path] = set()
    for given in paths:
        found = (
            sorted(p for p in given.rglob("*") if p.suffix in SUFFIXES and p.is_file())
            if given.is_dir()
            else [given]
        )
        for path in found:
            if path not in seen:
                seen.add(path)
                yield path


def read(path: Path) -> str:
    """Text of a regular file, or of standard input for `-`. Unreadable where it is too large or no text."""
    try:
        if str(path) == "-":
            data = sys.stdin.buffer.read(MAX_FILE_BYTES + 1)
        else:
            with path.open("rb") as stream:
                if not stat.S_ISREG(os.fstat(stream.fileno()).st_mode):
                    raise Unreadable(1, "Unreadable", "is not a regular file")
                data = stream.read(MAX_FILE_BYTES + 1)
    except OSError as error:
        raise Unreadable(1, "Unreadable", error.strerror or "cannot be read") from error
    if len(data) > MAX_FILE_BYTES:
        raise Unreadable(1, "TooLarge", f"has more than {MAX_FILE_BYTES // 1024**2} MiB; split it")
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        line = data.count(b"\n", 0, error.start) + 1
        raise Unreadable(line, "Unreadable", "is not UTF-8 text") from error


def documents(text: str) -> Iterator[Document]:
    """The documents of a YAML (or JSON) text, empty ones left out. Unreadable at the first that is wrong."""
    loader = Loader(text)
    try:
        for number in count():
            if not loader.check_node():
                return
            root: Any = loader.get_node()
            if number == MAX_DOCUMENTS:
                raise Unreadable(root, "TooLarge", f"more than {MAX_DOCUMENTS} documents; split the file")
            builder = _Builder()
            value = builder.value(root)
            if value is not None:
                yield Document(value, root, builder.wrong)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Unreadable(line, "Syntax", f"YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise Unreadable(1, "Syntax", f"YAML: {str(error).splitlines()[0]}") from error


class _Builder:
    """The value of one document's nodes. An alias is written out: each use counts as the whole of it."""

    def __init__(self) -> None:
        self.wrong: list[Unreadable] = []
        self._count = 0
        self._open: set[yaml.Node] = set()

    def value(self, node: yaml.Node, depth: int = 0) -> Any:
        """What the node means in JSON. Unreadable where a bound is crossed; lesser mistakes go to `wrong`."""
        scalar_node = isinstance(node, yaml.ScalarNode)
        self._count += 1 + (len(node.value) // TEXT_A_VALUE if scalar_node else 0)
        if self._count > MAX_VALUES:
            raise Unreadable(node, "TooLarge", f"has more than {MAX_VALUES} values, aliases written out")
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node)
        if node in self._open:
            raise Unreadable(node, "Syntax", "an anchor contains an alias of itself")
        if depth > MAX_DEPTH:  # by a chain of aliases: the loader bounds only what is written nested
            raise Unreadable(node, "TooLarge", f"is nested deeper than {MAX_DEPTH} levels")
        self._open.add(node)
        found: Any
        if isinstance(node, yaml.MappingNode):
            found = self._mapping(node, depth + 1)
        else:
            found = [self.value(item, depth + 1) for item in node.value]
        self._open.discard(node)
        if node.tag not in (f"{TAG}map", f"{TAG}seq"):
            self._report(node, "WrongType", f"tag {node.tag[:80]!r} has no meaning here; remove it")
        return found

    def _scalar(self, node: yaml.ScalarNode) -> Any:
        try:
            return scalar(node)
        except Unreadable as wrong:
            self._report(node, wrong.code, wrong.message)
            return ""

    def _mapping(self, node: yaml.MappingNode, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        merged: list[Any] = []
        for name, item in node.value:
            key, value = self.value(name, depth), self.value(item, depth)
            if name.tag == f"{TAG}merge":
                merged += value if isinstance(value, list) else [value]
                continue
            if not isinstance(key, str):
                self._report(name, "WrongType", f"key {str(key)[:40]!r} is not text; write it in quotes")
            elif key in fields:
                self._report(name, "Duplicate", f"key {key[:80]!r} is given twice, so one would be lost")
            fields[str(key)] = value
        for part in merged:
            if isinstance(part, dict):
                fields = part | fields  # what the mapping has itself wins, then the earlier of several
            else:
                self._report(node, "Syntax", "<< takes a mapping or a list of mappings")
        return fields

    def _report(self, node: yaml.Node, code: str, message: str) -> None:
        if len(self.wrong) < MAX_WRONG:
            self.wrong.append(Unreadable(node, code, message))
