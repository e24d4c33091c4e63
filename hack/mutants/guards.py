"""Finding guards in source text: conjuncts of SQL conditions, and Python conditions that refuse.   (pure)"""

from __future__ import annotations

import ast
import re
from collections.abc import Iterator
from dataclasses import dataclass
from itertools import pairwise

SECOND = "second guard"
"""The comment by which a line says that another guard holds too."""


@dataclass(frozen=True, slots=True, order=True)
class Guard:
    """One condition in a file. `start` and `end` are offsets of characters; `replacement` takes its place."""

    start: int
    end: int
    line: int
    text: str
    replacement: str

    def removed(self, source: str) -> str:
        """`source` without this guard."""
        return source[: self.start] + self.replacement + source[self.end :]


def sql_guards(source: str) -> list[Guard]:
    """The conjuncts of every condition in the SQL of a Python module, and values that may only rise.

    Of a statement that only reads, those that decide what the caller may see: its joins and filters say what the
    answer is, and the tests of the answer hold them.
    """
    found = []
    for start, end in _strings(source):
        read = _only_reads(source[start:end])
        for first, last in _conjuncts(source, start, end):
            text = source[first:last].strip()
            if not _is_second(source, first) and not (read and not _ACCESS.search(text)):
                found.append(Guard(first, last, source.count("\n", 0, first) + 1, _short(text), " true "))
        for match in re.finditer(r"greatest\([^(),]+, ([^(),]+)\)", "" if read else source[start:end]):
            # What may only rise: the new value alone takes its place.
            line = source.count("\n", 0, start + match.start()) + 1
            found.append(Guard(start + match.start(), start + match.end(), line, match[0], match[1]))
    return sorted(set(found))


_ACCESS = re.compile(r"\b(org_id|user_id|\w*roles?|lease_token|claim_id|attempt|deleted_at|paused)\b")
"""Columns by which a read is refused, rather than answered otherwise."""


def _only_reads(text: str) -> bool:
    """Whether this is a whole statement that writes and locks nothing. A fragment may be part of one that does."""
    return bool(re.match(r"\s*(SELECT|WITH)\b", text)) and not re.search(r"\b(UPDATE|INSERT|DELETE|SHARE)\b", text)


def python_guards(source: str) -> list[Guard]:
    """Conditions that refuse: an `if` that ends in a raise, or that returns before one; a check that returns what
    is wrong, or None; a call of a `require`-like check; and a value that may only rise."""
    lines = source.splitlines(keepends=True)
    starts = [0]
    for line in lines:
        starts.append(starts[-1] + len(line))

    def offset(line: int, column: int) -> int:
        return starts[line - 1] + len(lines[line - 1].encode()[:column].decode())

    found = []
    for condition, replacement in _conditions(ast.parse(source)):
        if condition.end_lineno is None or condition.end_col_offset is None:
            continue
        first = offset(condition.lineno, condition.col_offset)
        last = offset(condition.end_lineno, condition.end_col_offset)
        if not _is_second(source, first):
            found.append(Guard(first, last, condition.lineno, _short(source[first:last]), replacement))
    return sorted(found)


def _conditions(tree: ast.AST) -> Iterator[tuple[ast.expr, str]]:
    """Each condition that guards, and what takes its place so that nothing is refused."""
    for node in ast.walk(tree):
        match node:
            case ast.If(orelse=[], body=[*_, ast.Raise()]):
                yield node.test, "False"
            case ast.If(orelse=[], body=[*_, ast.Return(value=value)]) if _is_complaint(value):
                yield node.test, "False"
            case ast.Return(value=ast.IfExp(test, ast.Constant(value=None), value)) if _is_complaint(value):
                yield test, "True"
            case ast.Expr(value=ast.Call() as call) if _checks(call):
                yield call, "None"
            case ast.Assign(targets=[target], value=ast.Call(func=ast.Name(id="max"), args=[held, new])) if (
                ast.unparse(target) == ast.unparse(held)
            ):
                # What may only rise: the new value alone takes its place.
                yield node.value, ast.unparse(new)
        block = getattr(node, "body", None)
        for statements in pairwise(block if isinstance(block, list) else []):
            match statements:
                case ast.If(test, orelse=[], body=[*_, ast.Return()]), ast.Raise():
                    yield test, "True"


