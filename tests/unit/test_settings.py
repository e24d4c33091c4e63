"""What settings are refused at start, with their names."""

from __future__ import annotations

from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from traceplane import settings
from traceplane.errors import InvalidSettings


@pytest.mark.parametrize("name", ["s3_endpoint_url", "s3_public_endpoint_url", "sts_endpoint_url"])
@pytest.mark.parametrize(
    "address", ["minio.example:9000", "minio", "", "ftp://minio", "http://", "http://minio:port", "https:/minio"]
)
def test_an_address_of_the_object_store_that_is_none_is_named_with_the_remedy(
    name: str, address: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(f"TRACE_{name.upper()}", address)
    with pytest.raises(InvalidSettings) as refused:
        settings.load(settings.Settings)
    assert (
        refused.value.message == f"TRACE_{name.upper()}: write https://host or http://host:port, or leave it unset"
    )


@pytest.mark.parametrize("address", ["http://minio:9000", "https://s3.example", "http://[::1]:9000/", None])
def test_an_address_of_the_object_store_is_taken(address: str | None) -> None:
    assert settings.load(settings.Settings, s3_endpoint_url=address).s3_endpoint_url == address


@pytest.mark.parametrize("name", ["s3_endpoint_url", "s3_public_endpoint_url"])
@pytest.mark.parametrize("address", ["http://10.0.0.5:9000", "https://[fd00::5]"])
def test_buckets_are_no_subdomains_of_an_ip_address(name: str, address: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings.load(settings.Settings, s3_addressing="VirtualHosted", **{name: address})
    assert refused.value.message.startswith(f"TRACE_S3_ADDRESSING: TRACE_{name.upper()} has an IP address")
    assert settings.load(settings.Settings, s3_addressing="Path", **{name: address}).s3_addressing == "Path"


@pytest.mark.parametrize("address", ["marquez:5000", "", "https://user:word@marquez", "https://marquez?key=word"])
def test_a_receiver_that_is_no_address_or_shows_a_secret_is_refused(address: str) -> None:
    with pytest.raises(InvalidSettings) as refused:
        settings.load(settings.Settings, openlineage_url=address)
    assert refused.value.message == (
        "TRACE_OPENLINEAGE_URL: write https://host or http://host:port, without a user or a query"
    )


def test_what_a_process_needs_is_named_at_start_all_at_once(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setenv("TRACE_STATE_DSN_FILE", str(tmp_path / "missing"))
    monkeypatch.setenv("TRACE_LEASE_SECONDS", "0")
    with pytest.raises(InvalidSettings) as refused:
        settings.load(settings.DispatcherSettings)
    for part in (
        f"TRACE_STATE_DSN_FILE: cannot read {tmp_path / 'missing'}: No such file or directory",
        "set TRACE_DATA_DSN_FILE (or TRACE_DATA_DSN)",
        "TRACE_LEASE_SECONDS: Input should be greater than 0",
        "set TRACE_CAPABILITY_KEY_FILE: PEM (EC P-256) that signs capability tokens.",
        "set TRACE_WORKER_TOKEN_FILE: Worker token; one a line, two during rotation.",
    ):
        assert part in refused.value.message


def test_a_process_starts_without_what_only_others_need() -> None:
    dsn = "postgresql://trace@localhost/state"
    found = settings.load(settings.ControllerSettings, state_dsn=dsn, worker_image="trace:1")
    assert (found.read_state_dsn(), found.worker_image) == (dsn, "trace:1")
    assert not hasattr(found, "capability_key_file")


def test_a_secret_in_a_file_wins_and_is_read_anew(tmp_path: Path) -> None:
    file = tmp_path / "dsn"
    file.write_text("first\n")
    found = settings.load(settings.MigrateSettings, state_dsn="plain", state_dsn_file=file, data_dsn="data")
    assert (found.read_state_dsn(), found.read_data_dsn()) == ("first", "data")
    file.write_text("second\n")
    assert found.read_state_dsn() == "second"


def test_the_ca_beside_a_dsn_goes_with_it(tmp_path: Path) -> None:
    dsn, ca = tmp_path / "dsn", tmp_path / "ca.crt"
    dsn.write_text("postgresql://trace@db.example/state")
    found = settings.load(settings.MigrateSettings, state_dsn_file=dsn, data_dsn_file=dsn)
    assert "sslrootcert" not in found.read_state_dsn()
    ca.touch()
    for read in (found.read_state_dsn(), found.read_data_dsn()):
        assert conninfo_to_dict(read)["sslrootcert"] == str(ca)


def test_every_setting_is_read_by_a_process_and_described_alike() -> None:
    described = {name: field.description for name, field in settings.Settings.model_fields.items()}
    read = {name: f.description for model in settings.PROCESSES.values() for name, f in model.model_fields.items()}
    assert read == described
