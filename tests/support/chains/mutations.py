"""What may become of a right answer on its way: fields deleted, replaced, of another type, lists cut or swapped."""

from __future__ import annotations

import copy
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from hypothesis import strategies as st

from tests.support.chains import Shape

Json = Any

NASTY = (
    *(None, True, 0, -1, 18, 2**64, 1.5, 10**400, float("inf"), float("nan")),
    *("", "0x", "0x0", "0x1", "0x-1", "0x_1", " 0x1", "0x1 ", "30000000", "0X1", "0xg", "0xf423f", "\u0661"),
    *("0x\t1\n999999\t0xab", "0x1\\N", "a\0b", "\ud800", "\\."),
    *(hex(2**31), hex(2**63), hex(2**64 - 1), hex(2**256 - 1), hex(2**256)),
    *("0x" + "00" * 20, "0x" + "AB" * 32, "0x" + "0" * 65, "0x" + "ff" * 256),
    *([], {}, [[]], [None], ["0x"], {"a": "\0"}, [{}]),
)
any_json = st.recursive(
    st.sampled_from(NASTY) | st.text(max_size=5) | st.integers() | st.floats(),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(st.sampled_from(["number", "hash", "transactions", "logs", "gasUsed"]), inner, max_size=4)
        | st.dictionaries(st.text(max_size=5), inner, max_size=3)
    ),
    max_leaves=12,
)

KINDS = ("delete", "replace", "nasty", "duplicate", "truncate", "swap", "rename", "add")
mutations = st.tuples(st.sampled_from(KINDS), st.integers(0, 10**6), st.integers(0, 10**6), any_json)
"""(kind, which container, which member, a value)."""


def mutate(answer: Json, chosen: list[tuple[str, int, int, Json]]) -> Json:
    """The answer after some mutations."""
    for kind, which, member, drawn in chosen:
        value = copy.deepcopy(drawn)  # put into two places, it could come to hold itself
        containers = [one for one in _containers(answer) if one]
        if not containers:
            return value
        target = containers[which % len(containers)]
        keys = list(target) if isinstance(target, dict) else list(range(len(target)))
        key, other = keys[member % len(keys)], keys[(member // 7) % len(keys)]
        if kind == "delete":
            del target[key]
        elif kind == "replace":
            target[key] = value
        elif kind == "nasty":
            target[key] = copy.deepcopy(NASTY[which % len(NASTY)])  # a later mutation must not change it
        elif kind == "swap":
            target[key], target[other] = target[other], target[key]
        elif kind == "rename" and isinstance(target, dict):
            target[f"{key}2"] = target.pop(key)
        elif kind == "add" and isinstance(target, dict):
            target["more"] = value
        elif isinstance(target, list):
            target[:] = (
                target[: member % len(target)] if kind == "truncate" else [*target, copy.deepcopy(target[key])]
            )
    return answer


def _containers(value: Json) -> Iterator[Any]:
    if isinstance(value, (dict, list)):
        yield value
        for member in value.values() if isinstance(value, dict) else value:
            yield from _containers(member)


@dataclass(frozen=True)
class Path:
    """Where a text is in an answer."""

    keys: tuple[Any, ...]

    def set(self, answer: Json, text: str) -> Json:
        """The answer with another text there, where it has the place."""
        target = answer
        try:
            for key in self.keys[:-1]:
                target = target[key]
            if isinstance(target[self.keys[-1]], str):
                target[self.keys[-1]] = text
        except (KeyError, IndexError):
            pass  # another block has fewer transactions or logs
        return answer


def places(shape: Shape) -> list[tuple[str, Path]]:
    """Every place of a text in a block of the shape and in its receipts, with the method that answers it."""
    height = shape.chain(4).heights[3]
    found = [("eth_getBlockByNumber", Path(keys)) for keys in _texts(height.block)]
    return found + [("eth_getBlockReceipts", Path(keys)) for keys in _texts(height.receipts)]


def _texts(value: Json) -> Iterator[tuple[Any, ...]]:
    if isinstance(value, str):
        yield ()
    elif isinstance(value, (dict, list)):
        items = value.items() if isinstance(value, dict) else enumerate(value)
        yield from ((key, *rest) for key, member in items for rest in _texts(member))