def _is_complaint(value: ast.expr | None) -> bool:
    """Whether this is a text that says what is wrong, as the pure checks return it."""
    return isinstance(value, ast.JoinedStr) or (
        isinstance(value, ast.Constant) and isinstance(value.value, str) and " " in value.value
    )


def _checks(call: ast.Call) -> bool:
    name = call.func.attr if isinstance(call.func, ast.Attribute) else getattr(call.func, "id", "")
    return name in {"require", "check"} or name.startswith(("check_", "_check", "refuse_", "_refuse"))


def _strings(source: str) -> Iterator[tuple[int, int]]:
    """The strings of a module that look like SQL, as offsets of their text."""
    for match in re.finditer(r'"""(.*?)"""|"([^"\n]*)"', source, re.DOTALL):
        if match.start() == 0:
            continue  # the module's story, which may speak of a WHERE
        group = 1 if match[1] is not None else 2
        if re.search(r"\b(SELECT|UPDATE|INSERT|DELETE|WHERE)\b", match[group]) or _FRAGMENT.match(match[group]):
            yield match.start(group), match.end(group)


_WORDS = re.compile(
    r"--[^\n]*|'[^']*'|(?<=\S)\s+\{+\w+\}+"  # comments, literals, and fragments put in behind a condition
    r"|\b(?:WHERE|AND|OR|ORDER|LIMIT|RETURNING|FOR|GROUP|ON CONFLICT|UNION|BETWEEN|THEN|WHEN|ELSE|END|FROM|JOIN"
    r"|LEFT|CROSS|SET|SELECT|AS)\b|[()]|\n[ ]*\n|,"
)
_FRAGMENT = re.compile(r"\(?[tx]\.|\w+ = %\(\w+\)s AND ")
"""A text that begins with a condition, to be put behind a WHERE."""

_ENDS = {"AND", "OR", "ORDER", "LIMIT", "RETURNING", "FOR", "GROUP", "ON CONFLICT", "UNION", "THEN", "WHEN", "ELSE",
         "END", "JOIN", "LEFT", "CROSS", "SET", "AS", "WHERE"}  # fmt: skip


def _conjuncts(source: str, start: int, end: int) -> Iterator[tuple[int, int]]:
    """Offsets of each condition behind WHERE or AND, up to where it ends at its own depth of parentheses."""
    matches = _WORDS.finditer(source, start, end)
    words = _without_between([(match[0], match.start(), match.end()) for match in matches])
    if _FRAGMENT.match(source[start:end]):
        words.insert(0, ("WHERE", start, start))
    for index, (word, _, after) in enumerate(words):
        if word not in ("WHERE", "AND"):
            continue
        depth, stop = 0, end
        for other, begins, _ in words[index + 1 :]:
            if other == "(":
                depth += 1
            elif other == ")":
                depth -= 1
                if depth < 0:
                    stop = begins
                    break
            elif depth == 0 and (other in _ENDS or other == "," or other.startswith(("--", "\n", " {"))):
                stop = begins
                break
        if source[after:stop].strip() not in ("", "true"):
            yield after, stop


def _without_between(words: list[tuple[str, int, int]]) -> list[tuple[str, int, int]]:
    """`words` without each BETWEEN and its AND."""
    kept, between = [], False
    for word in words:
        if word[0] == "BETWEEN":
            between = True
        elif between and word[0] == "AND":
            between = False
        else:
            kept.append(word)
    return kept


def _is_second(source: str, offset: int) -> bool:
    begin = source.rfind("\n", 0, source.rfind("\n", 0, offset))
    return SECOND in source[max(begin, 0) : source.find("\n", offset)]


def _short(text: str) -> str:
    return " ".join(text.split())
