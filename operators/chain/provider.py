"""One JSON-RPC endpoint: batches over HTTP, as large and as fast as this provider takes them.

Wire format: JSON-RPC 2.0 (https://www.jsonrpc.org/specification), methods of the Ethereum execution API. One call
goes as a single object: a provider that takes no arrays works from its first question on.
"""

from __future__ import annotations

import itertools
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from operators.chain.answers import decoded_error, error_of, refusal, says_no_block
from operators.chain.faults import Kind, ProviderFault
from operators.chain.pace import Pace
from operators.chain.sizes import BatchSize
from traceplane_sdk.secrecy import of_url

Json = Any
Call = tuple[str, list[Json]]
"""Method and parameters."""

_SPLITS = frozenset({Kind.BATCHES_NOT_TAKEN, Kind.BATCH_TOO_LARGE, Kind.RESPONSE_TOO_LARGE})
"""Kinds that fewer calls in one request help against."""
_ERROR_BYTES = 64 * 1024
"""Of the body of an HTTP error: more would not be quoted."""
MISSING_SECONDS = 600.0
"""How long a method counts as missing; then it is tried again, since providers are updated and plans change."""


class Provider:
    """Thread-safe. `name` stands for it in messages, since `url` may hold a key; `max_bytes` bounds a response.

    `wait` holds a request back for the seconds that this provider's pace asks for.
    """

    def __init__(
        self,
        name: str,
        url: str,
        http: httpx.Client,
        max_bytes: int,
        *,
        clock: Callable[[], float] = time.monotonic,
        wait: Callable[[float], None] = time.sleep,
    ) -> None:
        self.name = name
        self.url = url
        self.size = BatchSize()
        self.pace = Pace(clock)
        self.latency: float | None = None
        """Seconds of an HTTP request, smoothed over about ten of them."""
        self._secrets = of_url(url)
        self._http = http
        self._max_bytes = max_bytes
        self._clock, self._wait = clock, wait
        self._ids = itertools.count(1)
        self._lock = threading.Lock()
        self._no_block_receipts_until = float("-inf")

    @property
    def block_receipts(self) -> bool:
        """Whether to try eth_getBlockReceipts; not for a while after it answered that it has not."""
        return self._clock() >= self._no_block_receipts_until

    def lacks_block_receipts(self) -> None:
        """Take receipts one by one for a while."""
        self._no_block_receipts_until = self._clock() + MISSING_SECONDS

    def call(self, method: str, *params: Json) -> Json:
        """The result of one call. Raises ProviderFault."""
        return self.batch([(method, list(params))])[0]

    def batch(self, calls: Sequence[Call]) -> list[Json]:
        """Results in the order of `calls`, in as many requests as the provider's size asks for. Raises
        ProviderFault.
        """
        results: list[Json] = []
        while len(results) < len(calls):
            rest = len(calls) - len(results)
            results += self._halving(calls[len(results) : len(results) + self.size.next(rest)])
        return results

    def _halving(self, calls: Sequence[Call]) -> list[Json]:
        """The results of `calls`, or of fewer of them from the first on, where so many are refused."""
        try:
            results = self._request(calls)
        except ProviderFault as fault:
            if fault.kind not in _SPLITS or len(calls) == 1:
                raise
            fewer = 1 if fault.kind is Kind.BATCHES_NOT_TAKEN else (len(calls) + 1) // 2
        else:
            self.size.passed(len(calls))
            return results
        results = self._halving(calls[:fewer])
        self.size.shrunk(len(calls), len(results))
        return results

    def _request(self, calls: Sequence[Call]) -> list[Json]:
        ids = [next(self._ids) for _ in calls]
        body = [
            {"jsonrpc": "2.0", "id": number, "method": method, "params": params}
            for number, (method, params) in zip(ids, calls, strict=True)
        ]
        methods = [method for method, _ in calls]
        array = len(body) > 1
        answer = self._post(msgspec.json.encode(body if array else body[0]), methods, array)
        if not array and isinstance(answer, dict):
            return [self._result(answer, methods)]  # the id needs no look: there was one call on this connection
        if isinstance(answer, dict):
            raise self._not_all(answer, methods)
        if not isinstance(answer, list):
            raise self._malformed("the answer is neither an object nor a list")
        # Servers may answer a batch in any order: only the id says which call an entry is for.
        entries = [entry for entry in answer if isinstance(entry, dict)]
        by_id = {entry["id"]: entry for entry in entries if isinstance(entry.get("id"), int)}
        if array and not by_id.keys() & set(ids) and error_of(answer) is not None:
            raise self._refused(HTTPStatus.OK, {}, error_of(answer), methods, array)  # a refusal within a list
        if any(number not in by_id for number in ids):
            # Some servers leave out what is beyond their limit: ethereum/go-ethereum#1537.
            kind = Kind.BATCH_TOO_LARGE if array else Kind.MALFORMED
            raise ProviderFault("a call of the batch was not answered", kind, provider=self.name)
        return [self._result(by_id[number], [method]) for number, method in zip(ids, methods, strict=True)]

    def _not_all(self, answer: dict[str, Json], methods: Sequence[str]) -> ProviderFault:
        """The fault of one object for several calls: a refusal of them all, or the answer of one."""
        if answer.get("error") is None and "result" in answer:
            return ProviderFault("an array is answered by one object", Kind.BATCHES_NOT_TAKEN, provider=self.name)
        return self._refused(HTTPStatus.OK, {}, error_of(answer), methods, array=True)

    def _post(self, content: bytes, methods: Sequence[str], array: bool) -> Json:
        if (seconds := self.pace.reserve()) > 0:
            self._wait(seconds)
        began = self._clock()
        reason = ""
        try:
            with self._http.stream(
                "POST", self.url, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                if response.status_code >= HTTPStatus.MULTIPLE_CHOICES:
                    raise self._http_error(response, began, methods, array)
                data = self._read(response, began)
        except httpx.ReadTimeout:
            reason = "no answer in time"
            if array:  # slow rather than away: ask for less the next time
                self.size.shrunk(len(methods), (len(methods) + 1) // 2)
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            reason = type(error).__name__
        else:
            self._answered(began)
            return self._decoded(data)
        # Raised outside the handler: the original quotes parts of the URL, which a traceback would show as context.
        raise ProviderFault(reason, Kind.UNREACHABLE, provider=self.name)

    def _answered(self, began: float) -> None:
        took = self._clock() - began
        with self._lock:
            self.latency = took if self.latency is None else self.latency + (took - self.latency) / 10
        self.pace.passed()

    def _chunks(self, response: httpx.Response, began: float) -> Iterator[bytes]:
        """The body in pieces. httpx bounds the wait for each; all of them together have no more time than one."""
        for chunk in response.iter_bytes():
            if self._clock() - began > (self._http.timeout.read or float("inf")):
                raise httpx.ReadTimeout("the answer comes too slowly")
            yield chunk

    def _read(self, response: httpx.Response, began: float) -> bytes:
        data = bytearray()
        for chunk in self._chunks(response, began):
            data += chunk
            # Checked piece by piece: neither Content-Length nor the provider's goodwill bounds what arrives.
            if len(data) > self._max_bytes:
                words = f"the answer exceeds {self._max_bytes} bytes: raise maxResponseMb"
                raise ProviderFault(words, Kind.RESPONSE_TOO_LARGE, provider=self.name)
        return bytes(data)

    def _http_error(
        self, response: httpx.Response, began: float, methods: Sequence[str], array: bool
    ) -> ProviderFault:
        data = bytearray()
        for chunk in self._chunks(response, began):
            data += chunk
            if len(data) > _ERROR_BYTES:
                break
        error = decoded_error(bytes(data[:_ERROR_BYTES]))
        return self._refused(response.status_code, response.headers, error, methods, array)

    def _decoded(self, data: bytes) -> Json:
        try:
            return msgspec.json.decode(data)
        except (msgspec.DecodeError, RecursionError) as error:
            raise self._malformed("the answer is no JSON") from error

    def _result(self, entry: Json, methods: Sequence[str]) -> Json:
        if entry.get("error") is None and "result" in entry:
            return entry["result"]
        if entry.get("error") is None and "message" not in entry:
            raise self._malformed("an answer has neither a result nor an error")
        if says_no_block(error_of(entry)):
            return None
        raise self._refused(HTTPStatus.OK, {}, error_of(entry), methods, array=False)

    def _malformed(self, words: str) -> ProviderFault:
        return ProviderFault(words, Kind.MALFORMED, provider=self.name)

    def _refused(
        self, status: int, headers: Any, error: Json, methods: Sequence[str], array: bool
    ) -> ProviderFault:
        fault = refusal(
            status,
            headers,
            error,
            provider=self.name,
            methods=set(methods),
            array=array,
            secrets=self._secrets,
        )
        if fault.kind is Kind.RATE_LIMITED:
            self.pace.limited()
        return fault
