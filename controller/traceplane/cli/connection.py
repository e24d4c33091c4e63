"""How a person's command reaches Trace: an address and a token.

Given explicitly, both are used as they are. Else `tracectl` does what a person would do by hand: it opens a
`kubectl port-forward` to the service in the release's namespace for as long as the command runs, and asks the
cluster for a short-lived token of a service account (`kubectl create token --audience trace`).
"""

from __future__ import annotations

import re
import select
import subprocess
import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from traceplane.cli import kubectl
from traceplane.errors import Refused, TraceError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx

FORWARD_SECONDS = 15.0
TOKEN_SECONDS = 30.0
AUDIENCE = "trace"

ReleaseNamespace = Annotated[
    str,
    typer.Option("--release-namespace", envvar="TRACE_RELEASE_NAMESPACE", help="Namespace Trace is installed in."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="File with a bearer token; TRACE_TOKEN holds one directly.")
]
Token = Annotated[str | None, typer.Option(envvar="TRACE_TOKEN", hidden=True)]
ServiceAccount = Annotated[
    str, typer.Option("--as", help="Service account to take a token of, where none is given.", metavar="ACCOUNT")
]
DEFAULT_RELEASE = "trace"
DEFAULT_ACCOUNT = "trace-admin"


@dataclass(frozen=True, slots=True)
class Access:
    """What the options say. `server` is None where a port-forward shall be made."""

    server: str | None
    token_file: Path | None
    token: str | None
    release_namespace: str
    account: str

    def bearer(self) -> str:
        """The token to present. Raises Unauthenticated with the remedy."""
        if self.token_file is not None:
            try:
                return self.token_file.read_text().strip()
            except OSError as error:
                raise Refused(f"--token-file: cannot read {self.token_file}: {error.strerror}") from error
        if self.token:
            return self.token.strip()
        asked = ["create", "token", self.account, "--namespace", self.release_namespace, "--audience", AUDIENCE]
        done = kubectl.ask(*asked, seconds=TOKEN_SECONDS)
        if done.returncode:
            raise Unauthenticated(
                f"no token of service account {self.account!r}: {done.stderr.strip()}; "
                "set TRACE_TOKEN or --token-file"
            )
        return done.stdout.strip()

    @contextmanager
    def client(self, service: str, port: int, seconds: float) -> Iterator[httpx.Client]:
        """An HTTP client of `service`, with the token; `seconds` limits one answer."""
        import httpx

        headers = {"Authorization": f"Bearer {self.bearer()}"}
        with self._address(service, port) as url:
            timeout = httpx.Timeout(seconds, connect=10)
            with httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False) as client:
                yield client

    @contextmanager
    def _address(self, service: str, port: int) -> Iterator[str]:
        if self.server is not None:
            yield self.server.rstrip("/")
            return
        with _forward(self.release_namespace, service, port) as url:
            yield url


def call(client: httpx.Client, method: str, path: str, **arguments: Any) -> httpx.Response:
    """One request. Raises Unavailable where nobody answers, and the server's own refusal as TraceError."""
    import httpx

    try:
        answer = client.request(method, path, **arguments)
    except httpx.TimeoutException as error:
        raise Unavailable("the server did not answer in time") from error
    except httpx.HTTPError as error:
        raise Unavailable(f"the server cannot be reached: {error}") from error
    if answer.is_success or answer.status_code == httpx.codes.SEE_OTHER:
        return answer
    try:
        body = answer.json()
        message, code = str(body["detail"]), str(body["code"])
    except (ValueError, KeyError, TypeError):
        message, code = (
            f"the server answered {answer.status_code}, not Trace's way: is --server right?",
            "BadAnswer",
        )
    raise TraceError(message, code=code)


@contextmanager
def _forward(namespace: str, service: str, port: int) -> Iterator[str]:
    """A port-forward to a service on a free local port, while the block runs."""
    argv = ["port-forward", "--namespace", namespace, f"service/{service}", f":{port}"]
    with kubectl.beside(*argv, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as process:
        yield f"http://127.0.0.1:{_local_port(process)}"


def _local_port(process: subprocess.Popen[str]) -> int:
    """The port kubectl says it listens on. Raises Unavailable with what it said instead."""
    assert process.stdout is not None
    assert process.stderr is not None
    deadline = time.monotonic() + FORWARD_SECONDS
    while (left := deadline - time.monotonic()) > 0:
        if not select.select([process.stdout], [], [], left)[0]:
            break
        line = process.stdout.readline()
        if not line:
            raise Unavailable(f"kubectl port-forward: {process.stderr.read().strip()}")
        if found := re.match(r"Forwarding from 127\.0\.0\.1:(\d+) ", line):
            return int(found[1])
    raise Unavailable(f"kubectl port-forward was not ready within {FORWARD_SECONDS:g} seconds")
