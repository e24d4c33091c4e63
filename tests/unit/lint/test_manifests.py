"""A wrong or hostile file is refused with its line, and costs little to read."""

import resource
import sys
import time

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from traceplane.cli.manifests import MAX_FILE_BYTES, documents, files_in, read
from traceplane.cli.yaml_nodes import Unreadable


def value(text):
    (document,) = documents(text)
    assert not document.wrong, document.wrong
    return document.value


def wrong(text):
    """(line, code) of everything wrong with a text."""
    try:
        return [(w.line, w.code) for document in documents(text) for w in document.wrong]
    except Unreadable as error:
        return [(error.line, error.code)]


def test_values_are_those_of_json():
    text = "a: 1\nb: 1.5\nc: true\nd: yes\ne: ~\nf: 2024-01-01\ng: '1'\nh: 1:30\ni: 0x10\nj: [x, {k: z}]\nk: 1e3\n"
    assert value(text) == {
        "a": 1,
        "b": 1.5,
        "c": True,
        "d": True,
        "e": None,
        "f": "2024-01-01",
        "g": "1",
        "h": "1:30",
        "i": 16,
        "j": ["x", {"k": "z"}],
        "k": 1000,
    }


@pytest.mark.parametrize(
    ("written", "meant"),
    [
        ("1e3", 1000),
        ("12E-1", 1.2),
        ("1.0", 1),
        ("-.5", -0.5),
        ("6.02e23", 6.02e23),
        ("08", 8),
        ("017", 15),
        ("0o17", 15),
        ("0x10", 16),
        ("1_000", 1000),
        ("1:30", "1:30"),
        ("2024-01-01", "2024-01-01"),
        ("on", True),
        ("Null", None),
        ("tRue", "tRue"),
        ("!!str 1", "1"),
        ("!!float 1", 1),
    ],
)
def test_scalars_are_what_kubectl_sends(written, meant):
    got = value(f"a: {written}\n")["a"]
    assert (got, type(got)) == (meant, type(meant))


def test_one_letter_booleans_are_booleans_as_for_kubectl():
    assert value("a: n\nb: 'n'\n") == {"a": False, "b": "n"}


def test_anchors_aliases_and_merges_are_written_out():
    assert value("a: &x {k: 1, l: 2}\nb: *x\nc: {<<: *x, k: 3}\n")["c"] == {"k": 3, "l": 2}


def test_an_anchor_may_be_given_again_and_means_its_last_value():
    assert value("a: &x 1\nb: &x 2\nc: *x\n")["c"] == 2


def test_of_several_merged_mappings_the_earlier_wins():
    assert value("a: &x {k: 1}\nb: &y {k: 2, l: 2}\nc: {<<: [*x, *y], m: 3}\n")["c"] == {"k": 1, "l": 2, "m": 3}


def test_every_field_knows_its_line():
    (document,) = documents("# head\nspec:\n  jobs:\n  - name: a\n    inputs:\n    - from: {job: b}\n")
    paths = ("spec.jobs[0]", "spec.jobs[0].inputs[0].from.job", "spec.jobs[0].source.kind")
    assert [document.line_of(path) for path in paths] == [4, 6, 4]


def test_documents_are_separated_and_empty_ones_left_out():
    found = list(documents("---\na: 1\n---\n---\n# nothing\n---\nb: 2\n"))
    assert [(d.value, d.line) for d in found] == [({"a": 1}, 2), ({"b": 2}, 7)]


