"""The URLs of an rpcPool while a run lasts: read again and again, since the mounted Secret changes by itself."""

from __future__ import annotations

import time
from collections.abc import Sequence

from operators.chain.pool import ProviderPool
from operators.chain.subscribe import SCHEMES, HeadSubscription, requested
from traceplane_sdk.context import Context
from traceplane_sdk.errors import OperatorError

URLS_SECONDS = 30.0
"""How often the URLs of the pool are read again while all goes well."""


class Urls:
    """Keeps `pool` and a subscription to heads at what the Secret says, from `urls` on."""

    def __init__(self, ctx: Context, pool: ProviderPool, urls: Sequence[str]) -> None:
        self._ctx, self._pool = ctx, pool
        self._read_at = time.monotonic()
        self._refused = ""
        self._announcing: list[str] = []
        self._heads = HeadSubscription((), ctx.control.wake, ctx.log)
        self._subscribe(urls)

    def close(self) -> None:
        """End the subscription."""
        self._heads.close()

    def read(self, every: float = URLS_SECONDS) -> bool:
        """Take up what changed, and return whether something did. A Secret of no use leaves all as it is."""
        if time.monotonic() - self._read_at < every:
            return False
        self._read_at = time.monotonic()
        try:
            urls = self._ctx.io.rpc_urls(self._ctx.config.rpc_pool)
        except OperatorError as error:
            if error.message != self._refused:
                self._ctx.log("the provider URLs cannot be read again", level="warning", error=error.message)
            self._refused = error.message
            return False
        self._refused = ""
        changed = self._pool.use(requested(urls))
        self._subscribe(urls)
        if changed:
            self._ctx.log("the providers of the pool have changed")
        return changed

    def _subscribe(self, urls: Sequence[str]) -> None:
        announcing = [url for url in urls if url.startswith(SCHEMES)]
        if announcing != self._announcing:
            self._heads.close()
            self._announcing = announcing
            self._heads = HeadSubscription(announcing, self._ctx.control.wake, self._ctx.log)
