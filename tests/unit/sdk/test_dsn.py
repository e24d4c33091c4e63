"""By which CA certificates a DSN's server is checked."""

from __future__ import annotations

import ssl
from pathlib import Path

import pytest
from psycopg.conninfo import conninfo_to_dict

from traceplane_sdk.dsn import BadDsn, parameters, with_ca

DSN = "postgresql://trace:p%40ss@db.example:5432/data"
SYSTEM = ssl.get_default_verify_paths().cafile or "system"


@pytest.fixture(autouse=True)
def nobody(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A user whose home and environment say nothing of CAs."""
    monkeypatch.setenv("HOME", str(tmp_path))
    monkeypatch.delenv("PGSSLROOTCERT", raising=False)


def roots(query: str) -> tuple[str | None, str | None]:
    found = parameters(f"{DSN}?{query}" if query else DSN)
    return found.get("sslmode"), found.get("sslrootcert")


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", (None, None)),
        ("sslmode=require", ("require", None)),
        ("sslmode=verify-full", ("verify-full", SYSTEM)),
        ("sslrootcert=system", ("verify-full", SYSTEM)),
        ("sslmode=verify-full&sslrootcert=system", ("verify-full", SYSTEM)),
        ("sslmode=verify-full&sslrootcert=/own.crt", ("verify-full", "/own.crt")),
        ("sslmode=verify-ca&sslrootcert=/own.crt", ("verify-ca", "/own.crt")),
    ],
)
def test_a_dsn_that_names_no_ca_is_checked_by_those_of_the_system(
    query: str, expected: tuple[str | None, str | None]
) -> None:
    assert roots(query) == expected


@pytest.mark.parametrize("query", ["sslmode=verify-ca", "sslmode=require&sslrootcert=system"])
def test_the_ca_of_anybody_is_no_proof_without_the_name(query: str) -> None:
    with pytest.raises(BadDsn, match=r"write sslmode=verify-full, or .*`ca\.crt`"):
        roots(query)


def test_what_libpq_finds_itself_counts(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    (tmp_path / ".postgresql").mkdir()
    (tmp_path / ".postgresql" / "root.crt").touch()
    assert roots("sslmode=verify-ca") == ("verify-ca", None)
    (tmp_path / ".postgresql" / "root.crt").unlink()
    monkeypatch.setenv("PGSSLROOTCERT", "/environment.crt")
    assert roots("sslmode=verify-full") == ("verify-full", None)


@pytest.mark.parametrize(
    ("query", "expected"),
    [
        ("", ("verify-full", "/secret/ca.crt")),
        ("?sslmode=require", ("require", "/secret/ca.crt")),
        ("?sslmode=verify-ca", ("verify-ca", "/secret/ca.crt")),
        ("?sslmode=verify-full&sslrootcert=/own.crt", ("verify-full", "/own.crt")),
    ],
)
def test_a_ca_that_is_given_counts_unless_the_dsn_names_another(query: str, expected: tuple[str, str]) -> None:
    found = parameters(with_ca(DSN + query, Path("/secret/ca.crt")))
    assert (found["sslmode"], found["sslrootcert"]) == expected
    assert found.items() >= conninfo_to_dict(DSN).items()


def test_what_is_no_dsn_is_refused_where_it_is_used() -> None:
    wrong = "postgresql://trace:x@hunter2@db.example/data"
    assert with_ca(wrong, Path("/secret/ca.crt")) == wrong
