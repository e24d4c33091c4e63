"""Where the prompt's statements end, beside DuckDB's own parser; what is complete, and how a place is marked."""

from __future__ import annotations

import duckdb
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from traceplane.cli.prompt import script, statements, terminal

WHOLE = [
    *(
        "SELECT 1",
        "SELECT ';'",
        "SELECT 'it''s;'",
        'SELECT 1 AS "a;""b"',
        "SELECT E'\\';'",
        "SELECT e'\\\\'",
        "FROM t",
    ),
    *(
        "SELECT $$;$$",
        "SELECT $a$;$$;$a$",
        "SELECT 1 -- ;'",
        "SELECT /* ; /* ' */ ; */ 1",
        "SELECT a$b$",
        "SELECT 'E'",
    ),
    *(
        "SELECT 1 LIKE'\\'",
        "SELECT\n1\n",
        "VALUES ('--'), ('/*')",
        "SELECT '漢;', \"字;\" FROM t",
        "SELECT 1 - - 1",
    ),
]
NOTHING = ["", " ", "-- ;\n", "/* ; */", "\n"]
OPEN = [
    "SELECT '",
    "SELECT 'it''",
    'SELECT "',
    "SELECT $$ ;",
    "SELECT $a$ $$",
    "SELECT /* ; /* */",
    "SELECT E'\\'",
    "SELECT",
]


@given(st.lists(st.sampled_from([*WHOLE, *NOTHING]), min_size=1, max_size=6))
@example([*WHOLE, *NOTHING])
def test_statements_end_where_duckdb_ends_them(parts: list[str]) -> None:
    text = "\n;".join(parts) + "\n;"
    ended, rest = statements.split(text)
    assert rest is None
    assert [each.text.strip() for each in ended] == [part.strip() for part in parts if part not in NOTHING]
    # DuckDB counts the same, and gives each without its neighbours.
    assert len(ended) == len(duckdb.extract_statements(text))
    for each in ended:
        assert len(duckdb.extract_statements(each.text)) == 1
        assert text.split("\n")[each.line - 1].lstrip(";").strip().startswith(each.text.split("\n")[0].strip())


@given(st.lists(st.sampled_from(WHOLE), max_size=3), st.sampled_from(OPEN))
def test_what_is_open_is_left(parts: list[str], last: str) -> None:
    ended, rest = statements.split("".join(f"{part}\n;" for part in parts) + last)
    assert len(ended) == len(parts)
    assert rest is not None
    assert rest.text == last.strip()


def by_tokens(text: str) -> list[str] | None:
    """The statements that DuckDB's lexer ends in `text`; None where it cannot read it to its end."""
    tokens = [start for start, _ in duckdb.tokenize(text)]
    if tokens[-1:] != [len(text) - 1]:
        return None
    found, begin = [], 0
    for start in tokens:
        if text[start] == ";":
            if any(begin <= each < start for each in tokens):
                found.append(text[begin:start].strip())
            begin = start + 1
    return found


@settings(max_examples=400)
@given(st.text("abE1$'\"-/*;\\\n ", max_size=30))
@example("a$b;$b;")
@example("e'\\';';")
@example("/* -- */;'--';")
def test_what_is_typed_in_any_order_ends_where_duckdb_s_lexer_ends_it(text: str) -> None:
    text += "\n;"
    ended, rest = statements.split(text)
    place = 0
    for each in [*ended, *([rest] if rest else [])]:
        place = text.index(each.text, place)
        assert text.count("\n", 0, place) + 1 == each.line
        place += len(each.text)
    expected = by_tokens(text)
    if expected is not None:
        assert rest is None
        assert [each.text for each in ended] == expected


@pytest.mark.parametrize(
    ("text", "complete"),
    [
        *(("", True), ("SELECT 1", False), ("SELECT 1;", True), ("SELECT 1;\nSELECT", False), ("SELECT ';", False)),
        *(("\\d", True), ("exit", True), ("quit;", True), ("-- note", True), ("SELECT 1; -- done", True)),
    ],
)
def test_enter_ends_what_is_complete(text: str, complete: bool) -> None:
    assert terminal.is_complete(text) is complete


def test_a_command_is_a_line_between_statements_and_none_within_one() -> None:
    text = "SELECT 1;\n\\d blocks\nSELECT '\n\\x\n';\n\n  \\q\n-- end\nSELECT\n2"
    assert script.pieces(text) == [
        statements.Statement("SELECT 1", 1),
        statements.Statement("\\d blocks", 2),
        statements.Statement("SELECT '\n\\x\n'", 3),
        statements.Statement("\\q", 7),
        statements.Statement("-- end\nSELECT\n2", 8),
    ]


@pytest.mark.parametrize(
    ("statement", "position", "marked"),
    [
        ("SELECT x", 7, "LINE 1: SELECT x\n               ^"),
        ("SELECT\n  漢, x", 12, "LINE 2:   漢, x\n              ^"),
        ("SELECT \x1b x", 9, "LINE 1: SELECT \\x1b x\n                    ^"),
        ("SELECT", 6, "LINE 1: SELECT\n              ^"),
        (f"SELECT {'1 + ' * 100}x", 407, f"LINE 1: ...{'+ 1 ' * 12}+ x\n{' ' * 61}^"),
    ],
)
def test_a_place_is_marked_below_its_line(statement: str, position: int, marked: str) -> None:
    assert statements.marked(statement, position) == marked
