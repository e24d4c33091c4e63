"""What `-o` prints is what its readers read: random values, and texts that look like something else."""

from __future__ import annotations

import io
import json
import re
import unicodedata
from collections.abc import Callable, Iterator
from contextlib import redirect_stdout
from pathlib import Path
from typing import Any

import duckdb
import pyte
import pytest
import wcwidth
import yaml
from hypothesis import example, given, settings
from hypothesis import strategies as st

from traceplane.cli import escapes, printing, tables
from traceplane.cli.printing import Output

LOOKALIKES = [
    *("", " ", "NULL", "null", "~", "None", "true", "True", "yes", "no", "y", "n", "on", "off", "nan", ".inf", "-"),
    *(
        "1e5",
        "0x",
        "0x1F",
        "0o17",
        "007",
        "08",
        "1_000",
        "+1",
        ".5",
        "5.",
        "1:30",
        "2020-01-01",
        "2020-01-01T00:00Z",
    ),
    *(
        "=",
        "<<",
        "!tag",
        "&a",
        "*a",
        "- a",
        "a: b",
        "a #b",
        "#",
        "?",
        "@",
        "`",
        "%",
        "{}",
        "[]",
        "|",
        ">",
        "'",
        '"',
    ),
    *("two\nlines", "a\r\nb", "tab\t", "\\", "\\.", "\\N", "\\n", " x ", "x ", "a,b", 'say "no"', '"quoted"', "…"),
    *("\x1b[2J\x1b]0;title\x07", "\x9b31m", "\x00", "\x7f", "\x85", "\u2028", "\ufeff", "\u202eabc", "\u200b"),
    *(
        "漢字",
        "ｆｕｌｌ",
        "e\u0301",
        "\u0301",
        "한\u1161",
        "\u1161",
        "🇩🇪",
        "👍🏽",
        "❤\ufe0f",
        "👨\u200d👩",
        "ก็",
        "x" * 300,
    ),
]
TEXT = st.sampled_from(LOOKALIKES) | st.text(st.characters(exclude_categories=["Cs"]), max_size=12)
NUMBER = st.integers(-(10**38), 10**38) | st.floats(allow_nan=False, allow_infinity=False)
LEAF = st.none() | st.booleans() | NUMBER | TEXT
VALUE = st.recursive(
    LEAF, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(TEXT, inner, max_size=3), max_leaves=8
)


class Out(io.TextIOWrapper):
    """Standard output, as a terminal or as a file."""

    def __init__(self, terminal: bool) -> None:
        super().__init__(io.BytesIO(), encoding="utf-8", newline="")
        self.terminal = terminal

    def isatty(self) -> bool:
        return self.terminal


def printed(action: Callable[[], None], *, terminal: bool = False) -> str:
    with redirect_stdout(Out(terminal)) as out:
        action()
        out.flush()
        return out.buffer.getvalue().decode()  # type: ignore[attr-defined]


class Yaml12(yaml.SafeLoader):
    """The core schema of YAML 1.2 (https://yaml.org/spec/1.2.2/#1032-tag-resolution)."""

    yaml_implicit_resolvers: dict[str | None, Any] = {}  # noqa: RUF012


for _tag, _pattern in {
    "null": r"null|Null|NULL|~|",
    "bool": r"true|True|TRUE|false|False|FALSE",
    "int": r"[-+]?[0-9]+|0o[0-7]+|0x[0-9a-fA-F]+",
    "float": r"[-+]?(\.[0-9]+|[0-9]+(\.[0-9]*)?)([eE][-+]?[0-9]+)?|[-+]?\.(inf|Inf|INF)|\.(nan|NaN|NAN)",
}.items():
    Yaml12.add_implicit_resolver(f"tag:yaml.org,2002:{_tag}", re.compile(rf"(?:{_pattern})\Z"), None)


@pytest.mark.parametrize("loader", [yaml.SafeLoader, Yaml12])
@given(value=VALUE)
@example(value=LOOKALIKES)
@example(value=dict.fromkeys(LOOKALIKES, 1.5))
def test_yaml_is_read_back_by_readers_of_both_versions(loader: Any, value: Any) -> None:
    text = printed(lambda: printing.structured(value, Output.YAML))
    assert yaml.load(text, loader) == value
    assert escapes.is_shown(text.replace("\n", ""))


@given(value=VALUE)
@example(value=LOOKALIKES)
def test_json_is_read_back_and_cannot_control_a_terminal(value: Any) -> None:
    text = printed(lambda: printing.structured(value, Output.JSON))
    assert json.loads(text) == value
    assert escapes.is_shown(text.replace("\n", ""))


def without_nul(text: str | None) -> bool:
    return text is None or "\0" not in text  # DuckDB's reader ends a field there


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("csv")


@settings(deadline=None)
@given(rows=st.lists(st.tuples((st.none() | TEXT).filter(without_nul), VALUE), min_size=1, max_size=5))
@example(rows=[(text, [text]) for text in [None, *LOOKALIKES] if without_nul(text)])
def test_csv_is_read_back_by_duckdb(folder: Path, rows: list[tuple[str | None, Any]]) -> None:
    body = printed(lambda: printing.comma_separated(["a", "b"], rows))
    (folder / "rows.csv").write_text(body, newline="")
    read = (
        f"SELECT * FROM read_csv('{folder}/rows.csv', header = true, auto_detect = false, quote = '\"',"
        " escape = '\"', new_line = '\\r\\n', allow_quoted_nulls = false,"
        " columns = {'a': 'VARCHAR', 'b': 'VARCHAR'})"
    )
    found = duckdb.sql(read).fetchall()
    assert [text for text, _ in found] == [text for text, _ in rows]
    for (_, text), (_, value) in zip(found, rows, strict=True):
        assert text == value if isinstance(value, (str, type(None))) else json.loads(text) == value


