"""Keeps the secrets that were lent to a run out of its errors and log lines.

A run gets secrets: the DSN of the data database, provider URLs that carry keys. Its errors and log lines leave
the process and are shown to people who may not know them. The SDK quotes neither, but an operator's exception may
quote whatever its libraries quoted, and a provider may repeat the key it was called with. So the runner remembers
which secrets it lent and redacts every text on its way out.

A net, not the rule: it knows secrets whole, not in fragments, and leaves short words alone, since redacting them
would take half of a sentence. Code that handles a secret must still refer to it by a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any
from urllib.parse import quote, unquote, urlsplit

from traceplane_sdk.context import Report, TaskIO
from traceplane_sdk.dsn import BadDsn, parameters

REDACTED = "[secret]"
_SHORTEST = 6
"""Passwords and query values below this length are words of the language more often than secrets."""
_SHORTEST_SEGMENT = 12
"""So are shorter segments of a path: `mainnet`, `v2`, `ext`."""


class RunSecrets:
    """The secrets of one run. Grows by what the run asks for, which is bounded by how often they rotate."""

    def __init__(self) -> None:
        self._secrets: set[str] = set()

    def guard(self, io: TaskIO) -> TaskIO:
        """`io`, with what it lends remembered and what it logs redacted."""

        def data_dsn() -> str:
            dsn = io.data_dsn()
            self._secrets |= of_dsn(dsn)
            return dsn

        def rpc_urls(pool: str) -> Sequence[str]:
            urls = io.rpc_urls(pool)  # anew each time, as the DSN: a rotated secret is a new one to hide
            self._secrets.update(*map(of_url, urls))
            return urls

        def log(event: str, fields: Mapping[str, Any]) -> None:
            io.log(event, self.redacted(fields))

        def report(given: Report) -> None:
            io.report(replace(given, message=self.redacted(given.message)))

        return replace(io, data_dsn=data_dsn, rpc_urls=rpc_urls, log=log, report=report)

    def redacted(self, value: Any) -> Any:
        """`value` with every secret in its texts replaced, through mappings and sequences."""
        if isinstance(value, str):
            return redact(value, self._secrets)
        if isinstance(value, Mapping):
            return {key: self.redacted(entry) for key, entry in value.items()}
        if isinstance(value, (list, tuple)):
            return [self.redacted(entry) for entry in value]
        return value


def redact(text: str, secrets: Collection[str]) -> str:
    """`text` with each of `secrets` replaced."""
    if not secrets:
        return text
    # A secret that holds another must go first, or its remainder would stay.
    longest_first = sorted(secrets, key=lambda secret: (-len(secret), secret))
    return re.sub("|".join(map(re.escape, longest_first)), REDACTED, text)


def of_dsn(dsn: str) -> set[str]:
    """What must not be shown of a DSN: all of it, and its password in either spelling."""
    try:
        password = str(parameters(dsn).get("password") or "")
    except BadDsn:
        password = ""
    return {dsn} | _spellings(password)


def of_url(url: str) -> set[str]:
    """What must not be shown of a provider's URL: everything but scheme, host and port."""
    found = {url}
    try:
        parts = urlsplit(url)
        user = [parts.username or "", parts.password or ""]
    except ValueError:
        return found
    values = [pair.partition("=")[2] or pair for pair in parts.query.split("&")]
    found |= {secret for text in (*user, *values) for secret in _spellings(text)}
    found |= {secret for segment in parts.path.split("/") for secret in _spellings(segment, _SHORTEST_SEGMENT)}
    return found


def _spellings(text: str, shortest: int = _SHORTEST) -> set[str]:
    """`text` as written and percent-decoded and -encoded; nothing where it is too short."""
    return {text, unquote(text), quote(unquote(text), safe="")} if len(text) >= shortest else set()
