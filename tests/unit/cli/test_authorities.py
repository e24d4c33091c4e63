"""Whose certificates `tracectl` believes."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest

from tests.support.certificates import Authority
from traceplane.cli.connection import authorities
from traceplane.errors import Refused


@pytest.fixture(autouse=True)
def nothing_set(monkeypatch: pytest.MonkeyPatch) -> None:
    for name in ("SSL_CERT_FILE", "SSL_CERT_DIR"):
        monkeypatch.delenv(name, raising=False)


def test_the_public_ones_where_nothing_is_said() -> None:
    assert authorities() is True


def test_those_of_the_named_file(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "ca.crt").write_bytes(Authority("ours").certificate)
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.crt"))
    believed = authorities()
    assert isinstance(believed, ssl.SSLContext)
    assert [dict(part[0] for part in found["subject"]) for found in believed.get_ca_certs()] == [
        {"commonName": "ours"}
    ]


@pytest.mark.parametrize("content", [None, "no certificate"])
def test_a_file_without_any_is_refused_by_name(
    content: str | None, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    file = tmp_path / "ca.crt"
    if content is not None:
        file.write_text(content)
    monkeypatch.setenv("SSL_CERT_FILE", str(file))
    with pytest.raises(Refused, match="SSL_CERT_FILE"):
        authorities()