def on_screen(lines: list[str]) -> Iterator[list[str]]:
    """The cells of a table, as a terminal shows them: what stands above and below each piece of the rule."""
    # As wide as the lines could be, and a line more than there are: what is more would be lost or scrolled.
    screen = pyte.Screen(2 * max(map(len, lines)) + 1, len(lines) + 1)
    stream = pyte.Stream(screen)
    for character in "".join(f"{line}\r\n" for line in lines):
        stream.feed(character)  # one by one: at what it does not show, pyte drops what was fed with it
    assert (screen.cursor.y, screen.title) == (len(lines), "")
    rule = [screen.buffer[1][x].data == "─" for x in range(screen.columns)]
    begins = [x for x, is_rule in enumerate(rule) if is_rule and not (x and rule[x - 1])]
    ends = [x for x, is_rule in enumerate(rule) if not is_rule and x and rule[x - 1]]
    for y in range(len(lines)):
        outside = [screen.buffer[y][x].data for x, is_rule in enumerate(rule) if not is_rule]
        assert "".join(outside).strip() == ""
        yield [
            "".join(screen.buffer[y][x].data for x in range(begin, end)).strip(" ")
            for begin, end in zip(begins, ends, strict=True)
        ]


def value_of(text: str, null: str) -> str | None:
    """The text that a cell stands for."""
    if text == null:
        return None
    return json.loads(text) if text.startswith('"') else text


def alike(value: Any) -> Any:
    """A terminal composes a letter with its mark, and pyte shows no other character without width."""
    text = json.dumps(value, ensure_ascii=False)
    shown = "".join(each for each in text if wcwidth.wcwidth(each) or unicodedata.combining(each))
    return unicodedata.normalize("NFC", shown)


@settings(deadline=None)
@given(
    rows=st.lists(st.tuples(st.none() | TEXT, VALUE, NUMBER), min_size=1, max_size=4),
    names=st.tuples(TEXT, TEXT, TEXT),
    null=st.sampled_from(["", "NULL"]),
)
@example(rows=[(text, [text], 1) for text in [None, *LOOKALIKES]], names=("a", "漢字", "\x1b[2J"), null="NULL")
def test_a_table_says_every_value_and_is_aligned(
    rows: list[tuple[Any, ...]], names: tuple[str, ...], null: str
) -> None:
    head, _, *body = on_screen(list(tables.lines(names, rows, null=null)))
    assert [alike(value_of(text, null)) for text in head] == [alike(name) for name in names]
    for (text, value, number), cells in zip(rows, body, strict=True):
        assert alike(value_of(cells[0], null)) == alike(text)
        # Of a column that holds both texts and others, the others are told by its type.
        expected = value if isinstance(value, (str, type(None))) else None
        assert alike(value_of(cells[1], null) if expected is value else json.loads(cells[1])) == alike(value)
        assert json.loads(cells[2]) == number


@given(rows=st.lists(st.tuples(TEXT, NUMBER), min_size=1, max_size=3))
def test_a_line_for_each_value_says_every_value(rows: list[tuple[str, Any]]) -> None:
    lines = list(tables.records(["a", "long name"], rows))
    assert all(map(escapes.is_shown, lines))
    assert len(lines) == 3 * len(rows)
    for place, (text, number) in enumerate(rows):
        assert value_of(lines[3 * place + 1].removeprefix("a").strip(" "), "NULL") == text
        assert json.loads(lines[3 * place + 2].removeprefix("long name")) == number


@pytest.mark.parametrize(
    ("text", "cut"), [("x" * 30, "x" * 9 + "…"), ("漢" * 30, "漢" * 4 + "…"), ("x" * 10, "x" * 10)]
)
def test_a_cell_is_cut_where_it_is_asked_for(text: str, cut: str) -> None:
    assert list(tables.lines(["a"], [[text]], widest=10))[2] == cut


@pytest.mark.parametrize("shown", [True, False])
def test_csv_at_a_terminal_has_no_control_character(shown: bool, capsys: pytest.CaptureFixture[str]) -> None:
    body = 'a\r\n"\x1b[2J\n漢\t"\r\n'.encode()
    text = printed(lambda: printing.delimited(body), terminal=shown)
    assert text == ('a\r\n"\ufffd[2J\n漢\t"\r\n' if shown else body.decode())
    assert ("a terminal must not get" in capsys.readouterr().err) is shown


def test_numbers_stand_right_and_texts_left() -> None:
    lines = list(tables.lines(["n", "t"], [[1, "1"], [22, "22"], [None, None]], null=""))
    assert lines == [" n  t", "──  ──", " 1  1", "22  22", ""]


def test_a_message_keeps_its_lines_and_no_control_character() -> None:
    shown = escapes.error_of("no such name \x1b[2J\nLINE 1: x\n  ^", "InvalidQuery")
    assert shown == "error: no such name \\x1b[2J (InvalidQuery)\nLINE 1: x\n  ^\n"


def test_what_ends_the_rows_for_postgres_is_quoted_in_csv() -> None:
    assert printed(lambda: printing.comma_separated(["a"], [["\\."]])) == 'a\r\n"\\."\r\n'
