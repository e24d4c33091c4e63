"""People who ask all the time, whatever the answer."""

from __future__ import annotations

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager, suppress
from threading import Event

from hack.localcluster.layout import ClusterError
from tests.services.installation import Installation

LARGE = "SELECT n FROM range(20000) t(n)"
"""Its answer has more rows than are handed out at once, so it goes through the object store."""


@contextmanager
def asking(trace: Installation, sql: str, people: int = 4) -> Iterator[None]:
    """Each of them asks again as soon as there is an answer or a refusal, while the block runs."""
    over = Event()

    def ask() -> None:
        while not over.is_set():
            with suppress(ClusterError):
                trace.admin.rows(sql)

    with ThreadPoolExecutor(people) as pool:
        running = [pool.submit(ask) for _ in range(people)]
        try:
            yield
        finally:
            over.set()
        for each in running:
            each.result()
