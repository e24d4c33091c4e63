"""The certificates and keys of a cluster: two authorities, and a certificate for each component.

Made with ``openssl`` and elliptic-curve keys, which takes milliseconds each. A finished pair is kept, so a second
``up`` changes nothing; a pair cut off half way is made again, because the certificate is written last.

The names in them follow the Kubernetes convention (common name is the user, organisation is the group):
https://kubernetes.io/docs/setup/best-practices/certificates/
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

from .atomic import write_file
from .commands import run

_DAYS = "3650"


@dataclass(frozen=True)
class Pair:
    """A certificate and its private key."""

    certificate: Path
    key: Path


@dataclass(frozen=True)
class Subject:
    """Whom a certificate is for; ``alternative_names`` (``DNS:...``, ``IP:...``) make it a server's too."""

    user: str
    group: str = ""
    alternative_names: tuple[str, ...] = ()


class Authority:
    """A certificate authority kept in a folder."""

    def __init__(self, folder: Path, name: str) -> None:
        self._folder = folder
        self._name = name

    @property
    def pair(self) -> Pair:
        """The authority's own certificate and key."""
        return Pair(self._folder / f"{self._name}.crt", self._folder / f"{self._name}.key")

    def create(self) -> None:
        """Make the authority's key and certificate unless there."""
        if self.pair.certificate.exists():
            return
        _make_key(self.pair.key)
        making = self.pair.certificate.with_suffix(".making")
        run(
            ["openssl", "req", "-x509", "-new", "-sha256", "-key", self.pair.key, "-days", _DAYS,
             "-subj", f"/CN=trace-{self._name}", "-addext", "basicConstraints=critical,CA:TRUE",
             "-addext", "keyUsage=critical,digitalSignature,keyCertSign,cRLSign", "-out", making]
        )  # fmt: skip
        making.rename(self.pair.certificate)

    def issue(self, name: str, subject: Subject) -> Pair:
        """A certificate signed by this authority, made unless there."""
        pair = Pair(self._folder / f"{name}.crt", self._folder / f"{name}.key")
        if pair.certificate.exists():
            return pair
        _make_key(pair.key)
        group = f"/O={subject.group}" if subject.group else ""
        request, extensions = pair.key.with_suffix(".csr"), pair.key.with_suffix(".ext")
        run(["openssl", "req", "-new", "-key", pair.key, "-subj", f"{group}/CN={subject.user}", "-out", request])
        usage = "clientAuth,serverAuth" if subject.alternative_names else "clientAuth"
        lines = [
            "basicConstraints=critical,CA:FALSE",
            "keyUsage=critical,digitalSignature",
            f"extendedKeyUsage={usage}",
        ]
        if subject.alternative_names:
            lines.append(f"subjectAltName={','.join(subject.alternative_names)}")
        write_file(extensions, "\n".join(lines) + "\n")
        making = pair.certificate.with_suffix(".making")
        run(
            ["openssl", "x509", "-req", "-sha256", "-in", request, "-CA", self.pair.certificate,
             "-CAkey", self.pair.key, "-set_serial", f"0x{_serial()}", "-days", _DAYS,
             "-extfile", extensions, "-out", making]
        )  # fmt: skip
        request.unlink()
        extensions.unlink()
        making.rename(pair.certificate)
        return pair


def service_account_keys(folder: Path) -> Pair:
    """The key pair that signs service-account tokens; ``certificate`` is the public key here."""
    pair = Pair(folder / "service-account.pub", folder / "service-account.key")
    if not pair.certificate.exists():
        _make_key(pair.key)
        making = pair.certificate.with_suffix(".making")
        run(["openssl", "pkey", "-in", pair.key, "-pubout", "-out", making])
        making.rename(pair.certificate)
    return pair


def _make_key(path: Path) -> None:
    path.parent.mkdir(parents=True, exist_ok=True, mode=0o700)
    made = run(["openssl", "genpkey", "-algorithm", "EC", "-pkeyopt", "ec_paramgen_curve:P-256"])
    write_file(path, made.stdout, mode=0o600)


def _serial() -> str:
    return run(["openssl", "rand", "-hex", "12"]).stdout.strip()
