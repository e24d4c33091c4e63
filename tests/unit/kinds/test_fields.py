"""Field types take what people write and refuse what only looks like it."""

import pytest
from pydantic import TypeAdapter, ValidationError

from traceplane.kinds import KINDS, fields


def taken(kind, value):
    try:
        return TypeAdapter(kind).validate_python(value, strict=True) == value
    except ValidationError:
        return False


@pytest.mark.parametrize(("text", "seconds"), [("90s", 90), ("5m", 300), ("1h30m", 5400), ("2d", 172800)])
def test_a_duration_is_seconds(text, seconds):
    assert taken(fields.Duration, text)
    assert fields.seconds(text) == seconds


@pytest.mark.parametrize(
    "text", ["0", "0s", "5", "m", "5 m", "-5m", "5M", "05m", "1.5h", "5m\n", "", "never", "9" * 7 + "s"]
)
def test_what_is_no_duration_is_refused(text):
    assert not taken(fields.Duration, text)
    with pytest.raises(ValueError, match="is no duration"):
        fields.seconds(text)


def test_idle_timeout_knows_two_words_more():
    assert [fields.idle_seconds(t) for t in ("0", "0s", "never", "5m") if taken(fields.IdleTimeout, t)] == [
        0,
        0,
        None,
        300,
    ]
    assert not taken(fields.IdleTimeout, "always")


@pytest.mark.parametrize("value", ["100m", "0.5", "1.5Gi", "2", 2, 0])
def test_a_quantity_is_text_or_a_number(value):
    assert taken(fields.Quantity, value)


@pytest.mark.parametrize("value", ["", "1.5.5", "-1", "1 Gi", "1GiB", "much", 1.5, True, None, -1, "9" * 40])
def test_what_is_no_quantity_is_refused(value):
    assert not taken(fields.Quantity, value)


@pytest.mark.parametrize("name", ["a", "follow", "a-1", "0a", "a" * 63])
def test_a_label_may_be(name):
    assert taken(fields.Label, name)


@pytest.mark.parametrize("name", ["", "-a", "a-", "A", "a_b", "a.b", "a" * 64, "é", "ａ", "a\n", "a\u202eb", "א"])
def test_a_label_may_not_be(name):
    assert not taken(fields.Label, name)


@pytest.mark.parametrize(("name", "right"), [("b", True), ("hot-b", True), ("a" * 128, True), ("a" * 129, False)])
def test_an_asset_name_is_a_table_name_but_for_dashes(name, right):
    assert taken(fields.AssetName, name) is right


@pytest.mark.parametrize("name", ["1a", "-a", "a-", "a_b", "a.b", "A"])
def test_an_asset_name_may_not_be(name):
    assert not taken(fields.AssetName, name)


def test_every_pattern_of_a_spec_is_explained_to_people():
    used = {
        p for kind in KINDS.values() for p in _patterns(kind.model_fields["spec"].annotation.model_json_schema())
    }
    assert used == set(fields.MEANINGS)


def _patterns(value):
    if isinstance(value, dict):
        if isinstance(value.get("pattern"), str):
            yield value["pattern"]
        for item in value.values():
            yield from _patterns(item)
    elif isinstance(value, list):
        for item in value:
            yield from _patterns(item)
