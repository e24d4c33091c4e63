"""What the query service is asked: bodies, bounded and decoded."""

from __future__ import annotations

from typing import Annotated, TypeVar

import msgspec
from starlette.requests import ClientDisconnect, Request

from traceplane.errors import Refused, TooLarge
from traceplane.query.broker.query import FORMATS
from traceplane_sdk.wire import Fence

MAX_BODY_BYTES = 256 * 1024
NAMESPACE_HEADER = "X-Trace-Namespace"

_Form = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(FORMATS)})$")]
_Namespace = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class Asked(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What both routes take.

    `overflow` says what becomes of an answer beyond the inline bounds: a Parquet file in the bucket (`export`), or
    its first rows (`truncate`). `as_of` is the token of an earlier answer. Without `namespace` the header
    `X-Trace-Namespace` or the service's own namespace counts.
    """

    sql: str
    format: _Form = "json"
    mode: Annotated[str, msgspec.Meta(pattern="^interactive$")] = "interactive"
    overflow: Annotated[str, msgspec.Meta(pattern="^(export|truncate)$")] = "export"
    timeout_seconds: _Seconds | None = None
    as_of: str | None = None
    namespace: _Namespace | None = None


class QueryRequest(Asked, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/query`. In mode `batch` the query is left to be run, and its answer is a Parquet file
    whatever `format` says."""

    mode: Annotated[str, msgspec.Meta(pattern="^(interactive|batch)$")] = "interactive"


class TaskQueryRequest(Asked, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/task/query`."""

    fence: Fence


Body = TypeVar("Body", bound=Asked)


def namespace_of(request: Request, asked: Asked) -> str | None:
    """The namespace that a request names, in its body or in the header. Raises Refused."""
    if asked.namespace is not None:
        return asked.namespace
    try:
        return msgspec.convert(request.headers.get(NAMESPACE_HEADER), _Namespace | None)
    except msgspec.ValidationError as error:
        raise Refused(f"the header {NAMESPACE_HEADER} names no namespace: {error}", code="InvalidRequest") from None


async def decoded(request: Request, kind: type[Body]) -> Body:
    """The body of a request. Raises TooLarge and Refused."""
    body = bytearray()
    try:
        async for piece in request.stream():
            body += piece
            if len(body) > MAX_BODY_BYTES:
                raise TooLarge(f"the body is larger than {MAX_BODY_BYTES} bytes")
    except ClientDisconnect:
        raise Refused("the client left before its request was complete") from None
    try:
        return msgspec.json.decode(bytes(body), type=kind)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise Refused(f"the body is not a query: {error}", code="InvalidRequest") from None
