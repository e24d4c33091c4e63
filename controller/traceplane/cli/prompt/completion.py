"""What Tab offers: relations after FROM and JOIN, columns of the relations that the statement names, keywords."""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator

from prompt_toolkit.completion import CompleteEvent, Completer, Completion
from prompt_toolkit.document import Document

from traceplane.cli.prompt.catalog import Catalog, Relation
from traceplane.cli.prompt.commands import COMMANDS

MOST = 500

_KEYWORDS = (
    *("ALL", "AND", "AS", "ASC", "BETWEEN", "BY", "CASE", "CAST", "COUNT", "CROSS", "DESC", "DESCRIBE", "DISTINCT"),
    *("ELSE", "END", "EXCEPT", "EXISTS", "FALSE", "FILTER", "FIRST", "FROM", "FULL", "GROUP", "HAVING", "IN"),
    *("INNER", "INTERSECT", "IS", "JOIN", "LAST", "LEFT", "LIKE", "LIMIT", "NOT", "NULL", "NULLS", "OFFSET", "ON"),
    *("OR", "ORDER", "OVER", "PARTITION", "QUALIFY", "RIGHT", "SAMPLE", "SELECT", "SUMMARIZE", "THEN", "TRUE"),
    *("UNION", "USING", "VALUES", "WHEN", "WHERE", "WINDOW", "WITH"),
)
_WORD = re.compile(r"[\w.\"-]*\Z")
_AFTER_FROM = re.compile(r"\b(?:from|join|describe|summarize)\s+(?:[\w.\"]+(?:\s+(?:as\s+)?\w+)?\s*,\s*)*\Z", re.I)
_NAMED = re.compile(r"([\w.\"]+)(?=(?:\s+(?:as\s+)?([^\W\d]\w*))?)", re.I)
_PLAIN = re.compile(r"[a-z_][a-z0-9_]*")


class SqlCompleter(Completer):
    """Completes from a catalog that may be replaced."""

    def __init__(self, catalog: Callable[[], Catalog]) -> None:
        self._catalog = catalog

    def get_completions(self, document: Document, complete_event: CompleteEvent) -> Iterator[Completion]:
        """At the cursor; MOST at most."""
        before = document.text_before_cursor
        match = _WORD.search(before)
        word = match[0] if match else ""
        for number, (text, kind) in enumerate(candidates(before, document.text, self._catalog())):
            if number == MOST:
                return
            yield Completion(text, start_position=-len(word), display_meta=kind)


def candidates(before: str, text: str, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """What may stand at the end of `before` in the statement `text`, each with what it is."""
    word = (_WORD.search(before) or [""])[0]
    left = before[: len(before) - len(word)]
    if before.startswith("\\"):
        commands = ((name[1:], meaning) for name, meaning in COMMANDS)
        yield from _beginning(word, commands if left == "\\" else _relations(catalog))
    elif _AFTER_FROM.search(left):
        yield from _beginning(word, _relations(catalog))
    else:
        yield from _beginning(word, _columns(text, word, catalog))
        if word and "." not in word:
            yield from _beginning(word, ((keyword, "") for keyword in _KEYWORDS))


def _beginning(word: str, offered: Iterator[tuple[str, str]]) -> Iterator[tuple[str, str]]:
    return ((text, kind) for text, kind in offered if text.lower().startswith(word.lower()))


def _relations(catalog: Catalog) -> Iterator[tuple[str, str]]:
    for relation in catalog.relations:
        yield catalog.title(relation), relation.storage


def _columns(text: str, word: str, catalog: Catalog) -> Iterator[tuple[str, str]]:
    """Columns of the relations that a statement names; of one of them where the word has its name or alias."""
    qualifier = word.rpartition(".")[0]
    seen: set[str] = set()
    for alias, relation in _named(text, catalog):
        if qualifier and qualifier.lower() not in (alias, relation.name):
            continue
        for name, kind, _ in relation.columns:
            written = name if _PLAIN.fullmatch(name) else '"' + name.replace('"', '""') + '"'
            full = f"{qualifier}.{written}" if qualifier else written
            if full not in seen:
                seen.add(full)
                yield full, kind


def _named(text: str, catalog: Catalog) -> Iterator[tuple[str, Relation]]:
    """Relations that a statement names, each with the word after it, which may be its alias."""
    for match in _NAMED.finditer(text):
        for relation in catalog.find(match[1]):
            yield (match[2] or "").lower(), relation
