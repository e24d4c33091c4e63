"""What requests to the query service hold: the types of their bodies, and what stands outside of them."""

from __future__ import annotations

from typing import Annotated

import msgspec

from traceplane.errors import Refused
from traceplane.query.broker.query import FORMATS
from traceplane.query.gate.messages import Shape
from traceplane_sdk.columns import FORMS
from traceplane_sdk.wire import AnswerShape, Fence

MAX_BODY_BYTES = 256 * 1024
NAMESPACE_HEADER = "X-Trace-Namespace"

MAX_WAIT_SECONDS = 20.0
"""Of a request that waits for a query's end; shorter than what proxies commonly allow."""

_Form = Annotated[str, msgspec.Meta(pattern=f"^({'|'.join(FORMATS)})$")]
_Namespace = Annotated[str, msgspec.Meta(pattern="^[a-z0-9]([-a-z0-9]*[a-z0-9])?$", max_length=63)]
_Version = Annotated[str, msgspec.Meta(pattern="^(staged|v[0-9]{1,9}(-[0-9a-f]{8})?)$")]
_Seconds = Annotated[float, msgspec.Meta(gt=0)]


class QueryBody(msgspec.Struct, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """What users and tasks may say of a query.

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


class QueryRequest(QueryBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/query`. In mode `batch` the query is queued and runs later, and its answer is a
    Parquet file whatever `format` says. `version` is the version of a DAG, `staged` or `v3`, that names of assets
    mean where they name none (`"blocks@v3"`); a batch query takes it in names only."""

    version: _Version | None = None
    mode: Annotated[str, msgspec.Meta(pattern="^(interactive|batch)$")] = "interactive"


class TaskQueryRequest(QueryBody, frozen=True, forbid_unknown_fields=True, kw_only=True):
    """The body of `POST /v1/task/query`. `shape` says what becomes of a SELECT that the task's author wrote."""

    fence: Fence
    shape: AnswerShape | None = None


def namespace_of(header: str | None, body: QueryBody) -> str | None:
    """The namespace that a request names, in its body or in the header. Raises Refused."""
    if body.namespace is not None:
        return body.namespace
    try:
        return msgspec.convert(header, _Namespace | None)
    except msgspec.ValidationError as error:
        raise Refused(f"the header {NAMESPACE_HEADER} names no namespace: {error}", code="InvalidRequest") from None


def shape_of(asked: AnswerShape) -> Shape:
    """What a task asks of its answer, as the gate takes it."""
    return Shape(
        parameters=tuple(asked.parameters.items()),
        columns=tuple((column.name, FORMS[column.type].duckdb_at_rest) for column in asked.columns),
        order=tuple(asked.sort_by),
    )


def wait_of(text: str | None) -> float:
    """Seconds that `?wait=` asks for. Raises Refused."""
    if text is None:
        return 0.0
    try:
        seconds = float(text)
    except ValueError:
        seconds = -1.0
    if not 0 <= seconds <= MAX_WAIT_SECONDS:
        raise Refused(f"wait: seconds, from 0 to {MAX_WAIT_SECONDS:g}")
    return seconds
