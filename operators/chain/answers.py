"""From an HTTP answer that is no result to a fault with the provider's own words. Pure.

Providers put their reason in a JSON-RPC error object (JSON-RPC 2.0, 5.1), in one without the frame, in a list of
them, or in plain text, and the time to stay away in a header or in a field of their own. Everything that is quoted
is cut, and redacted before it is cut: half a key is a secret too.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from datetime import UTC, datetime
from email.utils import parsedate_to_datetime
from http import HTTPStatus
from typing import Any

import msgspec

from operators.chain.faults import Kind, ProviderFault, classify
from traceplane_sdk.secrecy import redact

Json = Any

_QUOTED = 200
"""Characters of a provider's own words that a fault quotes."""
_LOOKED_AT = 2_000
"""Characters of a message that the table of faults looks at."""
MAX_RETRY_AFTER = 300.0
"""Seconds: a provider that asks for more is asked again earlier, which costs one request."""
_DURATION = re.compile(r"^\s*(\d{1,9}(?:\.\d{1,9})?)\s*(ms|s|sec|seconds?|m|min|minutes?)?\s*$")
_IN_WORDS = re.compile(r"(?:retry|again) (?:in|after) (\d{1,9}(?:\.\d{1,9})?\s*(?:ms|s|m)?)\b", re.IGNORECASE)
_REMEDY = {
    Kind.MOVED: "the provider is not at this address: correct the Secret of the rpcPool",
    Kind.NOT_AUTHORISED: "the provider does not accept this key",
}
"""What is said where a provider gives no words of its own."""


def refusal(
    status: int,
    headers: Mapping[str, str],
    error: Json,
    *,
    provider: str,
    methods: Collection[str],
    array: bool,
    secrets: Collection[str],
) -> ProviderFault:
    """The fault of an answer. `error`: a JSON-RPC error object, or whatever stands in its place.

    `methods`: what was requested. `array`: the answer refuses an array of several calls as a whole.
    """
    code = error.get("code") if isinstance(error, dict) else None
    words = redact(_words(error), secrets)[:_LOOKED_AT]
    kind = classify(status, code, words, methods, array=array)
    said = [f"HTTP {status}"] if status != HTTPStatus.OK else []
    if isinstance(code, int):
        said.append(f"JSON-RPC error {code}")
    return ProviderFault(
        " ".join(words[:_QUOTED].split()) or _REMEDY.get(kind, "no reason given"),
        kind,
        provider=provider,
        said=", ".join(said),
        retry_after=retry_after(headers, error, words),
    )


def error_of(answer: Json) -> Json:
    """What stands in the place of an error: in a JSON-RPC object, the first of a list, or an object of its own."""
    if isinstance(answer, list):
        found = (entry["error"] for entry in answer if isinstance(entry, dict) and entry.get("error"))
        return next(found, None)
    if isinstance(answer, dict):
        return answer.get("error") or answer
    return answer


def says_no_block(error: Json) -> bool:
    """Whether the error means that a height has no block, as null does: Filecoin's null rounds.

    filecoin-project/lotus#10909 and #13694, blockscout/blockscout#8803.
    """
    return isinstance(error, dict) and "was a null round" in str(error.get("message"))


def decoded_error(content: bytes) -> Json:
    """The error in the body of an HTTP error: JSON's, or the plain text; nothing of an HTML page."""
    try:
        return error_of(msgspec.json.decode(content))
    except (msgspec.DecodeError, RecursionError):
        text = content.decode("utf-8", "replace")
    if text.lstrip().startswith("<"):  # whatever its type is said to be: gateways call plain text a page, too
        return "an HTML page"
    return "".join(c if c.isprintable() else " " for c in text)


def retry_after(headers: Mapping[str, str], error: Json = None, words: str = "") -> float | None:
    """Seconds until the provider wants to be asked again, at most MAX_RETRY_AFTER; None where it does not say.

    RFC 9110, 10.2.3 (seconds or a date); Infura's `data.backoff_seconds`, also below `rate`; Chainstack's
    `data.try_again_in`; and "retry in 10s" in the message itself.
    """
    data = error.get("data") if isinstance(error, dict) else None
    places = [data, data.get("rate")] if isinstance(data, dict) else []
    own = [
        place[name]
        for place in places
        if isinstance(place, dict)
        for name in ("backoff_seconds", "try_again_in", "retry_after")
        if name in place
    ]
    in_words = _IN_WORDS.search(words)
    candidates = (_header(headers), *own, in_words[1] if in_words else None)
    found = next((seconds for one in candidates if (seconds := _seconds(one)) is not None), None)
    return None if found is None else min(max(found, 0.0), MAX_RETRY_AFTER)


def _header(headers: Mapping[str, str]) -> str | float | None:
    value = headers.get("retry-after")
    if value is None or _DURATION.match(value):
        return value
    try:
        date = parsedate_to_datetime(value)
    except (ValueError, OverflowError):
        return None
    return (date if date.tzinfo else date.replace(tzinfo=UTC)).timestamp() - datetime.now(UTC).timestamp()


def _seconds(value: Json) -> float | None:
    if isinstance(value, (int, float)) and not isinstance(value, bool):
        return float(value)
    match = _DURATION.match(value) if isinstance(value, str) else None
    if match is None:
        return None
    unit = match[2] or "s"
    return float(match[1]) * (0.001 if unit == "ms" else 60 if unit.startswith("m") else 1)


def _words(error: Json) -> str:
    if isinstance(error, dict):
        message, data = error.get("message"), error.get("data")
        # Some say it all in `data`, and "Invalid request" in the message.
        return " ".join(str(part) for part in (message, data) if isinstance(part, str) and part)
    return error if isinstance(error, str) else ""
