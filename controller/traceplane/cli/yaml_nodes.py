"""YAML text as nodes whose scalars mean what kubectl sends, nested no deeper than a bound.

PyYAML follows YAML 1.1; kubectl's parser (go-yaml) differs in corners, and `tracectl lint` must not accept what
the API server will see otherwise: `y` and `n` are booleans, `1e3` and `08` are numbers, dates and `1:30` are text.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml
from yaml.composer import Composer
from yaml.cyaml import CParser  # type: ignore[attr-defined]  # re-exported by PyYAML, not by its stubs
from yaml.resolver import BaseResolver

TAG = "tag:yaml.org,2002:"
MAX_DEPTH = 64

_NUMBER_LENGTH = 64
_INT64 = range(-(2**63), 2**63)
_BOOLS = {"y": True, "yes": True, "true": True, "on": True, "n": False, "no": False, "false": False, "off": False}


class Unreadable(Exception):
    """A file, or a part of one, that cannot be taken as a manifest. `at`: its line (from 1), or node, or event."""

    def __init__(self, at: Any, code: str, message: str) -> None:
        super().__init__(message)
        self.line = at if isinstance(at, int) else line_of(at)
        self.code, self.message = code, message


class Loader(Composer, CParser, BaseResolver):
    """PyYAML's parser in C with its composer in Python.

    The composer in C recurses without a bound, and dies of a segmentation fault where values are nested deeply.
    """

    def __init__(self, text: str) -> None:
        CParser.__init__(self, text)
        Composer.__init__(self)
        BaseResolver.__init__(self)
        self._depth = 0

    def compose_node(self, parent: Any, index: Any) -> Any:
        """The next node with all below it. Raises Unreadable."""
        event: Any = self.peek_event()
        if self._depth > MAX_DEPTH:
            raise Unreadable(event, "TooLarge", f"is nested deeper than {MAX_DEPTH} levels")
        if not isinstance(event, yaml.AliasEvent):
            self.anchors.pop(event.anchor, None)  # YAML allows an anchor again, which PyYAML refuses
        self._depth += 1
        try:
            return super().compose_node(parent, index)
        finally:
            self._depth -= 1


for _name, _pattern in {
    "null": r"~|null|Null|NULL|",
    "bool": r"[yYnN]|yes|Yes|YES|no|No|NO|true|True|TRUE|false|False|FALSE|on|On|ON|off|Off|OFF",
    "int": r"[-+]?(0b[01_]+|0o?[0-7_]+|0x[0-9a-fA-F_]+|0|[1-9][0-9_]*)",
    "float": r"[-+]?(\.[0-9][0-9_]*|[0-9][0-9_]*(\.[0-9_]*)?)([eE][-+]?[0-9]+)?"
    r"|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
    "merge": r"<<",
}.items():
    Loader.add_implicit_resolver(TAG + _name, re.compile(f"(?:{_pattern})$"), None)


def line_of(part: Any) -> int:
    """The line (from 1) on which a node or an event begins."""
    return int(part.start_mark.line) + 1


def scalar(node: yaml.ScalarNode) -> Any:
    """A scalar as JSON has it. Raises Unreadable where JSON has no such value."""
    kind, text = node.tag.removeprefix(TAG), str(node.value)
    if kind == "null":
        return None
    if kind == "bool" and text.lower() in _BOOLS:
        return _BOOLS[text.lower()]
    if kind in ("int", "float"):
        return _number(node, kind, text)
    if kind in ("str", "timestamp", "merge"):
        return text
    raise Unreadable(node, "WrongType", f"tag {node.tag[:80]!r} has no meaning here; remove it")


def _number(node: yaml.ScalarNode, kind: str, text: str) -> int | float:
    if len(text) > _NUMBER_LENGTH:
        raise Unreadable(node, "OutOfBounds", f"a number of {len(text)} characters; write it in quotes")
    digits = text.replace("_", "").lower()
    try:
        if kind == "float":
            number = float(re.sub(r"\.(?=inf|nan)", "", digits))  # Python's `inf` and `nan` have no dot
        else:
            # A leading zero means octal, as in C and YAML 1.1; `int` with base 0 refuses it.
            number = int(digits, 8 if re.fullmatch(r"[-+]?0[0-9]+", digits) else 0)
    except ValueError as error:
        raise Unreadable(node, "Syntax", f"{text!r} is no number; write it in quotes if it is text") from error
    if not math.isfinite(number):
        raise Unreadable(node, "WrongType", f"{text} is no finite number, and JSON has no other")
    if isinstance(number, int) and number not in _INT64:
        raise Unreadable(node, "OutOfBounds", f"{text} does not fit 64 bits; write it in quotes")
    # As JSON writes it: 1e3 is 1000.
    return int(number) if number == int(number) and int(number) in _INT64 else number
