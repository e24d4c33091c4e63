"""When credentials end, for those that say so: certificates in PEM files, and tokens that are JWTs.

The files are read at each scrape, since Kubernetes swaps them under a running pod. What cannot be read has no
series; the code that uses the file says what is wrong with it. Nothing is verified here, and nothing of a
credential is shown but its end.
"""

from __future__ import annotations

import base64
import json
import math
import ssl
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path

from prometheus_client import CollectorRegistry
from prometheus_client.core import GaugeMetricFamily
from prometheus_client.registry import Collector

from traceplane.settings.parts import Controller, Users

Ends = Mapping[str, tuple[Path | None, Callable[[Path], float]]]
"""By name of a credential: its file, and how its end is read from it."""


def certificate_end(path: Path) -> float:
    """When the first of the CA certificates in a PEM file ends, in seconds since 1970."""
    found = ssl.create_default_context(cafile=str(path)).get_ca_certs()
    return float(min(ssl.cert_time_to_seconds(str(one["notAfter"])) for one in found))


def served_end(path: Path) -> float:
    """When the first certificate in a PEM file, that of a server, ends, in seconds since 1970."""
    from cryptography import x509  # 10 MB of memory, which only who serves TLS pays

    return x509.load_pem_x509_certificates(path.read_bytes())[0].not_valid_after_utc.timestamp()


def token_end(path: Path) -> float:
    """When the JWT in a file ends, in seconds since 1970."""
    encoded = path.read_text().strip().split(".")[1]
    claims = json.loads(base64.urlsafe_b64decode(encoded + "=" * (-len(encoded) % 4)))
    end = claims.get("exp") if isinstance(claims, dict) else None
    if isinstance(end, bool) or not isinstance(end, int | float) or not math.isfinite(end):
        raise ValueError("the token has no claim exp that is a time")
    return float(end)


def of_issuer(settings: Users) -> Ends:
    """What the keys of users' tokens are fetched with."""
    return {
        "oidc-ca": (settings.oidc_ca_file, certificate_end),
        "oidc-bearer": (settings.oidc_bearer_file, token_end),
    }


def of_service_account(folder: Path | None) -> Ends:
    """What the API server is spoken to with, from a pod."""
    if folder is None:
        return {}
    return {"cluster-ca": (folder / "ca.crt", certificate_end), "service-account": (folder / "token", token_end)}


def of_admission(settings: Controller) -> Ends:
    """What the validating webhook shows to the API server, where it is served."""
    if not settings.admission_port:
        return {}
    return {"admission-certificate": (settings.admission_certificate / "tls.crt", served_end)}


class Credentials(Collector):
    """`trace_credential_expiry_timestamp_seconds` of each of `ends`."""

    def __init__(self, registry: CollectorRegistry, ends: Ends) -> None:
        self._ends = ends
        registry.register(self)

    def collect(self) -> Iterator[GaugeMetricFamily]:
        """The end of every credential that can be read."""
        family = GaugeMetricFamily(
            "trace_credential_expiry_timestamp_seconds",
            "When a certificate or a token that this process uses ends, in seconds since 1970.",
            labels=["credential"],
        )
        for name, (path, end) in self._ends.items():
            if path is not None:
                try:
                    family.add_metric([name], end(path))
                # JSON may nest too deeply, and a whole number be too large for a float.
                except (OSError, ValueError, LookupError, RecursionError, OverflowError):
                    continue  # its user reports it
        yield family
