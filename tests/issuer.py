"""An OIDC issuer of our own: keys made for the run, discovery and JWKS over real HTTP on loopback.

with issuer() as oidc:
    token = oidc.token("alice")
"""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import jwt
from cryptography.hazmat.primitives.asymmetric import ec, rsa

AUDIENCE = "trace"


class Issuer:
    """Signs tokens and publishes keys; `fetches` counts how often the keys were asked for."""

    def __init__(self) -> None:
        self.keys: dict[str, Any] = {"first": ec.generate_private_key(ec.SECP256R1())}
        self.fetches = 0
        self.down = False
        self.dribble_seconds = 0.0
        """Between the bytes of an answer."""
        self.require_bearer: str | None = None
        self.keys_at: str | None = None
        """Where discovery says the keys are, when not here."""
        self.bearers: list[str | None] = []
        """`Authorization` of every request for keys."""
        self._closed = threading.Event()
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), self._handler())
        self.url = f"http://127.0.0.1:{self._server.server_address[1]}"
        threading.Thread(target=self._server.serve_forever, daemon=True).start()

    def close(self) -> None:
        self._closed.set()
        self._server.shutdown()
        self._server.server_close()

    def rotate(self, kid: str) -> None:
        """Publish only a new key."""
        self.keys = {kid: rsa.generate_private_key(public_exponent=65537, key_size=2048)}

    def token(
        self, subject: str, *, kid: str | None = None, key: Any = None, algorithm: str | None = None, **claims: Any
    ) -> str:
        """A token of `subject`, valid for an hour; `claims` replace or, with None, remove the usual ones."""
        name = kid or next(iter(self.keys))
        secret = key if key is not None else self.keys[name]
        chosen = algorithm or ("RS256" if isinstance(secret, rsa.RSAPrivateKey) else "ES256")
        now = int(time.time())
        body = {"iss": self.url, "aud": AUDIENCE, "sub": subject, "iat": now, "exp": now + 3600, **claims}
        return jwt.encode({k: v for k, v in body.items() if v is not None}, secret, chosen, {"kid": name})

    def jwks(self) -> dict[str, Any]:
        entries = []
        for kid, key in self.keys.items():
            kind = jwt.algorithms.RSAAlgorithm if isinstance(key, rsa.RSAPrivateKey) else jwt.algorithms.ECAlgorithm
            entries.append({**kind.to_jwk(key.public_key(), as_dict=True), "kid": kid, "use": "sig"})
        return {"keys": entries}

    def _handler(self) -> type[BaseHTTPRequestHandler]:
        issuer = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                wanted = issuer.require_bearer
                if self.path == "/keys":
                    issuer.bearers.append(self.headers.get("Authorization"))
                if issuer.down:
                    self.send_error(503)
                elif wanted is not None and self.headers.get("Authorization") != f"Bearer {wanted}":
                    self.send_error(401)
                elif self.path == "/.well-known/openid-configuration":
                    self._json({"issuer": issuer.url, "jwks_uri": issuer.keys_at or f"{issuer.url}/keys"})
                elif self.path == "/keys":
                    issuer.fetches += 1
                    self._json(issuer.jwks())
                else:
                    self.send_error(404)

            def _json(self, body: dict[str, Any]) -> None:
                data = json.dumps(body).encode()
                self.send_response(200)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                for n in range(0, len(data), step := 1 if issuer.dribble_seconds else len(data)):
                    self.wfile.write(data[n : n + step])
                    issuer._closed.wait(issuer.dribble_seconds)  # a slow network, until the test is over

            def log_message(self, format: str, *args: Any) -> None:
                return

        return Handler


@contextmanager
def issuer() -> Iterator[Issuer]:
    """A running issuer."""
    running = Issuer()
    try:
        yield running
    finally:
        running.close()
