"""Batched JSON-RPC over HTTP, from several providers.

Wire format: JSON-RPC 2.0 (https://www.jsonrpc.org/specification), methods of the Ethereum execution API. A batch
is answered in any order, so answers are matched by id. What a provider may do wrong is said by class:
`ProviderFault` (ask another one), `BatchTooLarge` (split and ask again). Provider URLs hold keys: they appear in
no message; providers are told apart by their position.
"""

from __future__ import annotations

import itertools
import threading
from collections.abc import Sequence
from typing import Any

import httpx
import msgspec

from traceplane_sdk.secrecy import blot, of_url

Json = Any
Call = tuple[str, list[Json]]
"""Method and parameters."""

METHOD_NOT_FOUND = -32601
_LIMIT_CODES = frozenset({-32005, -32003, -32011})
"""EIP-1474 limit exceeded, and what common providers answer to a batch or answer that is too large."""


class ProviderFault(Exception):
    """A provider did not answer, or answered something unusable. Another one, or the same one later, may do."""


class BatchTooLarge(ProviderFault):
    """The provider or our own bound refuses the size of this batch."""


class MethodMissing(ProviderFault):
    """The provider does not have a method."""


class Provider:
    """One JSON-RPC endpoint. Thread-safe. `max_bytes` bounds a response."""

    def __init__(self, name: str, url: str, http: httpx.Client, max_bytes: int) -> None:
        self.name = name
        self._url = url
        self._secrets = of_url(url)
        self._http = http
        self._max_bytes = max_bytes
        self._ids = itertools.count(1)
        self.block_receipts = True
        """Whether the provider has eth_getBlockReceipts; learned when it says otherwise."""

    def call(self, method: str, *params: Json) -> Json:
        """One call's result."""
        return self.batch([(method, list(params))])[0]

    def batch(self, calls: Sequence[Call]) -> list[Json]:
        """Results in the order of `calls`; splits the batch where it is too large. Raises ProviderFault."""
        if not calls:
            return []
        try:
            return self._batch(calls)
        except BatchTooLarge:
            if len(calls) == 1:
                raise
            half = len(calls) // 2
            return self.batch(calls[:half]) + self.batch(calls[half:])

    def _batch(self, calls: Sequence[Call]) -> list[Json]:
        ids = [next(self._ids) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        answer = self._post(msgspec.json.encode(body))
        if isinstance(answer, dict):  # a batch refused as a whole is answered by one object
            raise self._fault(answer.get("error"))
        if not isinstance(answer, list):
            raise ProviderFault(f"{self.name}: the answer to a batch is no list")
        by_id = {entry.get("id"): entry for entry in answer if isinstance(entry, dict)}
        return [self._result(by_id.get(number)) for number in ids]

    def _post(self, content: bytes) -> Json:
        try:
            with self._http.stream(
                "POST", self._url, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                data = self._read(response)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            fault = ProviderFault(f"{self.name}: {type(error).__name__}")  # the original quotes parts of the URL
        else:
            return self._read_json(response, data)
        raise fault

    def _read_json(self, response: httpx.Response, data: bytes) -> Json:
        if response.status_code == 413:
            raise BatchTooLarge(f"{self.name}: HTTP 413")
        if response.is_error:
            raise ProviderFault(f"{self.name}: HTTP {response.status_code}")
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise ProviderFault(f"{self.name}: the answer is no JSON") from error

    def _read(self, response: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            if len(data) > self._max_bytes:
                raise BatchTooLarge(f"{self.name}: the answer exceeds {self._max_bytes} bytes")
        return bytes(data)

    def _result(self, entry: Json) -> Json:
        if entry is None:
            raise ProviderFault(f"{self.name}: a call of the batch was not answered")
        if entry.get("error") is not None:
            raise self._fault(entry["error"])
        return entry.get("result")

    def _fault(self, error: Json) -> ProviderFault:
        code = error.get("code") if isinstance(error, dict) else None
        message = str(error.get("message", "")) if isinstance(error, dict) else "no reason given"
        message = blot(message, self._secrets)[:200]  # a provider may repeat the key it was asked with
        kind = (
            MethodMissing if code == METHOD_NOT_FOUND else BatchTooLarge if code in _LIMIT_CODES else ProviderFault
        )
        return kind(f"{self.name}: JSON-RPC error {code}: {message}")


class WrongChain(Exception):
    """Every provider serves another chain than the one configured."""


class Providers:
    """The providers of a pool: one is asked until it fails, then the next. Thread-safe."""

    def __init__(
        self, urls: Sequence[str], chain_id: int, *, timeout: float, max_bytes: int, connections: int
    ) -> None:
        self._http = httpx.Client(
            timeout=timeout, limits=httpx.Limits(max_connections=connections, max_keepalive_connections=connections)
        )
        self._chain_id = chain_id
        self._all = [Provider(f"provider {n}", url, self._http, max_bytes) for n, url in enumerate(urls)]
        self._checked: set[str] = set()
        self._wrong: set[str] = set()
        self._current = 0
        self._lock = threading.Lock()

    def close(self) -> None:
        """Drop the connections."""
        self._http.close()

    def current(self) -> Provider:
        """The provider in use, its chain id checked. Raises WrongChain where none serves our chain."""
        for _ in self._all:
            with self._lock:
                provider = self._all[self._current]
            if provider.name in self._checked or self._serves_our_chain(provider):
                return provider
            self.rotate(provider)
        if len(self._wrong) == len(self._all):
            raise WrongChain(f"no provider of the pool serves chain {self._chain_id}")
        raise ProviderFault("no provider answers")

    def rotate(self, from_provider: Provider) -> None:
        """Use the next provider, unless another thread has already turned away from this one."""
        with self._lock:
            if self._all[self._current] is from_provider:
                self._current = (self._current + 1) % len(self._all)

    def second(self, first: Provider) -> Provider | None:
        """Another provider of our chain that answers, to confirm what `first` said; None where there is none."""
        for provider in self._all:
            if provider is not first and (provider.name in self._checked or self._serves_our_chain(provider)):
                return provider
        return None

    def _serves_our_chain(self, provider: Provider) -> bool:
        if provider.name in self._wrong:
            return False
        try:
            answer = provider.call("eth_chainId")
            chain_id = int(answer, 16)
        except (ProviderFault, TypeError, ValueError):
            return False
        with self._lock:
            (self._checked if chain_id == self._chain_id else self._wrong).add(provider.name)
        return chain_id == self._chain_id
