"""Tokens of `as_of`: a pin that is encoded and decoded is the same, and anything else is refused."""

from __future__ import annotations

import base64
import contextlib
from uuid import UUID

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from traceplane.errors import Refused
from traceplane.query.relations import pins

NUMBERS = st.integers(-(2**63), 2**63 - 1)
SPANS = st.lists(st.tuples(NUMBERS, NUMBERS), max_size=4)
COLD = st.builds(pins.Cold, st.uuids(), st.text("0123456789abcdef", min_size=32, max_size=32), SPANS)
RELATIONS = st.builds(
    pins.PinnedRelation,
    st.text("abc-", max_size=8),
    st.text("abc-", max_size=8),
    st.none() | st.uuids(),
    st.none() | NUMBERS,
    st.lists(COLD, max_size=3),
)
PINS = st.builds(pins.pin, st.just("730:742:731,740"), st.integers(0, 2**63 - 1), st.lists(RELATIONS, max_size=3))


@given(PINS)
def test_a_decoded_token_is_the_pin_it_was_made_of(pinned: pins.Pin) -> None:
    token = pins.encode(pinned)
    assert token is not None
    assert pins.decode(token) == pinned


@given(st.binary(max_size=200) | PINS.map(msgspec.msgpack.encode).flatmap(lambda raw: st.just(raw[:-1])))
def test_other_bytes_are_refused_or_a_pin(raw: bytes) -> None:
    token = base64.urlsafe_b64encode(raw).decode()
    with contextlib.suppress(Refused):
        assert pins.encode(pins.decode(token)) is not None


def test_numbers_beyond_64_bits_are_refused() -> None:
    for relation in (
        pins.PinnedRelation("a", "b", UUID(int=1), 2**63, []),
        pins.PinnedRelation("a", "b", None, None, [pins.Cold(UUID(int=1), "x", [(0, 2**63)])]),
    ):
        with pytest.raises(Refused):
            pins.decode(str(pins.encode(pins.pin("1:1:", 0, [relation]))))


@pytest.mark.parametrize(
    "snapshot", ["5:3:", "0:0:", "1:9:9", "2:9:1", "1:9:3,2", "1:9:3,3", "1:9:,", "1:9", "a:b:"]
)
def test_a_snapshot_that_postgres_would_not_take_is_refused(snapshot: str) -> None:
    with pytest.raises(Refused):
        pins.decode(str(pins.encode(pins.pin(snapshot, 0, []))))


def test_a_pin_too_long_for_a_token_has_no_token() -> None:
    many = [(n * 2**40, n * 2**40) for n in range(3000)]
    relation = pins.PinnedRelation("a", "b", None, None, [pins.Cold(UUID(int=1), "x", many)])
    pinned = pins.pin("1:1:", 0, [relation])
    assert pins.encode(pinned) is None
    longer = base64.urlsafe_b64encode(msgspec.msgpack.encode(pinned)).rstrip(b"=").decode()
    with pytest.raises(Refused, match="not a token that an answer gave"):
        pins.decode(longer)


def test_a_digest_does_not_depend_on_order() -> None:
    one, two = UUID(int=1), UUID(int=2)
    assert pins.digest([one, two]) == pins.digest([two, one]) != pins.digest([one])
