"""YAML scalars as JSON has them, the way kubectl reads them.

PyYAML and kubectl's parser differ in corners, and `tracectl lint` must not call right what the API server will
see otherwise: `y` and `n` are truths, `1e3` and `08` are numbers, dates and `1:30` are text. What JSON cannot hold
(`.nan`, numbers beyond 64 bits, half a surrogate pair, tags of other languages) is refused.
"""

from __future__ import annotations

import math
import re
from typing import Any

import yaml

TAG = "tag:yaml.org,2002:"
_NUMBER_LENGTH = 64
_FLOAT = re.compile(r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]{1,8})?")
_OCTAL = re.compile(r"0o[0-7]+")
_INT64 = range(-(2**63), 2**63)
_RESOLVER = yaml.resolver.Resolver()
_CONSTRUCTOR = yaml.constructor.SafeConstructor()


class NotJson(Exception):
    """A scalar that JSON has no value for: a stable code, and what to do about it."""

    def __init__(self, code: str, message: str) -> None:
        super().__init__(message)
        self.code, self.message = code, message


def scalar(tag: str | None, text: str, implicit: tuple[bool, bool]) -> Any:
    """A scalar as JSON has it. Dates stay text, as they do on the way to the API server."""
    if tag is None and implicit[0] and text in ("y", "Y", "n", "N"):
        return text in ("y", "Y")  # as YAML 1.1 and kubectl have it, though PyYAML does not
    meant: str = tag or _RESOLVER.resolve(yaml.ScalarNode, text, implicit)  # type: ignore[no-untyped-call]
    name = meant.removeprefix(TAG)
    if tag is None and implicit[0] and name == "str":
        name = "float" if _FLOAT.fullmatch(text) else "int" if _OCTAL.fullmatch(text) else name
    if name == "null":
        return None
    if name == "bool":
        return bool(_CONSTRUCTOR.construct_yaml_bool(yaml.ScalarNode(meant, text)))
    if name in ("int", "float") and ":" not in text:
        return _number(name, text)
    if name not in ("!", "str", "int", "float", "timestamp", "merge", "value"):
        raise NotJson("WrongType", f"tag {meant[:80]!r} has no meaning here; remove it")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise NotJson("WrongType", "has half of a surrogate pair, which is no character") from error
    return text


def _number(name: str, text: str) -> int | float:
    if len(text) > _NUMBER_LENGTH:
        raise NotJson("OutOfBounds", f"a number of {len(text)} characters; write it in quotes")
    node = yaml.ScalarNode(f"{TAG}{name}", text.replace("0o", "0", 1) if name == "int" else text)
    construct = _CONSTRUCTOR.construct_yaml_int if name == "int" else _CONSTRUCTOR.construct_yaml_float
    try:
        number: int | float = construct(node)
    except ValueError as error:
        raise NotJson("Syntax", f"{text!r} is no number; write it in quotes if it is text") from error
    if isinstance(number, float) and not math.isfinite(number):
        raise NotJson("WrongType", f"{text} is no finite number, and JSON has no other")
    if isinstance(number, float) and number.is_integer() and int(number) in _INT64:
        return int(number)  # as JSON writes it: 1e3 is 1000
    if isinstance(number, int) and number not in _INT64:
        raise NotJson("OutOfBounds", f"{text} does not fit 64 bits; write it in quotes")
    return number
