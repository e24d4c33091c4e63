"""The cache of cold files when a download fails: everybody who waits hears of it, and the next may try again."""

from __future__ import annotations

import hashlib
import sys
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.waiting import until
from traceplane.errors import Unavailable
from traceplane.query.files.cache import Cache, ColdFile

BODY = b"rows"
FILE = ColdFile("key", len(BODY), hashlib.sha256(BODY).hexdigest())


class Store:
    """An object store whose object is missing until `found`; it answers when `answers` is set."""

    def __init__(self) -> None:
        self.found = False
        self.answers = threading.Event()
        self.answers.set()

    def stream(self, key: str) -> Iterator[bytes]:
        self.answers.wait(10)
        if not self.found:
            raise Unavailable("a cold file is missing from the object store", code="DataMissing")
        yield BODY


@pytest.fixture
def store() -> Store:
    return Store()


@pytest.fixture
def cache(store: Store, tmp_path: Path) -> Iterator[Cache]:
    made = Cache(tmp_path / "files", 1024, store)
    yield made
    made.close()


def read(cache: Cache) -> bytes:
    with cache.held([FILE], threading.Event(), time.monotonic() + 10) as paths:
        return paths[0].read_bytes()


def test_a_download_that_fails_at_once_is_an_error_every_time(cache: Cache) -> None:
    interval = sys.getswitchinterval()
    sys.setswitchinterval(1e-6)  # so that the download may end at any step of the one that asked for it
    try:
        for _ in range(300):
            with pytest.raises(Unavailable) as refused:
                read(cache)
            assert refused.value.code == "DataMissing"
    finally:
        sys.setswitchinterval(interval)
    assert cache.bytes == 0


def test_all_who_wait_for_a_download_hear_that_it_failed(cache: Cache, store: Store) -> None:
    store.answers.clear()
    with ThreadPoolExecutor(4) as pool:
        waiting = [pool.submit(read, cache) for _ in range(4)]
        until(lambda: cache._pins[FILE.sha256] == 4)
        store.answers.set()
        errors = [one.exception() for one in waiting]
    assert [getattr(error, "code", error) for error in errors] == ["DataMissing"] * 4


def test_a_file_that_came_back_is_fetched_again(cache: Cache, store: Store) -> None:
    with pytest.raises(Unavailable):
        read(cache)
    store.found = True
    assert read(cache) == BODY
    assert cache.bytes == len(BODY)
