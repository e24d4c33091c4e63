"""Answers over HTTP: self-describing in JSON, rows with headers in the other formats.

An exported answer has no rows here but an `output`: where the Parquet file lies and a URL to fetch it. It is JSON
whatever the requested format; where that is Parquet it is a redirect to the file as well (303, RFC 9110).
"""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, datetime, timedelta
from typing import Any
from uuid import UUID

import orjson
from starlette.responses import Response

from traceplane.query.attach.batch_queries import BatchQuery
from traceplane.query.broker.query import Answer
from traceplane.query.files.bucket import Output

MAX_AS_OF_HEADER = 3 * 1024
"""Of all headers of an answer a proxy may hold no more than a page of memory (nginx: 4 KiB)."""
MEDIA_TYPES = {
    "csv": "text/csv",
    "arrow": "application/vnd.apache.arrow.stream",
    "parquet": "application/vnd.apache.parquet",
}


def answered(query: UUID, form: str, answer: Answer, seconds: float) -> Response:
    """An inline answer. `seconds` is how long all of it took."""
    duration = round(seconds * 1000, 1)
    if form != "json":
        headers = {
            "X-Trace-Query-Id": str(query),
            "X-Trace-Row-Count": str(answer.rows),
            "X-Trace-Truncated": str(answer.truncated).lower(),
            "X-Trace-Duration-Ms": str(duration),
            "X-Trace-Bytes-Scanned": str(answer.bytes_scanned),
        }
        if answer.as_of and len(answer.as_of) <= MAX_AS_OF_HEADER:  # `GET /v1/queries/{id}` has a longer one
            headers["X-Trace-As-Of"] = answer.as_of
        return Response(answer.body, headers=headers, media_type=MEDIA_TYPES[form])
    head, tail = (orjson.dumps(part) for part in _described(query, answer, duration))
    return Response(head[:-1] + b',"rows":[' + answer.body + b"]," + tail[1:], media_type="application/json")


def exported(query: UUID, form: str, answer: Answer, seconds: float, output: dict[str, Any]) -> Response:
    """An answer that lies in the bucket. `output` is from `output_of`."""
    head, tail = _described(query, answer, round(seconds * 1000, 1))
    body = orjson.dumps({**head, "rows": [], **tail, "output": output})
    if form == "parquet":
        return Response(body, 303, {"Location": output["url"]}, "application/json")
    return Response(body, media_type="application/json")


def batch(query: BatchQuery, pause: int | None = None) -> Response:
    """A batch query as `shapes.BatchQuery`; for one that has not ended (202), also where to look again, and after
    `pause` seconds."""
    shown = ("id", "state", "sql_sha256", "created_at", "started_at", "ended_at")
    body = orjson.dumps({name: getattr(query, name) for name in shown})
    if pause is None:
        return Response(body, media_type="application/json")
    headers = {"Location": f"/v1/queries/{query.id}", "Retry-After": str(pause)}
    return Response(body, 202, headers, "application/json")


def known(found: Mapping[str, Any]) -> Response:
    """What is known of an answer, as `shapes.KnownAnswer`."""
    return Response(orjson.dumps(found, default=str), media_type="application/json")


def output_of(output: Output, url: str, url_seconds: float) -> dict[str, Any]:
    """Where an exported answer is fetched. `url` is good for `url_seconds`, and needs no other proof."""
    return {
        "location": output.location,
        "format": "parquet",
        "bytes": output.bytes,
        "sha256": output.sha256,
        "url": url,
        "url_expires_at": (datetime.now(UTC) + timedelta(seconds=url_seconds)).isoformat(timespec="seconds"),
    }


def _described(query: UUID, answer: Answer, duration: float) -> tuple[dict[str, Any], dict[str, Any]]:
    columns = [{"name": name, "type": kind} for name, kind in answer.columns]
    return {"query_id": str(query), "columns": columns}, {
        "row_count": answer.rows,
        "truncated": answer.truncated,
        "duration_ms": duration,
        "bytes_scanned": answer.bytes_scanned,
        "versions": answer.versions,
        "as_of": answer.as_of,
    }
