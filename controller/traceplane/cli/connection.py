"""How a person's command reaches Trace: an address and a token.

Given explicitly, both are used as they are. Else `tracectl` does what a person would do by hand: it opens a
`kubectl port-forward` to the service in the release's namespace for as long as the command runs, and asks the
cluster for a short-lived token of a service account (`kubectl create token --audience trace`).

Names of services and accounts are a value of the chart (`fullnameOverride`), so they are looked up by the chart's
labels, which are not. There is one installation a namespace.
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
from traceplane.errors import NotFound, Refused, TraceError, Unauthenticated, Unavailable

if TYPE_CHECKING:
    import httpx

FORWARD_SECONDS = 15.0
TOKEN_SECONDS = 30.0
LOOK_SECONDS = 30.0
LABELS = "app.kubernetes.io/name=trace,app.kubernetes.io/component={component}"
"""How the chart marks what is of one component."""

ReleaseNamespace = Annotated[
    str,
    typer.Option("--release-namespace", envvar="TRACE_RELEASE_NAMESPACE", help="Namespace Trace is installed in."),
]
TokenFile = Annotated[
    Path | None, typer.Option("--token-file", help="File with a bearer token; TRACE_TOKEN holds one directly.")
]
Token = Annotated[str | None, typer.Option(envvar="TRACE_TOKEN", hidden=True)]
ServiceAccount = Annotated[
    str | None,
    typer.Option(
        "--as",
        help="Service account to take a token of, where none is given; the chart's first admin by default.",
        metavar="ACCOUNT",
    ),
]
Audience = Annotated[
    str,
    typer.Option(
        "--audience", envvar="TRACE_AUDIENCE", help="Audience of such a token: `oidc.audience` of the chart."
    ),
]
DEFAULT_RELEASE = "trace"
DEFAULT_AUDIENCE = "trace"


@dataclass(frozen=True, slots=True)
class Access:
    """What the options say. `server` is None where a port-forward shall be made, `account` where the chart's own is
    meant."""

    server: str | None
    token_file: Path | None
    token: str | None
    release_namespace: str
    account: str | None
    audience: str

    def bearer(self) -> str:
        """The token to present. Raises Unauthenticated with the remedy."""
        if self.token_file is not None:
            try:
                return self.token_file.read_text().strip()
            except OSError as error:
                raise Refused(f"--token-file: cannot read {self.token_file}: {error.strerror}") from error
        if self.token:
            return self.token.strip()
        account = self.account or self._found("serviceaccount", "admin", "--as, --token-file or TRACE_TOKEN")
        asked = ["create", "token", account, "--namespace", self.release_namespace, "--audience", self.audience]
        done = kubectl.ask(*asked, seconds=TOKEN_SECONDS)
        if done.returncode:
            raise Unauthenticated(
                f"no token of service account {account!r}: {done.stderr.strip()}; set TRACE_TOKEN or --token-file"
            )
        return done.stdout.strip()

    @contextmanager
    def client(self, component: str, port: int, seconds: float) -> Iterator[httpx.Client]:
        """An HTTP client of the component's service, with the token; `seconds` limits one answer."""
        import httpx

        headers = {"Authorization": f"Bearer {self.bearer()}"}
        with self._address(component, port) as url:
            timeout = httpx.Timeout(seconds, connect=10)
            with httpx.Client(base_url=url, headers=headers, timeout=timeout, trust_env=False) as client:
                yield client

    @contextmanager
    def _address(self, component: str, port: int) -> Iterator[str]:
        if self.server is not None:
            yield self.server.rstrip("/")
            return
        service = self._found("service", component, "--server")
        with _forward(self.release_namespace, service, port) as url:
            yield url

    def _found(self, kind: str, component: str, instead: str) -> str:
        """Name of the one object that the chart marks as the component's. Raises with what to give `instead`."""
        where = ["--namespace", self.release_namespace, "--selector", LABELS.format(component=component)]
        done = kubectl.ask("get", kind, *where, "--output", "name", seconds=LOOK_SECONDS)
        if done.returncode:
            raise Unavailable(f"kubectl get {kind}: {done.stderr.strip()}; or give {instead}")
        names = [line.partition("/")[2] for line in done.stdout.split()]
        if not names:
            raise NotFound(
                f"no {kind} of Trace's {component} in namespace {self.release_namespace!r}: "
                f"name Trace's with --release-namespace, or give {instead}"
            )
        if len(names) > 1:
            raise Refused(f"several could be meant, {', '.join(names)}: give {instead}")
        return names[0]


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
