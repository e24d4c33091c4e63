"""Who stays in the cache when room is needed: what running queries hold, then what was used last."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Iterator
from contextlib import AbstractContextManager
from pathlib import Path

import pytest

from traceplane.errors import Overloaded, Refused
from traceplane.query.files.cache import Cache, ColdFile

SIZE = 100
FILES = [ColdFile(f"key-{number}", SIZE, hashlib.sha256(bytes([number]) * SIZE).hexdigest()) for number in range(4)]


class Store:
    """Files that are there until they are collected; remembers what was fetched."""

    def __init__(self) -> None:
        self.bodies = {file.key: bytes([number]) * SIZE for number, file in enumerate(FILES)}
        self.fetched: list[str] = []

    def stream(self, key: str) -> Iterator[bytes]:
        self.fetched.append(key)
        yield self.bodies[key]


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def cache(store: Store, tmp_path: Path) -> Iterator[Cache]:
    """Room for two of the files."""
    made = Cache(tmp_path / "files", 2 * SIZE, store)
    yield made
    made.close()


def held(cache: Cache, *numbers: int) -> AbstractContextManager[list[Path]]:
    return cache.held([FILES[number] for number in numbers], threading.Event(), time.monotonic() + 10)


def test_files_of_a_running_query_stay_while_others_need_room(cache: Cache, store: Store) -> None:
    with held(cache, 0) as (path,):
        for other in (1, 2, 3, 1):
            with held(cache, other) as (beside,):
                assert beside.read_bytes() == store.bodies[FILES[other].key]
        assert path.read_bytes() == store.bodies[FILES[0].key]
    assert store.fetched == ["key-0", "key-1", "key-2", "key-3", "key-1"]
    assert cache.bytes == 2 * SIZE


def test_a_query_for_which_nothing_may_leave_is_told_to_come_back(cache: Cache) -> None:
    with held(cache, 0, 1) as paths:
        with pytest.raises(Overloaded, match="try again"), held(cache, 2):
            pass
        assert all(path.exists() for path in paths)
    with held(cache, 2) as (path,):
        assert path.exists()


def test_a_file_that_two_queries_hold_stays_until_both_are_over(cache: Cache) -> None:
    with held(cache, 0) as (path,):
        with held(cache, 0):
            pass
        with pytest.raises(Overloaded), held(cache, 1, 2):
            pass
        assert path.exists()
    with held(cache, 1, 2):
        assert not path.exists()


def test_what_was_used_last_stays_longest(cache: Cache, store: Store) -> None:
    for number in (0, 1, 0, 2, 0):
        with held(cache, number):
            pass
    assert store.fetched == ["key-0", "key-1", "key-2"]


def test_more_than_the_whole_cache_is_refused_with_the_remedy(cache: Cache) -> None:
    with pytest.raises(Refused, match="narrow the range"), held(cache, 0, 1, 2):
        pass


def test_an_object_that_was_collected_is_read_on_by_those_who_hold_it(cache: Cache, store: Store) -> None:
    with held(cache, 0) as (path,):
        body = store.bodies.pop("key-0")
        assert path.read_bytes() == body
