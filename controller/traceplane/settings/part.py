"""What every part of the settings stands on: where values come from, and secrets that are files."""

from __future__ import annotations

from pathlib import Path
from typing import ClassVar
from urllib.parse import urlsplit

from pydantic import ValidationInfo, field_validator
from pydantic_core import PydanticCustomError
from pydantic_settings import BaseSettings, SettingsConfigDict

from traceplane.errors import InvalidSettings
from traceplane_sdk.dsn import with_ca


def read_secret(name: str, file: Path | None, plain: str | None) -> str:
    """The secret in `file`, else `plain`. InvalidSettings names what is missing."""
    if file is not None:
        try:
            return file.read_text().strip()
        except OSError as error:
            raise InvalidSettings(f"TRACE_{name.upper()}_FILE: cannot read {file}: {error.strerror}") from error
    if not plain:
        raise InvalidSettings(f"set TRACE_{name.upper()}_FILE (or TRACE_{name.upper()})")
    return plain


def read_dsn(name: str, file: Path | None, plain: str | None) -> str:
    """The same of a DSN. The CA certificates in `ca.crt` beside its file go with it, wherever it is used."""
    dsn = read_secret(name, file, plain)
    if file is not None and (ca := file.with_name("ca.crt")).exists():
        return with_ca(dsn, ca)
    return dsn


class Part(BaseSettings):
    """Base of the parts: where their values come from."""

    model_config = SettingsConfigDict(
        env_prefix="TRACE_", extra="ignore", frozen=True, env_parse_none_str="never", validate_default=True
    )

    needed: ClassVar[frozenset[str]] = frozenset()
    """Secrets without which the process does not start."""

    @field_validator("state_dsn", "data_dsn", check_fields=False)
    @classmethod
    def _given(cls, value: str | None, info: ValidationInfo) -> str | None:
        """Named at start, with everything else that is wrong, and not when it is first used."""
        name, file = str(info.field_name), info.data.get(f"{info.field_name}_file")
        if name in cls.needed:
            try:
                read_secret(name, file, value)
            except InvalidSettings as error:
                raise PydanticCustomError("needed", "{reason}", {"reason": error.message}) from error
        return value


def is_url(value: str) -> bool:
    """Whether it is an address of HTTP, with a host."""
    try:
        parts = urlsplit(value)
        _ = parts.port  # raises where it is no number
    except ValueError:
        return False
    return parts.scheme in ("http", "https") and bool(parts.hostname)
