"""Why cryo failed, out of what it prints. The texts are those of cryo 0.3."""

from __future__ import annotations

import json
import sys
from pathlib import Path

import httpx
import pytest

from operators.chain.faults import Kind, ProviderFault
from operators.chain.provider import Provider
from operators.cryo_ingest import child, program
from operators.cryo_ingest.config import CryoIngestConfig
from operators.cryo_ingest.extract import arguments, failure, first_block, parts, reason
from operators.cryo_ingest.program import Finished
from traceplane_sdk.control import Control
from traceplane_sdk.wire import Partition

SUMMARY = """
   done at 2026-11-30 02:19:08.168


error summary
─────────────
(errors in {chunks} chunks)
{errors}


collection summary
──────────────────
- total duration: 0.001 seconds
    - chunks errored:   1 / 1 (100.0%)
"""
MISSING = "the method trace_block does not exist/is not available"


KEY = "0123456789abcdef0123456789abcdef"


def _failure(output: str, code: int = 0) -> ProviderFault:
    with httpx.Client() as http:
        return failure(Provider("provider 0", f"https://node.example/v2/{KEY}", http, 1), Finished(code, output))


@pytest.mark.parametrize(
    ("error", "found", "kind"),
    [
        (f"Failed to get block: (code: -32601, message: {MISSING}, data: None)", MISSING, Kind.METHOD_MISSING),
        ("Failed to get block: (code: -32601, message: Not so, data: None)", "Not so", Kind.METHOD_MISSING),
        ("Failed to get block: (code: -32005, message: a, b, data: None)", "a, b", Kind.RATE_LIMITED),
        ("Collect failed: block not found", "Collect failed: block not found", Kind.NOT_THERE_YET),
        ("Failed to get block: TimeoutError", "Failed to get block: TimeoutError", Kind.REFUSED),
    ],
)
def test_an_error_of_the_summary_is_the_reason(error: str, found: str, kind: Kind) -> None:
    output = SUMMARY.format(chunks=1, errors=f"- {error} (1x)")
    said = reason(output)
    assert (said["message"] if isinstance(said, dict) else said) == found
    assert _failure(output).kind is kind


def test_of_several_errors_the_providers_own_comes_first() -> None:
    joining = "- Collect failed: error joining chunks (2x)"
    met = "- Failed to get block: (code: -32000, message: no, data: None) (1x)"
    assert reason(SUMMARY.format(chunks=3, errors=f"{joining}\n{met}")) == {"code": -32000, "message": "no"}


def test_a_panic_is_named_before_what_it_led_to() -> None:
    output = SUMMARY.format(chunks=1, errors="- Collect failed: error joining chunks (1x)")
    panic = "thread 'tokio' panicked at src/lib.rs:38:1:\nInteger overflow when casting to u64\nstack backtrace:"
    assert reason(output + panic) == "Integer overflow when casting to u64; Collect failed: error joining chunks"


def test_without_a_summary_its_last_words_are_the_reason() -> None:
    assert reason("before it\n\x1b[31mTypeError: failed\x1b[0m\n") == "TypeError: failed"
    assert reason("") == ""
    assert len(_failure("x" * 5000).words) <= 200


def test_where_cryo_cannot_connect_it_is_said(tmp_path: Path) -> None:
    config = CryoIngestConfig(chainId=1, rpcPool="local", dataset="blocks")
    called = arguments(config, Partition("0-1", 0, 1), tmp_path, "http://127.0.0.1:1")
    given = {"dataset": "blocks", "arguments": called, "counts": str(tmp_path / "counts")}
    argv = [sys.executable, "-P", child.__file__]
    finished = program.run(argv, json.dumps(given).encode(), tmp_path, 60, Control())
    assert "cryo could not open a connection, or trusts no CA of it" in str(_failure(finished.output))


def test_files_are_those_of_the_parts_counted_from_the_first_block(tmp_path) -> None:
    made = parts(Partition("95-120", 95, 120), 10)
    assert [(one.start, one.end) for one in made] == [(95, 104), (105, 114), (115, 120)]
    names = ["chain__blocks__99999995_to_100000004.parquet", "chain__blocks__00000000_to_00000000.parquet"]
    assert [first_block(tmp_path / name) for name in names] == [99_999_995, 0]


@pytest.mark.parametrize("output", [f"cannot reach https://node.example/v2/{KEY}\n", f"key {KEY} is not known"])
def test_a_failure_names_the_provider_and_keeps_its_key(output: str) -> None:
    said = str(_failure(output))
    assert said.startswith("provider 0: ")
    assert KEY not in said
    assert "[secret]" in said


def test_a_failure_without_words_has_the_exit_code() -> None:
    assert "cryo ended with code -9 and gave no reason" in str(_failure("", code=-9))
