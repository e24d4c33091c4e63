"""Downloads: a few at once, in order; one that no query waits for any more never begins, or stops."""

from __future__ import annotations

import hashlib
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.support.waiting import until
from traceplane.errors import Overloaded, Unavailable
from traceplane.query.files.cache import DOWNLOADS, Cache, ColdFile

SIZE = 100
MANY = 10 * DOWNLOADS


def body(number: int) -> bytes:
    return number.to_bytes(2) * (SIZE // 2)


FILES = [ColdFile(str(number), SIZE, hashlib.sha256(body(number)).hexdigest()) for number in range(MANY + 1)]
LAST = FILES[MANY]


class Store:
    """Objects in two pieces; `more` lets a piece through, and every one when it is `open`."""

    def __init__(self) -> None:
        self.begun: list[int] = []
        self.more = threading.Semaphore(0)
        self.open = False

    def stream(self, key: str) -> Iterator[bytes]:
        self.begun.append(int(key))
        for half in (slice(SIZE // 2), slice(SIZE // 2, SIZE)):
            if not self.open:
                self.more.acquire()
            yield body(int(key))[half]

    def flow(self) -> None:
        """Let every piece through from now on."""
        self.open = True
        self.more.release(2 * MANY)


@pytest.fixture
def store() -> Iterator[Store]:
    made = Store()
    yield made
    made.flow()


@pytest.fixture
def cache(store: Store, tmp_path: Path) -> Iterator[Cache]:
    """Room for all the files but the last."""
    made = Cache(tmp_path / "files", MANY * SIZE, store)
    yield made
    made.close()
    store.flow()


class Caller:
    """A query that waits for files on a thread of its own, until it is canceled."""

    def __init__(self, pool: ThreadPoolExecutor, cache: Cache, files: list[ColdFile]) -> None:
        self._canceled = threading.Event()
        self._cache = cache
        self.done: Future[list[bytes]] = pool.submit(self._read, files)

    def _read(self, files: list[ColdFile]) -> list[bytes]:
        with self._cache.held(files, self._canceled, time.monotonic() + 60) as paths:
            return [] if self._canceled.is_set() else [path.read_bytes() for path in paths]

    def cancel(self) -> None:
        self._canceled.set()
        self.done.result(60)


@pytest.fixture
def ask(cache: Cache, store: Store) -> Iterator[Callable[[list[ColdFile]], Caller]]:
    """Starts a query that needs files; returns when their downloads are queued."""

    with ThreadPoolExecutor(8) as pool:

        def asked(files: list[ColdFile]) -> Caller:
            before = {file.sha256: cache._pins[file.sha256] for file in files}
            made = Caller(pool, cache, files)
            until(lambda: all(cache._pins[name] > count for name, count in before.items()))
            return made

        yield asked
        store.flow()


def test_downloads_that_no_query_waits_for_never_begin(
    cache: Cache, store: Store, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    many = ask(FILES[:MANY])
    until(lambda: len(store.begun) == DOWNLOADS)
    many.cancel()
    assert cache.bytes == DOWNLOADS * SIZE, "room is kept for those that have begun only"
    next_one = ask([LAST])
    store.flow()
    assert next_one.done.result(60) == [body(MANY)]
    assert sorted(store.begun) == [*range(DOWNLOADS), MANY]


def test_a_download_that_no_query_waits_for_stops_at_its_next_piece(
    cache: Cache, store: Store, ask: Callable[[list[ColdFile]], Caller], tmp_path: Path
) -> None:
    many = ask(FILES[:MANY])
    until(lambda: len(store.begun) == DOWNLOADS)
    many.cancel()
    store.more.release(DOWNLOADS)  # the first of two pieces
    until(lambda: cache.bytes == 0)
    until(lambda: not list((tmp_path / "files").iterdir()))


def test_a_download_goes_on_while_one_query_waits_for_it(
    cache: Cache, store: Store, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    many, few = ask(FILES[:MANY]), ask([FILES[0], FILES[MANY - 1]])
    many.cancel()
    store.flow()
    assert few.done.result(60) == [body(0), body(MANY - 1)]
    assert MANY - 2 not in store.begun


def test_a_query_that_comes_before_a_download_stopped_shares_it(
    cache: Cache, store: Store, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    ask([LAST]).cancel()
    again = ask([LAST])
    store.flow()
    assert again.done.result(60) == [body(MANY)]
    assert store.begun == [MANY]


def test_downloads_begin_in_the_order_in_which_queries_came(
    store: Store, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    first, second = ask(FILES[: MANY - 1]), ask([LAST])
    store.flow()
    assert [caller.done.result(60)[-1] for caller in (first, second)] == [body(MANY - 2), body(MANY)]
    assert MANY in store.begun[-DOWNLOADS:], (
        "as many are under way at once, and begin in any order among themselves"
    )


def test_queries_that_wait_fail_when_the_cache_closes(
    cache: Cache, store: Store, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    many = ask(FILES[:MANY])
    cache.close()
    with pytest.raises(Unavailable, match="stopping"):
        many.done.result(60)
    with pytest.raises(Unavailable, match="stopping"), cache.held([LAST], threading.Event(), time.monotonic() + 60):
        pass


def test_files_that_arrive_for_others_are_not_taken_for_room(
    cache: Cache, ask: Callable[[list[ColdFile]], Caller]
) -> None:
    ask(FILES[:MANY])
    with pytest.raises(Overloaded), cache.held([LAST], threading.Event(), time.monotonic() + 60):
        pass
