"""Reading request bodies: bounded while they arrive, decoded and checked in one step."""

from __future__ import annotations

from typing import TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from traceplane.errors import Refused, TooLarge
from traceplane.taskapi.problems import UnsupportedMediaType
from traceplane_sdk.wire import MAX_BODY_BYTES

Body = TypeVar("Body")


async def read(request: Request, decoder: msgspec.json.Decoder[Body]) -> Body:
    """The request's body. Raises TooLarge, UnsupportedMediaType, or Refused naming the wrong field."""
    kind = request.headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != "application/json":
        raise UnsupportedMediaType("send the body as application/json")
    try:
        return decoder.decode(await _bounded(request))
    except msgspec.ValidationError as error:
        raise Refused(f"body: {error}", code="InvalidBody") from error
    except msgspec.DecodeError as error:
        raise Refused("body: not JSON", code="InvalidBody") from error
    except ClientDisconnect as error:
        raise Refused("the client left before its request was read", code="InvalidBody") from error


async def _bounded(request: Request) -> bytes:
    """The raw body; what is too large is refused before it is in memory."""
    declared = request.headers.get("content-length", "")
    if declared.isdigit() and int(declared) > MAX_BODY_BYTES:
        raise _too_large()
    chunks: list[bytes] = []
    size = 0
    async for chunk in request.stream():
        size += len(chunk)
        if size > MAX_BODY_BYTES:
            raise _too_large()
        chunks.append(chunk)
    return chunks[0] if len(chunks) == 1 else b"".join(chunks)


def _too_large() -> TooLarge:
    return TooLarge(f"body: at most {MAX_BODY_BYTES} bytes; send fewer items at once", code="BodyTooLarge")
