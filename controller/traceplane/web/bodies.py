"""Reading request bodies: bounded while they arrive, their type checked, decoded and validated in one step."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Any

import msgspec
from starlette.requests import ClientDisconnect, Request

from traceplane.errors import Refused, TooLarge


@dataclass(frozen=True, slots=True)
class Bodies:
    """How one API reads bodies: at most `max_bytes`; the codes are those that its callers know."""

    max_bytes: int
    invalid: str
    too_large: str

    def reader(self, kind: type[Any]) -> Callable[[Request], Awaitable[Any]]:
        """Reads bodies of `kind`. Raises TooLarge, or Refused naming the wrong field."""
        decoder = msgspec.json.Decoder(kind)  # made once for each route: building one costs more than using it

        async def read(request: Request) -> Any:
            content_type = request.headers.get("content-type", "").partition(";")[0].strip().lower()
            if content_type != "application/json":
                raise Refused("send the body as Content-Type: application/json", code="UnsupportedMediaType")
            raw = await self._bounded(request)
            try:
                return decoder.decode(raw)
            except (msgspec.DecodeError, UnicodeDecodeError) as error:  # the first includes its ValidationError
                raise Refused(f"body: {error}", code=self.invalid) from error

        return read

    async def _bounded(self, request: Request) -> bytes:
        """The raw body; one that is too large is refused before it is in memory."""
        declared = request.headers.get("content-length", "")
        # second guard: what arrives is counted below; this one spares the reading.
        if declared.isdigit() and int(declared) > self.max_bytes:
            raise self._too_large()
        chunks: list[bytes] = []
        size = 0
        try:
            # The declared length is only a claim, and a chunked body declares none: what arrives is counted.
            async for chunk in request.stream():
                size += len(chunk)
                if size > self.max_bytes:
                    raise self._too_large()
                chunks.append(chunk)
        except ClientDisconnect:
            raise Refused("the client disconnected while it sent its request", code="ClientDisconnected") from None
        return chunks[0] if len(chunks) == 1 else b"".join(chunks)

    def _too_large(self) -> TooLarge:
        return TooLarge(f"body: at most {self.max_bytes} bytes; send less at once", code=self.too_large)
