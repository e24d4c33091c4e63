"""Rules between fields say what to do, and lists that are maps or sets repeat nothing."""

from typing import Annotated, ClassVar

from traceplane.kinds.rules import NOT_SUPPORTED, ListMap, ListSet, Model, Rule, violations


class Part(Model):
    name: str
    wrong_way: bool = False
    rules: ClassVar[tuple[Rule, ...]] = (
        Rule("!self.wrongWay", lambda p: not p.wrong_way, "go the other way", "wrongWay"),
    )


class Whole(Model):
    parts: Annotated[list[Part], ListMap("name")] | None = None
    words: Annotated[list[str], ListSet()] | None = None
    nested: Part | None = None


def broken(**fields):
    return {v.path: v.code for v in violations(Whole.model_validate(fields), "spec")}


def test_rules_are_checked_wherever_the_model_stands():
    parts = [{"name": "a"}, {"name": "b", "wrongWay": True}]
    assert broken(parts=parts, nested={"name": "c", "wrongWay": True}) == {
        "spec.parts[1].wrongWay": "Invalid",
        "spec.nested.wrongWay": "Invalid",
    }


def test_repetition_is_told_where_it_repeats():
    assert broken(parts=[{"name": "a"}, {"name": "b"}, {"name": "a"}], words=["x", "y", "x"]) == {
        "spec.parts[2].name": "Duplicate",
        "spec.words[2]": "Duplicate",
    }


def models(model=Model):
    for below in model.__subclasses__():
        if below.__module__.startswith("traceplane."):
            yield below
            yield from models(below)


def test_every_rule_speaks_to_people():
    rules = [rule for model in models() for rule in model.rules]
    assert len(rules) > 40
    for rule in rules:
        assert len(rule.message) > 10, rule
        assert (rule.code == NOT_SUPPORTED) == ("supported yet" in rule.message), rule