@pytest.mark.parametrize(
    ("text", "problems"),
    [
        ("a: 1\nb: 2\na: 3\n", [(3, "Duplicate")]),
        ("x:\n  a: 1\n  a: 1\n", [(3, "Duplicate")]),
        ("a: .nan\nb: -.inf\n", [(1, "WrongType"), (2, "WrongType")]),
        ("a: 1e999\n", [(1, "WrongType")]),
        ("a: 9223372036854775808\nb: 1\nb: 2\n", [(1, "OutOfBounds"), (3, "Duplicate")]),
        (f"a: {'9' * 5000}\n", [(1, "OutOfBounds")]),
        ("1: a\ntrue: b\n", [(1, "WrongType"), (2, "WrongType")]),
        ("a: !!python/object/apply:os.system [ls]\n", [(1, "WrongType")]),
        ("a: !!binary aGk=\n", [(1, "WrongType")]),
        ("a: !custom b\n", [(1, "WrongType")]),
        ("a: !!bool maybe\n", [(1, "WrongType")]),
        ("a: !!set {b}\n", [(1, "WrongType")]),
        ("a: [b\n", [(2, "Syntax")]),
        ("a: *x\n", [(1, "Syntax")]),
        ("a: &x [*x]\n", [(1, "Syntax")]),
        ("a: {<<: 5}\n", [(1, "Syntax")]),
        ("[" * 100_000, [(1, "TooLarge")]),
        ("a: " + "{b: " * 5000 + "1" + "}" * 5000, [(1, "TooLarge")]),
        ("a0: &a0 [x]\n" + "".join(f"a{n}: &a{n} [*a{n - 1}]\n" for n in range(1, 80)), [(1, "TooLarge")]),
        ("---\na: 1\n" * 10_001, [(20002, "TooLarge")]),
    ],
    ids=lambda v: str(v)[:40],
)
def test_what_cannot_be_json_is_refused_with_its_line(text, problems):
    assert wrong(text) == problems


def bomb(levels=12, width=10):
    lines = ["a0: &a0 [" + "x," * width + "]"]
    lines += [f"a{n}: &a{n} [" + f"*a{n - 1}," * width + "]" for n in range(1, levels)]
    return "\n".join(lines)


def merge_bomb():
    lines = ["a0: &a0 {" + ", ".join(f"k{n}: v" for n in range(1000)) + "}"]
    return "\n".join(lines + [f"b{n}: {{<<: [" + ", ".join(["*a0"] * 100) + "]}" for n in range(1000)])


def text_bomb():
    return f"a: &a {'x' * 100_000}\n" + "b: [" + "*a, " * 100_000 + "]\n"


@pytest.mark.parametrize("text", [bomb(), merge_bomb(), text_bomb()], ids=["lists", "merges", "text"])
def test_a_bomb_is_refused_without_going_off(text):
    before, started = _peak_bytes(), time.process_time()
    assert [code for _, code in wrong(text)] == ["TooLarge"]
    assert _peak_bytes() - before < 200 * 1024**2
    assert time.process_time() - started < 10


def _peak_bytes():
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * (1 if sys.platform == "darwin" else 1024)


@given(st.text(max_size=200) | st.text(alphabet="ab:-&*<>[]{}!|\"' \n\t#?,%@`", max_size=60))
@settings(deadline=None)
def test_no_text_crashes_the_reader(text):
    wrong(text)


def test_a_file_that_is_too_large_or_no_text_is_refused(tmp_path):
    large, binary, pipe = tmp_path / "large.yaml", tmp_path / "binary.yaml", tmp_path / "nothing.yaml"
    large.write_bytes(b"#" * (MAX_FILE_BYTES + 1))
    binary.write_bytes(b"a: 1\nb: \xff\n")
    for path, line, code in ((large, 1, "TooLarge"), (binary, 2, "Unreadable"), (pipe, 1, "Unreadable")):
        with pytest.raises(Unreadable) as refused:
            read(path)
        assert (refused.value.line, refused.value.code) == (line, code)


def test_a_device_is_no_manifest():
    from pathlib import Path

    with pytest.raises(Unreadable, match="not a regular file"):
        read(Path("/dev/zero"))


def test_folders_are_searched_and_files_are_read_once(tmp_path):
    (tmp_path / "sub").mkdir()
    for name in ("b.yaml", "sub/a.yml", "c.json", "readme.md"):
        (tmp_path / name).touch()
    found = files_in([tmp_path, tmp_path / "b.yaml"])
    assert [str(p.relative_to(tmp_path)) for p in found] == ["b.yaml", "c.json", "sub/a.yml"]
