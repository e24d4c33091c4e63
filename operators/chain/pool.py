"""The providers of an rpcPool: one is used until it fails, then the next."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence
from typing import TypeVar

import httpx

from operators.chain.faults import ProviderFault, WrongChain
from operators.chain.provider import Provider
from operators.chain.values import quantity

T = TypeVar("T")

TRIES = 4
"""Times one request is tried, each time with the next provider, before the caller sees the fault."""


class ProviderPool:
    """Thread-safe. `timeout` in seconds and `max_bytes` bound one response, `connections` those open at a time."""

    def __init__(
        self, urls: Sequence[str], chain_id: int, *, timeout: float, max_bytes: int, connections: int
    ) -> None:
        self._http = httpx.Client(
            timeout=timeout, limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        )
        self._chain_id = chain_id
        self._all = [Provider(f"provider {n}", url, self._http, max_bytes) for n, url in enumerate(urls)]
        self._right_chain: set[str] = set()
        self._wrong_chain: set[str] = set()
        self._current = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def with_failover(self, request: Callable[[Provider], T]) -> T:
        """`request` of the provider in use, then of the others. Raises the last ProviderFault, or WrongChain."""
        fault = ProviderFault("no provider was tried")
        for _ in range(TRIES):
            provider = self.current()
            try:
                return request(provider)
            except ProviderFault as error:
                fault = error
                self.rotate(provider)
        raise fault

    def current(self) -> Provider:
        """The provider in use, its chain id checked. Raises WrongChain where none serves the configured chain."""
        for _ in self._all:
            with self._lock:
                provider = self._all[self._current]
            if self._serves_chain(provider):
                return provider
            self.rotate(provider)
        if len(self._wrong_chain) == len(self._all):
            raise WrongChain(f"no provider of the pool serves chain {self._chain_id}")
        raise ProviderFault("no provider answers")

    def rotate(self, from_provider: Provider) -> None:
        """Use the next provider."""
        with self._lock:
            # Of several threads that saw one provider fail, only the first moves on: else they would skip the next.
            if self._all[self._current] is from_provider:
                self._current = (self._current + 1) % len(self._all)

    def second(self, first: Provider) -> Provider | None:
        """A provider other than `first` that serves the configured chain; None where there is none."""
        return next((one for one in self._all if one is not first and self._serves_chain(one)), None)

    def _serves_chain(self, provider: Provider) -> bool:
        """Whether its chain id is the configured one; asked until it answers once, then remembered."""
        if provider.name in self._right_chain:
            return True
        if provider.name in self._wrong_chain:
            return False
        try:
            chain_id = quantity(provider.call("eth_chainId"))
        except (ProviderFault, TypeError, ValueError):
            return False
        with self._lock:
            (self._right_chain if chain_id == self._chain_id else self._wrong_chain).add(provider.name)
        return chain_id == self._chain_id
