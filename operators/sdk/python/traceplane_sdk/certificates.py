"""What is wrong with the certificate of a database server.

libpq says "certificate verify failed", whether nobody here knows the CA or the certificate ended yesterday. So a
second look is taken, by Python's TLS with the same CA certificates. Nothing but that handshake is sent.
"""

from __future__ import annotations

import contextlib
import socket
import ssl
import struct
from collections.abc import Mapping
from typing import Any

SECONDS = 5.0

_KEY = "put the certificate of its CA into the Secret of the DSN as `ca.crt`"
NO_ROOTS = f"there is no CA certificate that can be read to check its certificate with: {_KEY}"
UNTRUSTED = f"its certificate is not signed by a CA that is known here: {_KEY}"
EXPIRED = "its certificate has expired, or that of its CA: have it renewed"
NOT_YET = "its certificate is not valid yet, by the clock of this machine"
OTHER_HOST = "its certificate is for another host name: write the name into the DSN that the certificate has"

_VERDICTS = {9: NOT_YET, 10: EXPIRED}
"""OpenSSL's X509_V_ERR_CERT_NOT_YET_VALID and X509_V_ERR_CERT_HAS_EXPIRED."""

_SSL_REQUEST = struct.pack("!ii", 8, 80877103)
"""https://www.postgresql.org/docs/current/protocol-message-formats.html"""


def verdict(parameters: Mapping[str, Any]) -> str:
    """Why the certificate of the server that `parameters` (libpq's) name is not accepted. Talks to the server."""
    host = str(parameters.get("hostaddr") or parameters.get("host") or "")
    port = str(parameters.get("port") or "5432")
    with contextlib.suppress(OSError, ValueError):  # another server by now, or several in one DSN
        context = ssl.create_default_context(cafile=parameters.get("sslrootcert"))
        context.check_hostname = False
        with socket.create_connection((host, int(port)), timeout=SECONDS) as plain:
            plain.sendall(_SSL_REQUEST)
            if plain.recv(1) == b"S":
                return _handshake(context, plain)
    return UNTRUSTED


def _handshake(context: ssl.SSLContext, plain: socket.socket) -> str:
    try:
        context.wrap_socket(plain).close()
    except ssl.SSLCertVerificationError as error:
        return _VERDICTS.get(error.verify_code, UNTRUSTED)
    return UNTRUSTED
