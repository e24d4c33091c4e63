"""The object store and its credentials: for every process that opens it, and for the tasks."""

from __future__ import annotations

from ipaddress import ip_address
from pathlib import Path
from typing import Literal
from urllib.parse import urlsplit

from pydantic import Field, ValidationInfo, field_validator
from pydantic_core import PydanticCustomError

from traceplane.settings.part import Part, is_url, read_secret


class ObjectStore(Part):
    """The object store, and STS, which mints credentials of tasks for it."""

    s3_endpoint_url: str | None = Field(None, description="S3 endpoint; None means AWS.")
    s3_public_endpoint_url: str | None = Field(
        None, description="S3 endpoint as users reach it, for pre-signed URLs; None means the endpoint above."
    )
    s3_region: str = Field("us-east-1", description="S3 region.")
    s3_bucket: str = Field("trace", description="Bucket of cold data.")
    s3_addressing: Literal["Path", "VirtualHosted"] | None = Field(
        None,
        description="Where requests name the bucket: Path (https://host/bucket/key) or VirtualHosted "
        "(https://bucket.host/key). None means Path with an endpoint, VirtualHosted at AWS.",
    )
    s3_checksums: Literal["WhenSupported", "WhenRequired"] = Field(
        "WhenSupported",
        description="Checksums of the S3 protocol in requests of tasks; WhenRequired for a store that refuses them "
        "(NotImplemented). Files are checked by their SHA-256 either way.",
    )
    s3_access_key_id_file: Path | None = Field(
        None,
        description="File with the platform's own access key id. `ca.crt` beside it has the CA certificates that "
        "the store's is checked with, and that of STS.",
    )
    s3_secret_access_key_file: Path | None = Field(None, description="File with the platform's own secret key.")
    s3_access_key_id: str | None = Field(None, description="Plain form, for tests.")
    s3_secret_access_key: str | None = Field(None, description="Plain form, for tests.")
    s3_credentials: Literal["Sts", "Static"] = Field(
        "Sts",
        description="What tasks open the object store with: Sts mints keys that open a task's own prefixes alone; "
        "Static, for a store without STS, gives every task the same keys, those in s3_task_keys_dir.",
    )
    s3_task_keys_dir: Path | None = Field(
        None,
        description="With Static: folder with the files `access-key-id` and `secret-access-key`, and "
        "`<namespace>.access-key-id` and `<namespace>.secret-access-key` where a namespace has keys of its own.",
    )
    sts_endpoint_url: str | None = Field(None, description="STS endpoint; None means the S3 endpoint, or AWS.")
    sts_role_arn: str = Field("arn:aws:iam::000000000000:role/trace-task", description="Role that tasks assume.")
    sts_seconds: int = Field(
        3600,
        ge=900,
        le=43200,
        description="Lifetime of minted credentials (STS's minimum: 900); with Static, how soon a run asks for the "
        "keys again.",
    )

    @field_validator("s3_endpoint_url", "s3_public_endpoint_url", "sts_endpoint_url")
    @classmethod
    def _address(cls, value: str | None) -> str | None:
        """Refused at start: the client libraries would report it at the first call, each in its own way."""
        if value is not None and not is_url(value):
            raise PydanticCustomError("url", "write https://host or http://host:port, or leave it unset")
        return value

    @field_validator("s3_addressing")
    @classmethod
    def _addressing(cls, value: str | None, info: ValidationInfo) -> str | None:
        for name in ("s3_endpoint_url", "s3_public_endpoint_url"):
            host = urlsplit(info.data.get(name) or "").hostname
            if value == "VirtualHosted" and host and _is_address(host):
                reason = (
                    f"TRACE_{name.upper()} has an IP address, which has no subdomains: write Path, or name a host"
                )
                raise PydanticCustomError("addressing", "{reason}", {"reason": reason})
        return value

    def read_s3_ca(self) -> bytes | None:
        """The CA certificates (PEM) for the store's, as their file says now; None where there is no such file."""
        file = self.s3_ca_file
        return None if file is None else file.read_bytes()

    @property
    def s3_ca_file(self) -> Path | None:
        """Where they are."""
        if self.s3_access_key_id_file is None:
            return None
        file = self.s3_access_key_id_file.with_name("ca.crt")
        return file if file.exists() else None

    def read_s3_keys(self) -> tuple[str, str]:
        """Access key id and secret key, as their files say now, or the plain forms. Raises InvalidSettings."""
        return (
            read_secret("s3_access_key_id", self.s3_access_key_id_file, self.s3_access_key_id),
            read_secret("s3_secret_access_key", self.s3_secret_access_key_file, self.s3_secret_access_key),
        )


def _is_address(host: str) -> bool:
    try:
        ip_address(host)
    except ValueError:
        return False
    return True
