"""Read YAML manifests from files that may be hostile or merely wrong.

kubectl turns YAML into JSON before anybody looks at it, and forgives on the way: of two equal keys the last wins,
`.nan` and numbers of a thousand digits become something else. Here they are refused, with the line. Documents
are built from parser events rather than by a YAML constructor, so that nesting, aliases ("billion laughs") and
sizes are bounded while reading, and every value's line is known.
"""

from __future__ import annotations

import os
import stat
import sys
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import yaml

from traceplane.cli.yaml_scalars import TAG, NotJson, scalar

MAX_FILE_BYTES = 8 * 1024 * 1024
MAX_VALUES = 500_000
"""Values of one document, with aliases written out; long text counts as one for each 32 characters."""
TEXT_A_VALUE = 32
MAX_DEPTH = 64
MAX_DOCUMENTS = 10_000
MAX_WRONG = 50
_LOADER: Any = getattr(yaml, "CSafeLoader", yaml.SafeLoader)
SUFFIXES = frozenset({".yaml", ".yml", ".json"})


class Unreadable(Exception):
    """A file, or the rest of one, that cannot be taken as manifests."""

    def __init__(self, line: int, code: str, message: str, field: str = "") -> None:
        super().__init__(message)
        self.line, self.code, self.message, self.field = line, code, message, field


@dataclass
class Document:
    """One YAML document: its value, and the line of each field path in it (from 1)."""

    value: Any
    lines: dict[str, int] = field(default_factory=dict)
    line: int = 1
    wrong: list[Unreadable] = field(default_factory=list)
    """What makes the value not what was written: it must not be used then."""

    def line_of(self, path: str) -> int:
        """The line of `path`, or of the nearest thing around it that is written down."""
        while path:
            if path in self.lines:
                return self.lines[path]
            cut = max(path.rfind("."), path.rfind("["))
            path = path[:cut] if cut > 0 else ""
        return self.line


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
    builder = _Builder(yaml.parse(text, Loader=_LOADER))
    try:
        yield from builder.documents()
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        line = mark.line + 1 if mark else 1
        raise Unreadable(line, "Syntax", f"YAML: {error.problem or error.context}") from error
    except yaml.YAMLError as error:  # a character that YAML does not allow
        raise Unreadable(1, "Syntax", f"YAML: {str(error).splitlines()[0]}") from error


class _Builder:
    """Values from parser events, one document at a time."""

    def __init__(self, events: Iterator[Any]) -> None:
        self._events = events
        self._document = Document(None)
        self._anchors: dict[str, tuple[Any, int]] = {}
        self._count = 0

    def documents(self) -> Iterator[Document]:
        """Every document that is not empty."""
        number = 0
        for event in self._events:
            if not isinstance(event, yaml.DocumentStartEvent):
                continue
            number += 1
            first: Any = next(self._events)
            line = first.start_mark.line + 1
            if number > MAX_DOCUMENTS:
                raise Unreadable(line, "TooLarge", f"more than {MAX_DOCUMENTS} documents; split the file")
            self._anchors, self._count = {}, 0
            self._document = Document(None, line=line)
            self._document.value = self._value(first, "", 0)
            if self._document.value is not None:
                yield self._document

    def _value(self, event: Any, path: str, depth: int) -> Any:
        line = event.start_mark.line + 1
        if path:
            self._document.lines.setdefault(path, line)
        if depth > MAX_DEPTH:
            raise Unreadable(line, "TooLarge", f"is nested deeper than {MAX_DEPTH} levels", path[:80])
        before = self._count
        if isinstance(event, yaml.AliasEvent):
            return self._alias(event.anchor, line, path)
        if isinstance(event, yaml.ScalarEvent):
            self._spend(1 + len(event.value) // TEXT_A_VALUE, line, path)
            value = self._scalar(event, line, path)
        else:
            self._spend(1, line, path)
            if event.tag not in (None, "!", f"{TAG}map", f"{TAG}seq"):
                self._complain(line, "WrongType", f"tag {event.tag[:80]!r} has no meaning here; remove it", path)
            sequence = isinstance(event, yaml.SequenceStartEvent)
            value = self._sequence(path, depth) if sequence else self._mapping(path, depth)
        if event.anchor:
            self._anchors[event.anchor] = (value, self._count - before)
        return value

    def _alias(self, anchor: Any, line: int, path: str) -> Any:
        """The anchored value, counted as if it were written out. An anchor is known once its value is whole."""
        if anchor not in self._anchors:
            raise Unreadable(line, "Syntax", f"no anchor &{anchor[:40]} before this alias", path)
        value, size = self._anchors[anchor]
        self._spend(size, line, path)
        return value

    def _sequence(self, path: str, depth: int) -> list[Any]:
        items: list[Any] = []
        for event in self._events:
            if isinstance(event, yaml.SequenceEndEvent):
                break
            items.append(self._value(event, f"{path}[{len(items)}]", depth + 1))
        return items

    def _mapping(self, path: str, depth: int) -> dict[str, Any]:
        fields: dict[str, Any] = {}
        merged: list[tuple[Any, int]] = []
        for event in self._events:
            if isinstance(event, yaml.MappingEndEvent):
                break
            line = event.start_mark.line + 1
            key = self._value(event, "", depth + 1)
            if isinstance(event, yaml.ScalarEvent) and event.value == "<<" and event.implicit[0]:
                merged.append((self._value(next(self._events), "", depth + 1), line))
                continue
            below = f"{path}.{key}" if path else str(key)
            if not isinstance(key, str):
                self._complain(line, "WrongType", f"key {_key(event)!r} is not text; write it in quotes", path)
            elif key in fields:
                self._complain(line, "Duplicate", f"key {key[:80]!r} is given twice, so one would be lost", path)
            self._document.lines[below] = line
            fields[str(key)] = self._value(next(self._events), below, depth + 1)
        for value, line in merged:
            self._merge(fields, value, line, path)
        return fields

    def _merge(self, fields: dict[str, Any], value: Any, line: int, path: str) -> None:
        """YAML's merge key: what `fields` has itself wins, then the earlier of several mappings."""
        for part in value if isinstance(value, list) else [value]:
            if not isinstance(part, dict):
                self._complain(line, "Syntax", "<< takes a mapping or a list of mappings", path)
                return
            for key, item in part.items():
                fields.setdefault(key, item)

    def _scalar(self, event: Any, line: int, path: str) -> Any:
        try:
            return scalar(event.tag, event.value, event.implicit)
        except NotJson as wrong:
            self._complain(line, wrong.code, wrong.message, path)
            return ""

    def _spend(self, values: int, line: int, path: str) -> None:
        self._count += values
        if self._count > MAX_VALUES:
            raise Unreadable(line, "TooLarge", f"has more than {MAX_VALUES} values, aliases written out", path)

    def _complain(self, line: int, code: str, message: str, path: str) -> None:
        if len(self._document.wrong) < MAX_WRONG:
            self._document.wrong.append(Unreadable(line, code, message, path))


def _key(event: Any) -> str:
    return event.value[:40] if isinstance(event, yaml.ScalarEvent) else "of several parts"
