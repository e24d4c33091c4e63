"""An answer's headers fit what proxies hold of them, whatever was read."""

from __future__ import annotations

from dataclasses import replace
from uuid import UUID

import pytest

from traceplane.query.api import responses
from traceplane.query.broker.query import Answer
from traceplane.query.relations import pins

PROXY_PAGE = 4 * 1024
"""All headers of an answer that nginx holds by default."""
OF_OTHERS = 512
"""Room for the headers that the server and the proxy add."""
LARGEST = Answer([("c", "BIGINT")], b"", 2**63, False, 2**63, [], as_of="x" * pins.MAX_TOKEN)
QUERY = UUID(int=0)


@pytest.mark.parametrize("form", ["csv", "arrow", "parquet"])
@pytest.mark.parametrize("size", [10, responses.MAX_AS_OF_HEADER, responses.MAX_AS_OF_HEADER + 1, pins.MAX_TOKEN])
def test_a_long_token_is_no_header(form: str, size: int) -> None:
    answer = responses.answered(QUERY, form, replace(LARGEST, as_of="x" * size), 1e9)
    lines = sum(len(name) + len(value) + len(b": \r\n") for name, value in answer.raw_headers)
    assert lines + OF_OTHERS <= PROXY_PAGE
    assert ("x-trace-as-of" in answer.headers) == (size <= responses.MAX_AS_OF_HEADER)
    assert answer.headers["x-trace-query-id"] == str(QUERY)  # by which GET /v1/queries/{id} has the token


def test_in_json_the_token_stands_in_the_body() -> None:
    answer = responses.answered(QUERY, "json", LARGEST, 1.0)
    assert b"x" * pins.MAX_TOKEN in bytes(answer.body)
