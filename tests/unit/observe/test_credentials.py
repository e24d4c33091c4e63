"""When certificates and tokens end, as their files say, whatever happens to the files."""

from __future__ import annotations

import base64
import json
import subprocess
import sys
from datetime import UTC, datetime, timedelta
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import jwt
import pytest
from hypothesis import example, given
from hypothesis import strategies as st
from prometheus_client import CollectorRegistry

from traceplane.observe import credentials
from traceplane.settings import Settings

NAME = "trace_credential_expiry_timestamp_seconds"


def certificate(folder: Path, days: int) -> str:
    """A self-signed CA certificate, made by openssl."""
    made = folder / f"{days}.pem"
    subprocess.run(
        ["openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:prime256v1", "-nodes",
         "-subj", f"/CN=ca {days}", "-days", str(days), "-keyout", folder / "key.pem", "-out", made],
        check=True, capture_output=True,
    )  # fmt: skip
    return made.read_text()


def shown(settings: Settings) -> dict[str, float]:
    registry = CollectorRegistry()
    credentials.Credentials(registry, credentials.of_issuer(settings))
    return {sample.labels["credential"]: sample.value for family in registry.collect() for sample in family.samples}


def test_the_certificate_of_a_bundle_that_ends_first_and_the_token_are_shown(tmp_path: Path) -> None:
    now = datetime.now(UTC)
    (tmp_path / "ca.crt").write_text(certificate(tmp_path, 90) + certificate(tmp_path, 30))
    (tmp_path / "token").write_text(jwt.encode({"exp": now + timedelta(hours=1)}, "k" * 32) + "\n")
    found = shown(Settings(oidc_ca_file=tmp_path / "ca.crt", oidc_bearer_file=tmp_path / "token"))
    assert found["oidc-ca"] == pytest.approx((now + timedelta(days=30)).timestamp(), abs=120)
    assert found["oidc-bearer"] == pytest.approx((now + timedelta(hours=1)).timestamp(), abs=2)


def test_a_file_is_read_again_at_each_scrape(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(jwt.encode({"exp": 1000}, "k" * 32))
    registry = CollectorRegistry()
    ends = credentials.of_service_account(tmp_path)
    credentials.Credentials(registry, ends)
    assert registry.get_sample_value(NAME, {"credential": "service-account"}) == 1000
    (tmp_path / "token").write_text(jwt.encode({"exp": 2000}, "k" * 32))
    assert registry.get_sample_value(NAME, {"credential": "service-account"}) == 2000
    assert registry.get_sample_value(NAME, {"credential": "cluster-ca"}) is None, "that file is not there"


@pytest.mark.parametrize("content", ["", "no token", "a.b.c", "a.e30.c", "-----BEGIN CERTIFICATE-----\nx\n"])
def test_what_cannot_be_read_has_no_series_and_fails_no_scrape(tmp_path: Path, content: str) -> None:
    file = tmp_path / "file"
    file.write_text(content)
    assert shown(Settings(oidc_ca_file=file, oidc_bearer_file=file)) == {}


def jwt_of(payload: str) -> str:
    return "a." + base64.urlsafe_b64encode(payload.encode()).decode().rstrip("=") + ".c"


ANY_JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text() | st.just("exp"), inner),
    max_leaves=8,
)


@given(ANY_JSON | ANY_JSON.map(lambda end: {"exp": end}))
@example([1])
@example({"exp": None})
@example({"exp": 10**400})
@example({"exp": True})
def test_a_token_of_any_json_has_the_series_of_its_end_or_none(payload: Any) -> None:
    with TemporaryDirectory() as folder:
        file = Path(folder) / "token"
        file.write_text(jwt_of(json.dumps(payload)))
        found = shown(Settings(oidc_bearer_file=file))
    end = payload.get("exp") if isinstance(payload, dict) else None
    known = type(end) in (int, float) and abs(end) <= sys.float_info.max
    assert found == ({"oidc-bearer": float(end)} if known else {})


def test_a_token_that_nests_too_deeply_fails_no_scrape(tmp_path: Path) -> None:
    (tmp_path / "token").write_text(jwt_of("[" * 100_000))
    assert shown(Settings(oidc_bearer_file=tmp_path / "token")) == {}


def test_outside_a_pod_there_is_nothing_to_show() -> None:
    assert credentials.of_service_account(None) == {}
    assert shown(Settings()) == {}
