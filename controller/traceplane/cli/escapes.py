"""A terminal shows data and does not act on it: the characters that it would act on are written as escapes.

Those are all that Unicode does not call printable: control characters (ESC begins a sequence that moves the cursor,
sets the title, or answers as if it was typed), marks that turn the direction of text, what has no width, spaces
that look like others; and the characters of emoji that change the width of the one before, differently in each
terminal. The escapes are JSON's, so that a JSON reader gives the text back.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable

_SHIFTING = re.compile("[\ufe00-\ufe0f\U0001f1e6-\U0001f1ff\U0001f3fb-\U0001f3ff\U000e0100-\U000e01ef]")
"""Variation selectors, letters of flags, and skin tones."""


def is_shown(text: str) -> bool:
    """Whether every character of `text` is one that a terminal just shows."""
    return text.isprintable() and not _SHIFTING.search(text)


def json_of(text: str) -> str:
    """JSON, as `json.dumps` writes it, with further escapes within its strings. Its own line breaks stay."""
    return _escaped(text, lambda character: json.dumps(character)[1:-1])


def message_of(text: str) -> str:
    """A text for people, with its line breaks."""
    return _escaped(text, lambda character: character.encode("unicode_escape").decode())


def error_of(message: str, code: str) -> str:
    """An error for people: its first line with the code, and below it what else there is."""
    first, *rest = message_of(message).split("\n")
    return "\n".join([f"error: {first} ({code})", *rest, ""])


def yaml_of(text: str) -> str:
    """A text as a double-quoted scalar of YAML, which is JSON but for characters beyond U+FFFF."""
    quoted = json.dumps(text, ensure_ascii=False)
    return _escaped(quoted, lambda character: f"\\U{ord(character):08x}")


def _escaped(text: str, escape: Callable[[str], str]) -> str:
    if is_shown(text.replace("\n", "")):
        return text
    return "".join(
        character if character == "\n" or is_shown(character) else escape(character) for character in text
    )
