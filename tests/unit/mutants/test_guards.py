"""The finder of guards sees every conjunct of a condition, and nothing that is none."""

from __future__ import annotations

from hack.mutants.__main__ import ROOMS, ROOT, mutants
from hack.mutants.guards import python_guards, sql_guards


def texts(source: str) -> list[str]:
    return [guard.text for guard in sql_guards(source)]


def test_each_conjunct_of_a_where_is_a_guard():
    source = '''X = """
UPDATE tasks t SET status = 'Queued'
WHERE t.id = %(id)s AND (t.status = 'Failed' OR t.dead) AND t.org_id = %(org)s
RETURNING t.id"""'''
    assert texts(source) == ["t.id = %(id)s", "(t.status = 'Failed' OR t.dead)", "t.org_id = %(org)s"]


def test_a_guard_is_removed_alone():
    source = 'X = "DELETE FROM tasks WHERE a = 1 AND b = 2"'
    first, second = sql_guards(source)
    assert first.removed(source) == 'X = "DELETE FROM tasks WHERE true AND b = 2"'
    assert second.removed(source) == 'X = "DELETE FROM tasks WHERE a = 1 AND true "'


def test_conditions_inside_subqueries_literals_and_between_are_kept_apart():
    source = '''X = """DELETE FROM a WHERE x BETWEEN 1 AND 2 AND y = 'AND z' AND EXISTS (
    SELECT FROM b WHERE b.id = a.id LIMIT 1)"""'''
    assert texts(source) == [
        "x BETWEEN 1 AND 2",
        "y = 'AND z'",
        "EXISTS ( SELECT FROM b WHERE b.id = a.id LIMIT 1)",
        "b.id = a.id",
    ]


def test_of_a_statement_that_only_reads_what_the_caller_may_see_is_a_guard():
    read = "SELECT a FROM b WHERE b.org_id = %(org)s AND b.kind = 1"
    assert texts(f'X = "{read}"') == ["b.org_id = %(org)s"]
    assert texts(f'X = "{read} FOR UPDATE"') == ["b.org_id = %(org)s", "b.kind = 1"]
    assert texts(f'X = "INSERT INTO c {read}"') == ["b.org_id = %(org)s", "b.kind = 1"]


def test_the_story_of_a_module_holds_no_guard():
    assert texts('"""Each list is a page (`WHERE key > last`)."""\nX = "DELETE FROM a WHERE b = 1"') == ["b = 1"]


def test_a_fragment_that_begins_with_a_condition_is_a_condition():
    assert texts('HELD = "t.status = 1 AND t.attempt = x.attempt"') == ["t.status = 1", "t.attempt = x.attempt"]
    assert texts('HELD = "id = %(id)s AND runner = %(runner)s"') == ["id = %(id)s", "runner = %(runner)s"]
    assert not texts('SET = "status = %(status)s, ended = true"')


def test_what_may_only_rise_is_a_guard():
    source = 'X = "UPDATE c SET v = greatest(c.v, excluded.v)"'
    (guard,) = sql_guards(source)
    assert guard.removed(source) == 'X = "UPDATE c SET v = excluded.v"'


def test_a_second_guard_is_left_alone():
    assert not texts('X = """DELETE FROM a WHERE  -- second guard: the key is unique\n    id = 1"""')


def test_an_if_that_raises_is_a_guard_and_one_that_decides_is_none():
    source = "if a > 1:\n    raise Refused()\nif b:\n    c = 1\ntoken.require(x)\n"
    assert [guard.text for guard in python_guards(source)] == ["a > 1", "token.require(x)"]
    assert python_guards(source)[0].removed(source).startswith("if False:\n")


def removed(source: str) -> list[str]:
    return [guard.removed(source) for guard in python_guards(source)]


def test_a_check_that_returns_what_is_wrong_is_a_guard():
    assert removed('def a(x):\n    return None if x == 1 else f"{x} is wrong"\n') == [
        'def a(x):\n    return None if True else f"{x} is wrong"\n'
    ]
    assert removed('def a(x):\n    if x:\n        return "x is wrong"\n') == [
        'def a(x):\n    if False:\n        return "x is wrong"\n'
    ]
    assert not removed('def a(x):\n    if x:\n        return "Pod"\n    return None if x else 1\n')


def test_an_if_that_returns_before_a_raise_is_a_guard():
    assert removed("def a(x):\n    if x:\n        return 1\n    raise Refused()\n") == [
        "def a(x):\n    if True:\n        return 1\n    raise Refused()\n"
    ]


def test_a_variable_that_may_only_rise_is_a_guard():
    assert removed("a.top = max(a.top, new.top)\nb = max(c, d)\n") == ["a.top = new.top\nb = max(c, d)\n"]


def test_every_room_has_guards_and_every_mutant_is_another_program():
    for room in ROOMS:
        found = mutants([room], "")
        assert found, room
        assert len({(mutant.path, mutant.guard.start, mutant.guard.end) for mutant in found}) == len(found)


def test_the_tests_of_every_room_exist():
    for room in ROOMS.values():
        assert all((ROOT / path).exists() for path in (*room.first, *room.tests))
