"""The providers of an rpcPool: one is used while it is good, the others are watched, so that a better one is known.

A request goes to the provider in use, and after a fault to the next good one (`standing` says which that is, and
how long the first is left alone). Where none may be asked, the caller gets what each of them said and the seconds
until one may be: nothing here waits for that. URLs may be exchanged while the pool is used.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Collection, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import httpx

from operators.chain.faults import ProviderFault
from operators.chain.head import Head, head, require_chain
from operators.chain.provider import Provider
from operators.chain.standing import (
    BLAMELESS,
    LACKING,
    LAG_BLOCKS,
    Standing,
    behind,
    best_head,
    choose,
    none_usable,
)

T = TypeVar("T")

TRIES = 4
"""Times one request is tried, with the best provider of that moment, before the caller sees the fault. A provider
that can never answer it is asked once and does not count: of many, the last may be the one that can."""
CHAIN_ID_SECONDS = 300.0
"""How long a right chain id is believed: an address may come to serve another chain."""
WATCH_SECONDS = 5.0
"""How old the head of a provider may be before it is asked again, whether or not the provider is in use."""
_WATCHERS = 4


class ProviderPool:
    """Thread-safe. `timeout` in seconds and `max_bytes` bound one response, `connections` those open at a time.

    `wait` is how a request waits for its provider's pace; it may raise to end the wait.
    """

    def __init__(
        self,
        urls: Sequence[str],
        chain_id: int,
        *,
        timeout: float,
        max_bytes: int,
        connections: int,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        bound = connections + _WATCHERS
        self._http = httpx.Client(
            timeout=timeout, limits=httpx.Limits(max_connections=bound, max_keepalive_connections=bound)
        )
        self._chain_id = chain_id
        self._max_bytes = max_bytes
        self._clock, self._wait = clock, wait
        self._watchers = ThreadPoolExecutor(_WATCHERS, thread_name_prefix="heads")
        self._lock = threading.Lock()
        self._all: list[Provider] = []
        self._standings: dict[Provider, Standing] = {}
        self._watched: set[Provider] = set()
        self._current = 0
        self.use(urls)

    def close(self) -> None:
        """Drop the connections."""
        self._watchers.shutdown(wait=False, cancel_futures=True)
        self._http.close()

    def use(self, urls: Sequence[str]) -> bool:
        """Take these URLs; what is known of those that stay is kept. Returns whether they differ from before."""
        with self._lock:
            known = {provider.url: provider for provider in self._all}
            wanted = list(dict.fromkeys(urls))
            if wanted == list(known):
                return False
            in_use = self._all[self._current] if self._all else None
            self._all = [known.get(url) or self._provider(url) for url in wanted]
            self._standings = {one: self._standings.get(one) or Standing() for one in self._all}
            self._current = self._all.index(in_use) if in_use in self._all else 0
            for position, provider in enumerate(self._all):
                provider.name = f"provider {position}"
                if (fault := self._standings[provider].fault) is not None:
                    fault.provider = provider.name
            return True

    def _provider(self, url: str) -> Provider:
        return Provider("", url, self._http, self._max_bytes, clock=self._clock, wait=self._wait)

    def with_failover(self, request: Callable[[Provider], T]) -> T:
        """`request` of the provider in use, then of the others. Raises the last ProviderFault.

        Where none may be asked, the fault has what each said, and in `retry_after` the seconds until one may.
        """
        fault: ProviderFault | None = None
        without: set[Provider] = set()  # providers that do not have what is requested
        tries = 0
        while tries < TRIES and (provider := self._choose(without)) is not None:
            try:
                return self.ask(provider, request)
            except ProviderFault as error:
                fault = error
                if error.kind in BLAMELESS or error.kind in LACKING:
                    without.add(provider)
                tries += error.kind not in LACKING
        raise fault if fault is not None and self._choose(()) is not None else self._none_usable()

    def ask(self, provider: Provider, request: Callable[[Provider], T]) -> T:
        """`request` of this provider, its chain id checked. Its fault is kept in mind and raised."""
        standing = self._standings.get(provider) or Standing()  # of one that has just left the pool
        try:
            self._check_chain(provider, standing)
            answer = request(provider)
        except ProviderFault as fault:
            fault.provider = fault.provider or provider.name
            with self._lock:
                standing.failed(fault, self._clock())
            raise
        with self._lock:
            standing.answered(self._clock())
        return answer

    def current(self) -> Provider:
        """The provider in use. Raises ProviderFault where none may be asked."""
        provider = self._choose(())
        if provider is None:
            raise self._none_usable()
        return provider

    def rotate(self, from_provider: Provider) -> None:
        """Use the next provider that may be asked, where there is one."""
        with self._lock:
            # Of several threads that saw one provider fail, only the first moves on: else they would skip the next.
            if self._all[self._current] is not from_provider:
                return
            at = choose(self._in_order(), self._current, self._clock(), exclude={self._current})
            self._current = self._current if at is None else at

    def usable(self) -> list[Provider]:
        """The providers that may be asked."""
        with self._lock:
            now = self._clock()
            return [one for one in self._all if self._standings[one].usable(now)]

    def head(self, tip: int | None, doubt: bool = False, tag: str | None = None, final: int = -1) -> Head:
        """The head of the provider in use, or of another, the hash at height `tip`, the height of `tag`.

        Raises ProviderFault.

        `doubt`: also a head that is near the best one counts only once the provider answers for it by number.
        `final`: up to here the tag is known.
        """
        return self.with_failover(lambda provider: self._head(provider, tip, doubt, tag, final))

    @property
    def best_head(self) -> int | None:
        """The highest block that a provider which may be asked has answered for."""
        with self._lock:
            return best_head(self._standings.values(), self._clock())

    def lags(self, provider: Provider) -> bool:
        """Whether it is too far behind the best head, or stands still while another goes on."""
        with self._lock:
            now = self._clock()
            standing = self._standings.get(provider, Standing())
            return behind(standing, best_head(self._standings.values(), now), now)

    def watch(self) -> None:
        """Ask, in the background, each provider whose head was not seen for a while. Returns at once."""
        with self._lock:
            now = self._clock()
            due = [
                one
                for one, standing in self._standings.items()
                if len(self._all) > 1  # there is nothing to compare a single one with
                and one not in self._watched
                and standing.usable(now)
                and now - standing.seen_at >= WATCH_SECONDS
            ]
            self._watched.update(due)
        for provider in due:
            self._watchers.submit(self._look, provider)

    def standings(self) -> list[tuple[Provider, Standing, bool]]:
        """Each provider, what is known of it, and whether it is in use: for measures and the log."""
        with self._lock:
            return [(one, self._standings[one], at == self._current) for at, one in enumerate(self._all)]

    @property
    def now(self) -> float:
        """The time on the pool's clock, which standings are in."""
        return self._clock()

    def _in_order(self) -> list[Standing]:
        return [self._standings[one] for one in self._all]

    def _choose(self, exclude: Collection[Provider]) -> Provider | None:
        with self._lock:
            excluded = {at for at, one in enumerate(self._all) if one in exclude}
            at = choose(self._in_order(), self._current, self._clock(), excluded)
            if at is None:
                return None
            if self._current not in excluded:
                self._current = at
            return self._all[at]

    def _check_chain(self, provider: Provider, standing: Standing) -> None:
        """Raise ProviderFault where its chain id is not the configured one."""
        if self._clock() < standing.checked_until:
            return
        require_chain(provider, self._chain_id)
        standing.checked_until = self._clock() + CHAIN_ID_SECONDS

    def _none_usable(self) -> ProviderFault:
        """What each provider said last, with the kind and the time of the one that may be asked the soonest."""
        with self._lock:
            return none_usable(self._in_order(), self._clock())

    def _head(
        self, provider: Provider, tip: int | None, doubt: bool = False, tag: str | None = None, final: int = -1
    ) -> Head:
        best = self.best_head
        # One far ahead of the best that is known is looked at twice: a follower would run after it.
        latest = head(provider, tip, -1 if doubt or best is None else best + LAG_BLOCKS, tag, final)
        with self._lock:
            if provider in self._standings:
                self._standings[provider].came_to(latest.number, self._clock())
        return latest

    def _look(self, provider: Provider) -> None:
        try:
            self.ask(provider, lambda one: self._head(one, None))
        except ProviderFault:
            pass  # kept in the provider's standing, which measures and messages show
        finally:
            with self._lock:
                self._watched.discard(provider)
