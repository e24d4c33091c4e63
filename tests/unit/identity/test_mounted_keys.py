"""Secrets that are replaced under a running process, as the kubelet does it: all files of a mount at once."""

from __future__ import annotations

import os
from collections.abc import Callable
from pathlib import Path
from uuid import uuid4

import pytest
import structlog

from tests.integration.dispatch.callers import signing_key
from traceplane.errors import InvalidSettings, Unauthenticated
from traceplane.identity.capability import Capabilities
from traceplane.identity.grants import grants
from traceplane.identity.mounted import Mounted
from traceplane.identity.worker_token import WorkerTokens

Mount = Callable[[dict[str, bytes]], Path]


@pytest.fixture
def mount(tmp_path: Path) -> Mount:
    """Puts files into one folder, in the place of all that it held."""
    made = iter(range(100))

    def put(files: dict[str, bytes]) -> Path:
        folder = tmp_path / f"..{next(made)}"
        folder.mkdir()
        for name, content in files.items():
            (folder / name).write_bytes(content)
        link = tmp_path / "..new"
        link.symlink_to(folder.name)
        os.replace(link, tmp_path / "..data")
        return tmp_path / "..data"

    return put


def dispatcher(folder: Path) -> Capabilities:
    return Capabilities(folder / "key.pem", folder / "previous.pem", issuer="trace")


def token_of(capabilities: Capabilities) -> str:
    return capabilities.mint(
        claim_id=uuid4(), org_id=uuid4(), job_id=uuid4(), tasks=[], grants=grants([], [], []), seconds=60
    )


def test_a_token_of_the_replaced_key_is_valid_from_the_first_signature_of_the_new_one_on(mount: Mount) -> None:
    first, second = signing_key(), signing_key()
    capabilities = dispatcher(mount({"key.pem": first}))
    old = token_of(capabilities)
    capabilities.verify(old)
    mount({"key.pem": second, "previous.pem": first})
    capabilities._current.look()  # its second has passed, and that of the other file has not
    assert token_of(capabilities).split(".")[0] != old.split(".")[0]
    capabilities.verify(old)
    assert len(capabilities.jwks()["keys"]) == 2


def test_a_token_of_a_key_that_another_dispatcher_read_first_is_valid(mount: Mount) -> None:
    first, second = signing_key(), signing_key()
    folder = mount({"key.pem": first})
    late = dispatcher(folder)
    mount({"key.pem": second, "previous.pem": first})
    late.verify(token_of(dispatcher(folder)))


def test_a_token_of_a_key_that_was_told_ahead_is_valid(mount: Mount) -> None:
    """The new key is in `previous.pem` while dispatchers whose mounts are late sign with the old one."""
    first, second = signing_key(), signing_key()
    late = dispatcher(mount({"key.pem": first, "previous.pem": second}))
    signed_with_the_new = dispatcher(mount({"key.pem": second, "previous.pem": first}))
    late._current._path = late._current._path.with_name("gone")  # its mount does not change yet
    late.verify(token_of(signed_with_the_new))


def test_a_token_of_a_key_that_is_gone_is_refused(mount: Mount) -> None:
    capabilities = dispatcher(mount({"key.pem": signing_key()}))
    stranger = token_of(dispatcher(mount({"key.pem": signing_key()})))
    mount({"key.pem": signing_key()})
    with pytest.raises(Unauthenticated):
        capabilities.verify(stranger)


def test_a_file_that_is_not_understood_is_told_once_and_the_value_before_stays(mount: Mount) -> None:
    folder = mount({"token": b"a" * 32})
    tokens = WorkerTokens(folder / "token")
    with structlog.testing.capture_logs() as said:
        mount({"token": b"# a comment\n" + b"b" * 32 + b"\n" + b"c" * 32})
        for _ in range(3):
            tokens._tokens.look()
        tokens.check("a" * 32)
        assert [entry["log_level"] for entry in said] == ["error"]
        assert "one token a line" in said[0]["error"]
        assert "bbbb" not in str(said)

        mount({"token": b"d" * 32})
        tokens._tokens.look()
        tokens.check("d" * 32)
        mount({})
        for _ in range(3):
            tokens._tokens.look()
        tokens.check("d" * 32)
    assert len(said) == 2


def test_only_the_tokens_of_the_file_are_a_workers(mount: Mount) -> None:
    tokens = WorkerTokens(mount({"token": b"a" * 32 + b"\n" + b"b" * 32}) / "token")
    tokens.check("a" * 32)
    tokens.check("b" * 32)
    for wrong in (None, "", "a" * 31, "a" * 32 + "\n" + "b" * 32):
        with pytest.raises(Unauthenticated) as refused:
            tokens.check(wrong)
        assert refused.value.code == "BadWorkerToken"


def test_a_file_that_may_be_absent_comes_and_goes_without_a_word(mount: Mount) -> None:
    folder = mount({})
    kept: Mounted[bytes | None] = Mounted(folder / "previous", bytes, absent=lambda: None)
    with structlog.testing.capture_logs() as said:
        for content in (b"one", None, b"two"):
            mount({} if content is None else {"previous": content})
            assert kept.look() == content
    assert not said


def test_a_process_does_not_begin_with_a_file_that_is_not_understood(mount: Mount) -> None:
    folder = mount({"token": b"short"})
    with pytest.raises(InvalidSettings, match="TRACE_WORKER_TOKEN_FILE"):
        WorkerTokens(folder / "token")
