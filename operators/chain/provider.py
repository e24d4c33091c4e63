"""One JSON-RPC endpoint: batches over HTTP.

Wire format: JSON-RPC 2.0 (https://www.jsonrpc.org/specification), methods of the Ethereum execution API.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from http import HTTPStatus
from typing import Any

import httpx
import msgspec

from operators.chain.faults import BatchTooLarge, ProviderFault, classify
from traceplane_sdk.secrecy import of_url, redact

Json = Any
Call = tuple[str, list[Json]]
"""Method and parameters."""

_MESSAGE_LIMIT = 200
"""Characters of a provider's own words that a fault quotes."""


class Provider:
    """Thread-safe. `name` stands for it in messages, since `url` may hold a key; `max_bytes` bounds a response."""

    def __init__(self, name: str, url: str, http: httpx.Client, max_bytes: int) -> None:
        self.name = name
        self._url = url
        self._secrets = of_url(url)
        self._http = http
        self._max_bytes = max_bytes
        self._ids = itertools.count(1)
        self.block_receipts = True
        """Whether it has eth_getBlockReceipts; set to False once it answers that it has not."""

    def call(self, method: str, *params: Json) -> Json:
        """The result of one call. Raises ProviderFault."""
        return self.batch([(method, list(params))])[0]

    def batch(self, calls: Sequence[Call]) -> list[Json]:
        """Results in the order of `calls`; a batch that is too large is split. Raises ProviderFault."""
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
        # Servers may answer a batch in any order: only the id says which call an entry is for.
        entries = [entry for entry in answer if isinstance(entry, dict) and isinstance(entry.get("id"), int)]
        by_id = {entry["id"]: entry for entry in entries}
        return [self._result(by_id.get(number)) for number in ids]

    def _post(self, content: bytes) -> Json:
        try:
            with self._http.stream(
                "POST", self._url, content=content, headers={"Content-Type": "application/json"}
            ) as response:
                return self._decoded(response.status_code, self._read(response))
        except (httpx.HTTPError, httpx.InvalidURL, UnicodeError) as error:
            kind = type(error).__name__
        # Raised outside the handler: the original quotes parts of the URL, which a traceback would show as context.
        raise ProviderFault(f"{self.name}: {kind}")

    def _read(self, response: httpx.Response) -> bytes:
        data = bytearray()
        for chunk in response.iter_bytes():
            data += chunk
            # Checked piece by piece: neither Content-Length nor the provider's goodwill bounds what arrives.
            if len(data) > self._max_bytes:
                raise BatchTooLarge(f"{self.name}: the answer exceeds {self._max_bytes} bytes")
        return bytes(data)

    def _decoded(self, status: int, data: bytes) -> Json:
        if status >= HTTPStatus.BAD_REQUEST:
            raise classify(status)(f"{self.name}: HTTP {status}")
        try:
            return msgspec.json.decode(data)
        except msgspec.DecodeError as error:
            raise ProviderFault(f"{self.name}: the answer is no JSON") from error

    def _result(self, entry: Json) -> Json:
        if entry is None:
            raise ProviderFault(f"{self.name}: a call of the batch was not answered")
        if entry.get("error") is not None:
            raise self._fault(entry["error"])
        return entry.get("result")

    def _fault(self, error: Json) -> ProviderFault:
        code = error.get("code") if isinstance(error, dict) else None
        message = str(error.get("message", "")) if isinstance(error, dict) else "no reason given"
        # A provider may repeat the key it was called with. Redacted before it is cut: half a key is a secret too.
        message = redact(message, self._secrets)[:_MESSAGE_LIMIT]
        return classify(HTTPStatus.OK, code)(f"{self.name}: JSON-RPC error {code}: {message}")
